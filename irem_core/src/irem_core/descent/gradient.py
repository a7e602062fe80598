"""Gradient descent with a fixed step size, as in the paper."""

from __future__ import annotations

from typing import Any

import attrs

from irem_core import checks
from irem_core.descent.base import Descent, Probe
from irem_core.energies.landscape import Evaluation
from irem_core.problems.iterate import Iterate


@attrs.frozen(kw_only=True)
class GradientDescent(Descent):
    """y <- y - step_size * dE/dy, and likewise z (Eq. 3, Eq. 9).

    Args:
        step_size: the paper's lambda; 100 is the value that it trains with.
    """

    step_size: float = attrs.field(default=100.0, validator=checks.positive)

    def step(self, evaluation: Evaluation, state: Any, energy: Probe) -> tuple[Iterate, Any]:
        """Take one step of Eq. 3."""
        return evaluation.iterate - self.step_size * evaluation.slope, state
