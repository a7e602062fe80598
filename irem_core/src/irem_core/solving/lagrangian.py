"""What constrained answers descend: energies with a price on every constraint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from irem_core.energies.landscape import Landscape, differentiate, valued
from irem_core.energies.precision import wide
from irem_core.errors import EnergyError, SettingError, ShapeError
from irem_core.problems.iterate import Iterate, project
from irem_core.problems.problem import Problem

Constraint = Callable[[Any, Tensor], Tensor]
"""Maps x and y to `(B, k)`, or `(B,)`: numbers to be 0, or at most 0."""

# How many times steeper than the energy the first penalty is, where the constraints are met.
_STEEPER = 10.0
# A start that nearly meets the constraints says as little of their scale as one that does, so it
# counts as this far away, as a share of 1 or of its largest entry.
_NEAR = 0.1


@attrs.frozen(kw_only=True)
class Constraints:
    """Functions of question and answer that are to be 0, and such that are to be at most 0.

    Args:
        equal: what is to be 0, or None.
        at_most: what is to be at most 0, or None.

    Raises:
        SettingError: there are none, or they are no functions.
    """

    equal: Constraint | None = None
    at_most: Constraint | None = None

    def __attrs_post_init__(self) -> None:
        """Check that there is something to keep to."""
        given = {name: each for name, each in attrs.asdict(self).items() if each is not None}
        if not given or not all(map(callable, given.values())):
            raise SettingError(
                f"constrained got equal={self.equal!r} and at_most={self.at_most!r}; expected "
                "functions of x and y, at least one of them."
            )

    def values(self, x: Any, iterate: Iterate) -> tuple[Float[Tensor, "problems columns"], int]:
        """Return all of them side by side, and how many of them are to be 0; those come first.

        Raises:
            ShapeError: a function returned something other than `(B, k)` or `(B,)`.
        """
        equal = _columns("equal", self.equal, x, iterate)
        at_most = _columns("at_most", self.at_most, x, iterate)
        return torch.cat([equal, at_most], 1), equal.shape[1]


def _columns(name: str, constraint: Constraint | None, x: Any, iterate: Iterate) -> Tensor:
    count, y = iterate.layout.count, iterate.y
    if constraint is None:
        return y.new_zeros(count, 0)
    found = constraint(x, y)
    got = type(found).__name__
    if isinstance(found, Tensor):
        columns = found.ndim == 1 or (found.ndim == 2 and found.shape[1] > 0)
        if found.is_floating_point() and columns and found.shape[0] == count:
            return wide(found).reshape(count, -1).to(y.dtype)
        got = f"a tensor of shape {tuple(found.shape)} and type {found.dtype}"
    raise ShapeError(
        f"The constraint {name} returned {got} for {count} problems; expected floating-point "
        f"numbers of shape ({count}, k), a column for each of at least one constraint."
    )


def kept(values: Tensor, equalities: int) -> Tensor:
    """Return what counts of values: of those that are to be at most 0 only what is above."""
    return torch.cat([values[:, :equalities], values[:, equalities:].clamp(min=0)], 1)


@attrs.frozen(eq=False)
class Priced:
    """What an augmented Lagrangian takes for a context.

    Args:
        context: that of the energy.
        x: the questions.
        prices: `(B, k)` the multipliers.
        penalty: `(B,)` by how much a constraint's price rises per unit that it is broken.
    """

    context: Any
    x: Any
    prices: Float[Tensor, "problems columns"]
    penalty: Float[Tensor, " problems"]


class AugmentedLagrangian(Landscape):
    """E + penalty / 2 |kept(c + prices / penalty)|^2 (Hestenes; Powell; Rockafellar)."""

    def __init__(self, energy: Landscape, constraints: Constraints) -> None:
        """Take the energy over."""
        super().__init__()
        self.energy, self.constraints = energy, constraints
        self.scratchpad = energy.scratchpad

    def value(self, context: Priced, iterate: Iterate) -> Float[Tensor, " problems"]:
        """Return the energy, and what the constraints that are broken add to it."""
        broken = self._broken(context, iterate).square().sum(1)
        return valued(self.energy, context.context, iterate) + broken

    def misfits(self, context: Priced, iterate: Iterate) -> Tensor | None:
        """Return the energy's residuals, if any, and the constraints'; of dense answers alone."""
        residuals = self.energy.misfits(context.context, iterate)
        if residuals is None or iterate.layout.owner is not None:
            return None
        return torch.cat([wide(residuals).flatten(1), self._broken(context, iterate)], 1)

    def _broken(self, context: Priced, iterate: Iterate) -> Float[Tensor, "problems columns"]:
        values, equalities = self.constraints.values(context.x, iterate)
        penalty = context.penalty[:, None]
        return (penalty / 2).sqrt() * kept(values + context.prices / penalty, equalities)


@attrs.frozen(eq=False)
class Tied:
    """What a Lagrangian takes for a context.

    Args:
        context: that of the energy.
        x: the questions.
        active: `(B, k)` which constraints hold the answer.
    """

    context: Any
    x: Any
    active: Bool[Tensor, "problems columns"]


class Lagrangian(Landscape):
    """E + sum prices c over the active constraints, with the prices as the last entries of z.

    Its gradient in y and z vanishes at constrained minima, so that the implicit function theorem
    holds of both together. The price of an inactive constraint is held at 0.
    """

    def __init__(self, energy: Landscape, constraints: Constraints, columns: int) -> None:
        """Take the energy over, with a scratchpad for so many prices more."""
        super().__init__()
        self.energy, self.constraints = energy, constraints
        self.scratchpad = energy.scratchpad + columns

    def value(self, context: Tied, iterate: Iterate) -> Float[Tensor, " problems"]:
        """Return the Lagrangian of y and z."""
        assert iterate.z is not None
        width = self.energy.scratchpad
        z, prices = iterate.z.split([width, iterate.z.shape[1] - width], 1)
        own = Iterate(iterate.y, iterate.layout, z if width else None)
        values, _ = self.constraints.values(context.x, own)
        tied = torch.where(context.active, prices * values, -prices.square() / 2)
        return valued(self.energy, context.context, own) + tied.sum(1)


def first_prices(
    energy: Landscape, constraints: Constraints, problem: Problem, context: Any, start: Iterate
) -> Priced:
    """Return prices of 0, and a penalty of the size that each problem's numbers suggest.

    Where a step along the constraints' gradient would meet them, the energy has some slope, which
    the penalty's at the start should exceed. So it does not matter in which units either is given.

    Args:
        energy: what is descended.
        constraints: under which.
        problem: the questions.
        context: what the energy's `encode` returned.
        start: where descents start.

    Raises:
        ShapeError: a constraint has the wrong shape.
        EnergyError: the constraints do not depend on y.
    """
    step, steepness, columns = cure(constraints, problem.x, start)
    step = attrs.evolve(step, y=step.y.nan_to_num(0.0, 0.0, 0.0))
    met = project(problem.answer, attrs.evolve(start, y=start.y + step.y))
    slope = attrs.evolve(differentiate(energy, context, met).slope, z=None)
    away = attrs.evolve(step, z=None).norm()
    steepness = steepness * (_NEAR * (1 + start.amax()) / away).clamp(min=1)
    penalty = _STEEPER * slope.norm() / steepness
    penalty = torch.where(penalty.isfinite() & (penalty > 0), penalty, _STEEPER)
    return Priced(context, problem.x, penalty.new_zeros(len(penalty), columns), penalty)


def cure(
    constraints: Constraints, x: Any, iterate: Iterate
) -> tuple[Iterate, Float[Tensor, " problems"], int]:
    """Return the step down the squares of broken constraints that would meet them, were they flat.

    Where none is broken, it is the step to where the nearest begin to be.

    Args:
        constraints: the constraints.
        x: the questions.
        iterate: where.

    Returns:
        The step in y, NaN or infinite where it leads nowhere; how steep half the sum of squares is;
        and the number of constraints.

    Raises:
        ShapeError: a constraint has the wrong shape.
        EnergyError: the constraints do not depend on y.
    """
    at = attrs.evolve(iterate, y=iterate.y.detach().requires_grad_())
    with torch.enable_grad():
        values, equalities = constraints.values(x, at)
        if not values.requires_grad:
            raise EnergyError(
                "The constraints do not depend on y, so no answer meets them better than another; "
                "compute them from y by differentiable operations."
            )
        broken = kept(values.detach(), equalities)
        broken = torch.where(broken.any(1, keepdim=True), broken, values.detach())
        (slope,) = torch.autograd.grad((values * broken).sum(), at.y)
    uphill = Iterate(slope, iterate.layout)
    steepness = uphill.norm()
    step = uphill * (-broken.square().sum(1) / steepness.square())
    return step, steepness, values.shape[1]
