"""Gradient descent whose step size each problem finds by itself, by backtracking."""

from __future__ import annotations

import attrs
from torch import Tensor

from irem_core import checks
from irem_core.descent.base import Descent, Probe
from irem_core.descent.line_search import first_step_size, search
from irem_core.energies.landscape import Evaluation
from irem_core.problems.iterate import Iterate


@attrs.frozen(kw_only=True)
class Backtracking(Descent):
    """Gradient descent under Armijo's rule: the energy of every problem falls at every step.

    Each step first tries a longer step than the one accepted last, so nothing needs tuning.

    Args:
        grow: factor from the step accepted last to the next first trial, above 1.
        shrink: factor between trials, between 0 and 1.
        decrease: fraction of the predicted decrease that is demanded, between 0 and 1.
        trials: step sizes tried at most before a problem stays where it is.
    """

    grow: float = attrs.field(default=2.0, validator=checks.number("a number above 1", above=1))
    shrink: float = attrs.field(default=0.5, validator=checks.proper_fraction)
    decrease: float = attrs.field(default=1e-4, validator=checks.proper_fraction)
    trials: int = attrs.field(default=40, validator=checks.count)

    def init(self, evaluation: Evaluation) -> Tensor:
        """Start from the step size that moves no entry by more than 1."""
        return first_step_size(evaluation)

    def step(self, evaluation: Evaluation, state: Tensor, energy: Probe) -> tuple[Iterate, Tensor]:
        """Search from the remembered step size and remember a longer one."""
        iterate, accepted = search(
            evaluation,
            state,
            energy,
            ceiling=evaluation.energy.detach(),
            decrease=self.decrease,
            shrink=self.shrink,
            trials=self.trials,
        )
        # A problem that found no step has arrived, up to rounding: its trials would fail again.
        return iterate, accepted * self.grow
