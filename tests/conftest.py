"""Settings of all tests: one thread, and shapes checked wherever the packages annotate them."""

import os
import sys
import warnings
from pathlib import Path

# Test processes run side by side and must not compete for cores; subprocesses inherit this.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch
from jaxtyping import install_import_hook

import irem_core
from commands import Irem, Result

torch.set_num_threads(1)

# The hook works anew on every function that is defined inside another, which these make in loops.
NESTED = {"trees", "minimization", "backprop"}
SOURCE = Path(irem_core.__file__).parent
# Files rather than rooms, since the name of a room would stand for all of its files.
MODULES = {
    ".".join(file.relative_to(SOURCE.parent).with_suffix("").parts)
    for file in SOURCE.rglob("*.py")
    if file.stem not in NESTED | {"__init__", "__main__"}
}

# Before anything imports the modules; subprocesses run without these checks.
install_import_hook([*sorted(MODULES), "irem_tasks", "irem_baselines"], "shape_checks.checked")


@pytest.fixture
def irem(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Irem:
    """Call the command line in this process, as the installed command does."""
    from irem_core.cli import main

    def call(*args: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["irem", *map(str, args)])
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capsys.readouterr()
        return Result(int(exit_.value.code or 0), captured.out, captured.err)

    # The command line prints warnings in a way of its own, which other tests do without.
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    return call
