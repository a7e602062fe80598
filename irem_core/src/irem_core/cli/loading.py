"""From what a user typed to objects."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irem_core.errors import (
    SettingError,
    UnknownNameError,
    near_matches,
)

if TYPE_CHECKING:
    import torch

    from irem_core.solvers.base import Solver
    from irem_core.tasks.task import Task
    from irem_core.training.loggers import Logger


def device(text: str) -> torch.device:
    """Read a device and check that it is there.

    Raises:
        SettingError: it is not.
    """
    import torch

    try:
        place = torch.device(text)
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0]
        raise SettingError(
            f"The device {text!r} cannot be used ({reason}); give --device cpu, or cuda where "
            "torch finds a GPU."
        ) from error
    return place


def threads(count: int | None) -> None:
    """Set the number of threads, where one is given."""
    import torch

    if count is not None:
        torch.set_num_threads(count)


def quicken(solver: Solver, *, compiled: bool, autocast: bool) -> None:
    """Have a solver descend by compiled programs, or multiply in bfloat16."""
    if compiled:
        solver.compile()
    if autocast:
        solver.autocast()


def parts(descent: str | None, halting: str | None) -> dict[str, Any]:
    """Build the descent and the halting rule that were written; None stands for the default."""
    from irem_core.registry import DESCENTS, HALTING, build

    return {
        "descent": None if descent is None else build(DESCENTS, descent),
        "halting": None if halting is None else build(HALTING, halting),
    }


def loggers(names: Iterable[str]) -> list[Logger]:
    """Make the loggers that were named, each once.

    Raises:
        UnknownNameError: there is no such logger.
        SettingError: a package that it needs is not installed.
    """
    from irem_core.training.loggers import LOGGERS

    wanted = dict.fromkeys(names)
    for name in wanted:
        if name not in LOGGERS:
            raise UnknownNameError(f"There is no logger {name!r}. {near_matches(name, LOGGERS)}")
    return [LOGGERS[name]() for name in wanted]


def run(path: Path, place: torch.device) -> tuple[Solver, Task, dict[str, Any]]:
    """Load a run's solver, the task that it was trained on, and what its model file says.

    Args:
        path: of the run; the name of a task stands for the run that comes with it.
        place: where the weights will live.

    Raises:
        CheckpointError: there is no run, or it does not say on which task it was trained.
        UnknownNameError: a plug-in that it needs is not installed.
    """
    from irem_core.files.packaged import packaged_run
    from irem_core.registry import TASKS, plugins
    from irem_core.runs.checkpoint import load_run

    if not path.exists():
        known = {plugin.name: plugin.entry for plugin in plugins(TASKS)}
        entry = known.get(str(path).replace("_", "-"))
        path = (entry and packaged_run(entry)) or path
    return load_run(path, device=place)
