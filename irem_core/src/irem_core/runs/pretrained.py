"""Runs that come with packages: what was trained once, for everybody."""

from __future__ import annotations

import torch

from irem_core.errors import UnknownNameError
from irem_core.files.packaged import packaged_run
from irem_core.registry import TASKS, find, plugins
from irem_core.runs.checkpoint import load
from irem_core.solvers.base import Solver


def load_pretrained(task: str, *, device: torch.device | str = "cpu") -> Solver:
    """Load the solver that comes trained with a task's package.

    Args:
        task: the task's name.
        device: where the weights will live.

    Raises:
        UnknownNameError: there is no such task, or no weights come with it.
    """
    run = packaged_run(find(TASKS, task).entry)
    if run is None:
        having = [each.name for each in plugins(TASKS) if packaged_run(each.entry)]
        known = ", ".join(having) or "none"
        raise UnknownNameError(
            f"No weights come with the task {task!r}; tasks that have some: {known}. Train it with "
            f"irem train {task}."
        )
    return load(run, device=device)
