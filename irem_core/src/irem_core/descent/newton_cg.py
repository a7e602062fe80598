"""Newton's method by conjugate gradients, with a trust region for each problem."""

from __future__ import annotations

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from irem_core import checks
from irem_core.descent.base import Descent, Probe
from irem_core.descent.conjugate import steihaug, through
from irem_core.descent.curvature import Tangent
from irem_core.descent.ray_search import Search
from irem_core.energies.landscape import Evaluation
from irem_core.problems.iterate import Iterate

# A step that falls by less than the first share of what was predicted shrinks the region, and one
# by more than the second share lengthens it.
_POOR, _GOOD = 0.25, 0.75


@attrs.frozen(kw_only=True)
class NewtonCG(Descent):
    """Newton steps within a radius, by products with the Hessian alone (Steihaug, 1983).

    Conjugate gradients minimise the energy's quadratic model within the radius, and follow negative
    curvature up to it. A step that does not lower the energy is shortened (Nocedal and Yuan, 1998).
    The radius follows how much of the predicted decrease there is: it becomes the length of a poor
    step, and twice as long after a good one that reached it. Where a face of a
    bounded space holds answers, steps go along it, and trials are moved within the bounds.

    A product costs about two evaluations; `solution.products` counts them. In training the Hessian
    is a constant: a loss reaches the weights through the gradient.

    Args:
        radius: the longest first step, above 0.
        iterations: of conjugate gradients at most.
        tolerance: share of the gradient that conjugate gradients may leave far from the minimum,
            between 0 and 1; near it they leave less.
        decrease: fraction of the predicted decrease that is demanded, between 0 and 1.
        trials: step lengths tried at most before a problem stays where it is.

    Raises:
        EnergyError: the energy is linear, or cannot be differentiated twice.
    """

    radius: float = attrs.field(default=1.0, validator=checks.positive)
    iterations: int = attrs.field(default=50, validator=checks.count)
    tolerance: float = attrs.field(default=0.1, validator=checks.proper_fraction)
    decrease: float = attrs.field(default=1e-4, validator=checks.proper_fraction)
    trials: int = attrs.field(default=15, validator=checks.count)

    def init(self, evaluation: Evaluation) -> tuple[Tensor, Tensor]:
        """Start with the first radius, and with the norm of the gradient."""
        radius = torch.full_like(evaluation.energy, self.radius)
        return radius, evaluation.slope.norm().detach()

    def step(
        self, evaluation: Evaluation, state: tuple[Tensor, Tensor], energy: Probe
    ) -> tuple[Iterate, tuple[Tensor, Tensor]]:
        """Minimise the model within the radius, and go as far there as the energy falls."""
        radius, first = state
        known = evaluation.detach()
        with torch.no_grad():
            bend, tangent = energy.hessian_at(known.iterate), Tangent.at(known, energy)

            def product(direction: Iterate) -> Iterate:
                return tangent.bent(bend(direction), direction)

            slope = tangent.along(known.slope)
            near = (slope.norm() / first).sqrt().nan_to_num(0.0)
            solved = steihaug(
                product,
                slope,
                radius=radius,
                tolerance=near.clamp(max=1.0) * self.tolerance,
                steps=self.iterations,
            )
            search = Search(self.decrease, None, self.trials)
            ones = torch.ones_like(radius)
            found, length = search.along(known, solved.step, ones, energy)
            predicted = -known.slope.dot(solved.step) - solved.step.dot(solved.bent) / 2
            gain = (known.energy - found.energy) / predicted
            radius = self._next(radius, solved.step.norm(), length, gain)
        if evaluation.slope.y.requires_grad:
            step = through(solved, product, tangent.along(evaluation.slope))
            return evaluation.iterate + length * step, (radius, first)
        return energy.settle(found), (radius, first)

    def _next(
        self,
        radius: Float[Tensor, " problems"],
        size: Float[Tensor, " problems"],
        length: Float[Tensor, " problems"],
        gain: Float[Tensor, " problems"],
    ) -> Float[Tensor, " problems"]:
        """Return the next radii, from how long steps were and how much they gained."""
        reached = size >= 0.99 * radius
        longer = torch.where((gain > _GOOD) & reached, 2 * radius, radius)
        shorter = torch.maximum(length * size, size / 16) / torch.where(length < 1, 1, 2)
        # Where nothing was predicted, the gradient is 0 and the radius stays.
        return torch.where((length < 1) | (gain < _POOR), shorter, longer).where(size > 0, radius)
