from __future__ import annotations

import sys
from pathlib import Path

import pytest

from commands import SMALL
from irem_core.cli import main


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run, trained once through the command line."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    arguments = ["irem", "train", *SMALL, "--iterations", "60", "--out", str(folder)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", arguments)
        patch.setattr("irem_core.tasks.floors._PROBLEMS", 256)
        with pytest.raises(SystemExit) as exit_:
            main()
    assert not exit_.value.code
    return folder


@pytest.fixture(autouse=True)
def floors_of_few_draws(few_draws: None) -> None:
    """Measure the floors of what a test trains on few problems."""
