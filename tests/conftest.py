"""Settings of all tests: one thread, and shapes checked wherever the packages annotate them."""

import functools
import os
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path

# Test processes run side by side and must not compete for cores; subprocesses inherit this.
os.environ["OMP_NUM_THREADS"] = "1"

import jaxtyping
import pytest
import torch

import irem_core
import shape_checks
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
jaxtyping.jaxtyped = shape_checks.where_shaped(jaxtyping.jaxtyped)
jaxtyping.install_import_hook(
    [*sorted(MODULES), "irem_tasks", "irem_baselines"], "shape_checks.checked"
)


@functools.cache
def _installed(group: str, places: tuple[tuple[str, int], ...]) -> EntryPoints:
    return entry_points(group=group)


def _remembered(group: str) -> EntryPoints:
    """Look for what is installed once, and again where a folder that Python looks in changed."""
    places = ((place, Path(place)) for place in sys.path)
    known = ((name, place.stat().st_mtime_ns) for name, place in places if place.exists())
    return _installed(group, tuple(known))


@pytest.fixture(scope="session", autouse=True)
def installed_parts() -> Iterator[None]:
    """Remember what is installed: looking takes longer than all else that a small training does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("irem_core.registry.entry_points", _remembered)
        yield


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure floors on few problems, where it matters only that they are measured."""
    monkeypatch.setattr("irem_core.tasks.floors._PROBLEMS", 256)


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
