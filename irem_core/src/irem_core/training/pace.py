"""How many updates of the weights there is time for."""

from __future__ import annotations

import copy
import time
from typing import Any

from irem_core import checks
from irem_core.distributed import Ranks
from irem_core.errors import SettingError
from irem_core.solvers.base import Solver
from irem_core.tasks.task import Task
from irem_core.training.fit import fit
from irem_core.training.progress import Callback, Progress

# Updates that are not timed, since they build what later ones use and fill a replay buffer, and
# seconds of those that are.
_FIRST, _TIMED = 5, 2.0


def updates_within(minutes: float, solver: Solver, task: Task, **training: Any) -> int:
    """Return about how many updates `fit` does in so many minutes here, judged by a copy's.

    Args:
        minutes: of wall-clock time, above 0.
        solver: what is to be trained; it stays as it is.
        task: on what.
        training: arguments of `fit` but for iterations and what keeps a run.

    Raises:
        SettingError: a setting is out of range, or several processes train together.
    """
    checks.check(checks.positive, "updates_within", minutes=minutes)
    if (several := Ranks.from_environment().count) > 1:
        raise SettingError(
            f"The updates that {several} processes do in {minutes:g} minutes differ between them; "
            "give iterations instead."
        )
    clock = _Clock()
    training = {**training, "iterations": 100_000, "patience": None, "callbacks": [clock]}
    try:
        fit(copy.deepcopy(solver), task, **training)
    except _EnoughSeenError:
        return max(1, round(60 * minutes / clock.seconds))
    return 1


class _EnoughSeenError(Exception):
    """Ends a training whose pace is known."""


class _Clock(Callback):
    """Time updates, and end the training."""

    def __init__(self) -> None:
        self.began = 0.0
        self.seconds = 0.0

    def stepped(self, progress: Progress) -> None:
        now, done = time.perf_counter(), progress.iteration - _FIRST
        if done == 0:
            self.began = now
        elif done > 0 and now - self.began > _TIMED:
            self.seconds = (now - self.began) / done
            raise _EnoughSeenError
