from __future__ import annotations

import sys
from pathlib import Path

import pytest

from commands import SMALL, Irem, Result
from irem_core.cli import main


@pytest.fixture
def irem(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Irem:
    """Call the command line in this process, as the installed command does."""

    def call(*args: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["irem", *map(str, args)])
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capsys.readouterr()
        return Result(int(exit_.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run, trained once through the command line."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    arguments = ["irem", "train", *SMALL, "--iterations", "60", "--out", str(folder)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as exit_:
            main()
    assert not exit_.value.code
    return folder
