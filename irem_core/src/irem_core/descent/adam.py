"""Adam on the candidate solution."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from irem_core import checks
from irem_core.descent.base import Descent, Probe
from irem_core.energies.landscape import Evaluation
from irem_core.problems.iterate import Iterate


@attrs.frozen(eq=False)
class Moments:
    """Adam's state: running means of the gradient and of its square, and the steps taken.

    Gradients are in units of `largest`, the largest entry that each problem's gradient has had, so
    that squares of steep and of flat energies stay in the range of float32.
    """

    first: Iterate
    second: Iterate
    steps: Tensor
    largest: Tensor


@attrs.frozen(kw_only=True)
class Adam(Descent):
    """Adam (Kingma and Ba, 2015): entries move by about `step_size`, whatever the energy's scale.

    Args:
        step_size: length of a step of one entry, in units of the answer.
        decay: how much of the mean gradient is kept, from 0 to below 1.
        square_decay: how much of the mean squared gradient is kept, from 0 to below 1.
        epsilon: added to the root of the mean square, above 0; where no entry of the gradient has
            been as large as 1, in units of the largest.
    """

    step_size: float = attrs.field(default=0.05, validator=checks.positive)
    decay: float = attrs.field(default=0.9, validator=checks.fraction)
    square_decay: float = attrs.field(default=0.999, validator=checks.fraction)
    epsilon: float = attrs.field(default=1e-8, validator=checks.positive)

    def init(self, evaluation: Evaluation) -> Moments:
        """Start with zero moments."""
        zeros = evaluation.iterate.map(torch.zeros_like)
        none = torch.zeros_like(evaluation.energy)
        return Moments(zeros, zeros, none, none)

    def step(
        self, evaluation: Evaluation, state: Moments, energy: Probe
    ) -> tuple[Iterate, Moments]:
        """Update the moments and move by their bias-corrected ratio."""
        largest = torch.maximum(state.largest, evaluation.slope.amax().detach())
        unit = torch.where(largest > 0, largest, torch.ones_like(largest))
        rescaled = state.largest / unit
        slope = _divided(evaluation.slope, unit)
        first = self.decay * (state.first * rescaled) + (1 - self.decay) * slope
        square = slope.map(torch.square)
        second = self.square_decay * (state.second * rescaled.square())
        second = second + (1 - self.square_decay) * square
        steps = state.steps + 1
        mean = first * (1 / (1 - self.decay**steps))
        spread = second * (1 / (1 - self.square_decay**steps))
        least = self.epsilon / unit.clamp(min=1)
        root = spread.map(torch.sqrt) + evaluation.iterate.map(torch.ones_like) * least
        direction = mean.map(torch.div, root)
        return evaluation.iterate - self.step_size * direction, Moments(
            first, second, steps, largest
        )


def _divided(slope: Iterate, unit: Tensor) -> Iterate:
    """Divide by a number per problem whose inverse may leave the range of float32."""
    root = unit.sqrt()
    return slope * (1 / root) * (1 / root)
