"""Descents that carry a velocity: heavy ball and Nesterov."""

from __future__ import annotations

import attrs
import torch

from irem_core import checks
from irem_core.descent.base import Descent, Probe
from irem_core.energies.landscape import Evaluation
from irem_core.problems.iterate import Iterate


@attrs.frozen(kw_only=True)
class Momentum(Descent):
    """Heavy ball: v <- momentum * v + dE/dy, y <- y - step_size * v (Polyak, 1964).

    Args:
        step_size: multiplies the velocity; the default gives steps of the paper's length at rest.
        momentum: how much of the velocity is kept, from 0 to below 1.
    """

    step_size: float = attrs.field(default=10.0, validator=checks.positive)
    momentum: float = attrs.field(default=0.9, validator=checks.fraction)

    def init(self, evaluation: Evaluation) -> Iterate:
        """Start with no velocity."""
        return evaluation.iterate.map(torch.zeros_like)

    def step(
        self, evaluation: Evaluation, state: Iterate, energy: Probe
    ) -> tuple[Iterate, Iterate]:
        """Update the velocity, then move along it."""
        velocity = self.momentum * state + evaluation.slope
        return evaluation.iterate - self.step_size * velocity, velocity


@attrs.frozen(kw_only=True)
class Nesterov(Momentum):
    """Nesterov's method, written at the point where the gradient is taken (Sutskever et al., 2013).

    v <- momentum * v + dE/dy, y <- y - step_size * (dE/dy + momentum * v).
    """

    def step(
        self, evaluation: Evaluation, state: Iterate, energy: Probe
    ) -> tuple[Iterate, Iterate]:
        """Update the velocity, then move along it as it will be after another such gradient."""
        velocity = self.momentum * state + evaluation.slope
        ahead = evaluation.slope + self.momentum * velocity
        return evaluation.iterate - self.step_size * ahead, velocity
