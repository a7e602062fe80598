"""Runs that come with packages, beside the code that they solve for."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path


def packaged_run(entry: EntryPoint) -> Path | None:
    """Find the run that comes with a task: `pretrained/NAME` in the package that defines it.

    Nothing is imported.

    Args:
        entry: the task's entry point.

    Returns:
        The folder of the run, or None where there is none.
    """
    found = find_spec(entry.module.partition(".")[0])
    folders = (found and found.submodule_search_locations) or ()
    runs = (Path(each) / "pretrained" / entry.name for each in folders)
    return next((run for run in runs if run.is_dir()), None)
