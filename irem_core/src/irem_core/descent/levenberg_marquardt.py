"""Levenberg-Marquardt: Gauss-Newton steps with a damping that each problem finds by itself."""

from __future__ import annotations

import attrs
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from irem_core import checks
from irem_core.descent.base import Descent, Probe
from irem_core.descent.curvature import Tangent
from irem_core.descent.normal_equations import Dense, NormalEquations, Products, entries_of
from irem_core.energies.landscape import Evaluation
from irem_core.problems import trees
from irem_core.problems.iterate import Iterate

# The share of the predicted decrease that a step must reach, and what is kept of the damping after
# one that reaches all of it.
_ENOUGH, _LEAST = 1e-4, 1 / 3
# The fastest that damping may begin to grow.
_FASTEST = 64.0


@attrs.frozen(eq=False)
class Damping:
    """State: how much each problem is damped, how fast that grows, and in which unit.

    Args:
        factor: the damping in that unit.
        growth: by how much the next rejected step multiplies it; infinite where
            a search has found no step and left all as it was.
        unit: the largest curvature seen so far: of each entry, or one for all.
    """

    factor: Float[Tensor, " problems"]
    growth: Float[Tensor, " problems"]
    unit: Float[Tensor, "problems units"]


@attrs.frozen(kw_only=True)
class LevenbergMarquardt(Descent):
    """Damped Gauss-Newton steps s on energies that are sums of squares (Marquardt, 1963).

    With J the Jacobian of the residuals r, (2 J^T J + damping D) s = -2 J^T r, where D has the
    largest curvatures of the entries so far (More, 1978). The damping falls where the energy does
    as the linear model says, and grows, faster and faster, until it falls at all (Nielsen, 1999).
    The energy offers `residuals` (see `EnergyFn.residuals`). Where a face of a
    bounded space holds answers, steps go along it, and are moved within the bounds.

    Answers of up to `dense` entries take a Cholesky factorization, and a product with J or its
    transpose for each entry or residual, whichever are fewer. Larger and ragged ones take conjugate
    gradients, two products an iteration, with one curvature for all entries. In training J is a
    constant: a loss reaches the weights through the gradient.

    Args:
        damping: of the first step, relative to the curvature, above 0.
        trials: dampings tried at most before a problem stays where it is.
        dense: entries of an answer up to which the normal equations are factorized.
        iterations: of conjugate gradients at most.
        tolerance: share of the gradient that conjugate gradients may leave, between 0 and 1.

    Raises:
        EnergyError: the energy has no residuals.
    """

    damping: float = attrs.field(default=1e-6, validator=checks.positive)
    trials: int = attrs.field(default=12, validator=checks.count)
    dense: int = attrs.field(default=64, validator=checks.count_or_zero)
    iterations: int = attrs.field(default=50, validator=checks.count)
    tolerance: float = attrs.field(default=1e-2, validator=checks.proper_fraction)

    def init(self, evaluation: Evaluation) -> Damping:
        """Start with the damping of the first step, and no curvature seen."""
        ones = torch.ones_like(evaluation.energy)
        units = entries_of(evaluation.iterate) if self._is_dense(evaluation.iterate) else 1
        return Damping(self.damping * ones, 2 * ones, ones.new_zeros(len(ones), units))

    def step(
        self, evaluation: Evaluation, state: Damping, energy: Probe
    ) -> tuple[Iterate, Damping]:
        """Linearize the residuals, and damp until the energy falls."""
        known = evaluation.detach()
        with torch.no_grad():
            residuals = energy.linearized(known.iterate)
            tangent = Tangent.at(known, energy)
            if self._is_dense(known.iterate):
                system: NormalEquations = Dense.of(residuals, known.iterate, tangent)
            else:
                system = Products.of(
                    residuals, known.slope, tangent, self.iterations, self.tolerance
                )
            unit = torch.maximum(state.unit, system.diagonal)
            state = attrs.evolve(state, unit=unit)
            found, taken, state = self._search(known, system, state, energy)
        if evaluation.slope.y.requires_grad:
            damping = torch.where(taken > 0, taken, 1)[:, None] * _positive(state.unit)
            uphill = system.solve(evaluation.slope, damping)
            return evaluation.iterate - (taken > 0).to(taken.dtype) * uphill, state
        return energy.settle(found), state

    def _search(
        self, known: Evaluation, system: NormalEquations, state: Damping, energy: Probe
    ) -> tuple[Evaluation, Float[Tensor, " problems"], Damping]:
        """Return what was found, the damping of each accepted step or 0, and the next state."""
        factor, growth, unit = state.factor, state.growth, _positive(state.unit)
        found, taken = known, torch.zeros_like(factor)
        searching = (known.slope.amax() > 0) & growth.isfinite()
        if energy.running is not None:
            searching = searching & energy.running
        for _ in range(self.trials):
            downhill = system.solve(known.slope, factor[:, None] * unit) * -1
            seen = energy.differentiate(known.iterate + downhill, searching, known)
            moved = seen.iterate - known.iterate
            predicted = -known.slope.dot(moved) - system.squared(moved) / 2
            gain = (known.energy - seen.energy) / predicted
            accepted = searching & ((predicted > 0) & (gain > _ENOUGH) | _drowned(known, seen))
            found = trees.where(accepted, known.iterate.layout, seen, found)
            taken = torch.where(accepted, factor, taken)
            fewer = 1 - (2 * gain.clamp(0, 1) - 1) ** 3
            eased = factor * fewer.nan_to_num(1.0).clamp_min(_LEAST)
            factor = torch.where(searching, torch.where(accepted, eased, factor * growth), factor)
            growth = torch.where(searching, torch.where(accepted, 2.0, growth * 2), growth)
            searching = searching & ~accepted
            if not bool(searching.any()):
                break
        tiny = torch.finfo(factor.dtype).eps
        factor, finite = factor.clamp(tiny, 1 / tiny), growth.clamp(max=_FASTEST)
        # Another search from the same damping would be this one again.
        again = searching & (factor == state.factor) & (finite == state.growth)
        growth = torch.where(again | growth.isinf(), torch.inf, finite)
        return found, taken, Damping(factor, growth, state.unit)

    def _is_dense(self, iterate: Iterate) -> bool:
        return iterate.layout.owner is None and entries_of(iterate) <= self.dense


def _positive(unit: Float[Tensor, "problems units"]) -> Float[Tensor, "problems units"]:
    """Give entries without curvature that of the others, so that they are damped at all."""
    largest = unit.amax(1, keepdim=True)
    largest = torch.where(largest > 0, largest, 1.0)
    return unit.clamp_min(0) + torch.where(unit > 0, 0, largest)


def _drowned(known: Evaluation, seen: Evaluation) -> Bool[Tensor, " problems"]:
    """Say where energies tell no difference and the gradient became smaller."""
    rounding = 4 * torch.finfo(known.energy.dtype).eps * known.energy.abs()
    same = (seen.energy - known.energy).abs() <= rounding
    return same & (seen.slope.norm() < known.slope.norm())
