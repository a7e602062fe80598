"""How many updates of the weights there is time for."""

from __future__ import annotations

import copy
from typing import Any

from irem_core import checks
from irem_core.distributed import Ranks
from irem_core.errors import SettingError
from irem_core.solvers.base import Solver
from irem_core.tasks.task import Task
from irem_core.training.fit import fit

# Updates that are not timed, since the first ones build what the others use, and seconds of those
# that are.
_FIRST, _TIMED = 5, 2.0


def updates_within(minutes: float, solver: Solver, task: Task, **training: Any) -> int:
    """Return about how many updates `fit` does in so many minutes here, judged by a copy's.

    Args:
        minutes: of wall-clock time, above 0.
        solver: what is to be trained; it stays as it is.
        task: on what.
        training: arguments of `fit` but for iterations and what keeps a run.

    Raises:
        SettingError: a setting is out of range.
    """
    checks.check(checks.positive, "updates_within", minutes=minutes)
    if (several := Ranks.from_environment().count) > 1:
        raise SettingError(
            f"The updates that {several} processes do in {minutes:g} minutes differ between them; "
            "give iterations instead."
        )
    training = {**training, "iterations": _FIRST, "patience": None}
    trained = fit(copy.deepcopy(solver), task, **training)
    count = max(_FIRST, round(_TIMED * _FIRST / max(trained.seconds, 1e-9)))
    # A replay buffer is filled by now, whose problems are trained on too.
    timed = fit(trained.solver, task, **{**training, "iterations": min(count, 1000)})
    return max(1, round(60 * minutes * timed.iteration / timed.seconds))
