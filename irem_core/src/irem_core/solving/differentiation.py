"""Answers that can be differentiated: how the gradient of a loss reaches what they were made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import attrs
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from irem_core import checks
from irem_core.descent.base import Descent
from irem_core.energies.derivatives import Product, hessian_at, hessian_of
from irem_core.energies.landscape import Landscape, by_autograd
from irem_core.errors import SettingError
from irem_core.problems import trees
from irem_core.problems.iterate import Iterate, project
from irem_core.problems.space import Space
from irem_core.solving.outcome import Outcome
from irem_core.solving.solution import Solution

Report = Callable[[Float[Tensor, " problems"]], None]

# Products with the Hessian that find its largest eigenvalue to within a few per cent.
_POWERS = 20


class Differentiation(ABC):
    """A rule for the derivatives of answers (see `minimize`, whose `differentiable` it is)."""

    __slots__ = ()

    @abstractmethod
    def attach(
        self,
        energy: Landscape,
        context: Any,
        iterate: Iterate,
        space: Space | None,
        report: Report | None = None,
    ) -> Iterate:
        """Return the same iterates, attached to the weights of the energy and to the context.

        Args:
            energy: what was descended.
            context: what its `encode` returned, attached to the weights and to x.
            iterate: where descents ended, as constants.
            space: the space of the answers, or None where it is not known.
            report: gets the relative residuals `(B,)` of the linear systems that are solved, once
                they are.
        """


@attrs.frozen(kw_only=True)
class Unrolled(Differentiation):
    """Differentiate through further steps of gradient descent, from where the descent ended.

    The answer keeps its value. Its derivatives are those of `steps` steps of gradient descent, in
    which it is taken as a constant to begin with: they tend to those of `Implicit` as the steps
    grow in number, at the rate of gradient descent itself, and take memory for each step.

    Args:
        steps: at least 1.
        step_size: of each step; None for one over the largest curvature, found for each problem by
            power iteration.
    """

    steps: int = attrs.field(default=10, validator=checks.count)
    step_size: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(checks.positive)
    )

    def attach(
        self,
        energy: Landscape,
        context: Any,
        iterate: Iterate,
        space: Space | None,
        report: Report | None = None,
    ) -> Iterate:
        """Take the steps with their graph (see `Differentiation.attach`); nothing is reported."""
        step_size: float | Tensor | None = self.step_size
        if step_size is None:
            step_size = 1 / steepest(hessian_at(energy, trees.detach(context), iterate), iterate)
        after = iterate
        with torch.enable_grad():
            for _ in range(self.steps):
                here = by_autograd(energy, context, after, create_graph=True)
                after = project(space, here.iterate - step_size * here.slope)
            return iterate + (after - after.detach())


def attach_implicitly(
    energy: Landscape,
    context: Any,
    iterate: Iterate,
    space: Space | None,
    solve: Callable[[Product, Iterate], tuple[Iterate, Tensor]],
    report: Report | None,
) -> Iterate:
    """Attach iterates by the implicit function theorem (see `Implicit`).

    Args:
        energy: as for `Differentiation.attach`, and so are context, iterate, space and report.
        context: see there.
        iterate: see there.
        space: see there.
        solve: solves a symmetric system, given its products and the right-hand side, and returns
            the solution with its relative residuals.
        report: see there.
    """
    here = by_autograd(energy, context, iterate.detach(), create_graph=True)
    hessian = hessian_of(here.iterate, here.slope)
    face = None if space is None else space.face(iterate.y, here.slope.y.detach())

    def along(direction: Iterate) -> Iterate:
        return direction if face is None else attrs.evolve(direction, y=face.along(direction.y))

    def product(direction: Iterate) -> Iterate:
        bent = along(hessian(along(direction)))
        return bent if face is None else attrs.evolve(bent, y=bent.y + face.bend(direction.y))

    def adjoint(wanted: Iterate) -> Iterate:
        found, residual = solve(product, along(wanted))
        if report is not None:
            report(residual)
        return along(found)

    leaves = [leaf for leaf in (iterate.y, iterate.z) if leaf is not None]
    slopes = [leaf for leaf in (here.slope.y, here.slope.z) if leaf is not None]
    with torch.enable_grad():
        y, *z = _Attached.apply(  # type: ignore[no-untyped-call]
            adjoint, iterate.layout, len(leaves), *leaves, *slopes
        )
    return Iterate(y, iterate.layout, *z)


class _Attached(torch.autograd.Function):
    """The identity, whose derivative in the slope of the energy is minus the inverse Hessian."""

    @staticmethod
    def forward(ctx: Any, adjoint: Any, layout: Any, count: int, *tensors: Tensor) -> Any:
        ctx.adjoint, ctx.layout = adjoint, layout
        return tuple(leaf.clone() for leaf in tensors[:count])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, y: Tensor, *z: Tensor) -> Any:
        found = ctx.adjoint(Iterate(y, ctx.layout, *z)) * -1.0
        slopes = (found.y,) if found.z is None else (found.y, found.z)
        return (None, None, None, *(None for _ in slopes), *slopes)


def steepest(product: Product, like: Iterate) -> Float[Tensor, " problems"]:
    """Return the largest eigenvalue in magnitude of each problem's system, by power iteration.

    It is 1 where the system is zero.
    """
    generator = torch.Generator(like.y.device).manual_seed(0)
    direction = like.map(lambda leaf: torch.empty_like(leaf).normal_(generator=generator))
    size = direction.norm()
    for _ in range(_POWERS):
        direction = product(direction * _inverse(size))
        size = direction.norm()
    return torch.where(size > 0, size, 1.0)


def _inverse(values: Tensor) -> Tensor:
    """Return 1 / values, and 0 where that is infinite."""
    return torch.where(values != 0, 1 / values, 0.0)


def conjugate_gradients(
    product: Product, wanted: Iterate, *, tolerance: float, max_steps: int
) -> tuple[Iterate, Bool[Tensor, " problems"]]:
    """Solve symmetric positive systems, one a problem, each with its own step lengths and end.

    Args:
        product: multiplies directions by the matrices.
        wanted: the right-hand sides.
        tolerance: the residual that is small enough, as a share of the right-hand side.
        max_steps: the most steps that any problem takes.

    Returns:
        The solutions, and for each problem whether its matrix turned out to be singular, or not
        positive, along a direction that was searched; its solution is then of no use.
    """
    resolution = torch.finfo(wanted.y.dtype).eps
    found, left, direction = wanted * 0.0, wanted, wanted
    squared = left.dot(left)
    enough = squared * max(tolerance, 10 * resolution) ** 2
    greatest, singular = torch.zeros_like(squared), torch.zeros_like(squared, dtype=torch.bool)
    for _ in range(max_steps):
        active = (squared > enough) & ~singular
        if not bool(active.any()):
            break
        image = product(direction)
        rise = direction.dot(image)
        curvature = rise * _inverse(direction.dot(direction))
        greatest = torch.maximum(greatest, curvature.abs())
        singular = singular | (active & ~(curvature > 100 * resolution * greatest))
        active = active & ~singular
        length = torch.where(active, squared * _inverse(rise), 0.0)
        found, left = found + direction * length, left - image * length
        before, squared = squared, torch.where(active, left.dot(left), squared)
        direction = left + direction * torch.where(active, squared * _inverse(before), 0.0)
    return found, singular


def solve_damped(
    product: Product, wanted: Iterate, *, damping: float, tolerance: float, max_steps: int
) -> tuple[Iterate, Float[Tensor, " problems"]]:
    """Solve symmetric systems H u = v, and where H is singular or not positive, the least squares.

    There (H^2 + d^2) u = H v is solved, with d the root of the numbers' resolution times the
    largest eigenvalue: as d tends to 0 that is the shortest u for which H u is nearest to v.

    Args:
        product: multiplies directions by H.
        wanted: v.
        damping: is added to the diagonal of H.
        tolerance: as of `conjugate_gradients`.
        max_steps: as of `conjugate_gradients`.

    Returns:
        u, and for each problem |H u - v| / |v|, with H as it is without the damping; 0 where v is.
    """

    def damped(direction: Iterate) -> Iterate:
        return product(direction) + direction * damping if damping else product(direction)

    found, singular = conjugate_gradients(damped, wanted, tolerance=tolerance, max_steps=max_steps)
    if bool(singular.any()):
        # H v points where H is steep, unlike a random direction, which noise may lead elsewhere.
        floor = steepest(damped, wanted) ** 2 * torch.finfo(wanted.y.dtype).eps
        others, _ = conjugate_gradients(
            lambda direction: damped(damped(direction)) + direction * floor,
            damped(wanted * singular.to(wanted.y.dtype)),
            tolerance=tolerance,
            max_steps=max_steps,
        )
        found = trees.where(singular, wanted.layout, others, found)
    residual = (product(found) - wanted).norm() * _inverse(wanted.norm())
    return found, residual


def check_differentiable(rule: Any, descent: Descent) -> None:
    """Check that answers of a descent can be differentiated by a rule.

    Raises:
        SettingError: the rule is none, or the descent does not lead where the gradient vanishes.
    """
    checks.check(checks.part_of(Differentiation), "minimize", differentiable=rule)
    if not descent.needs_gradient:
        raise SettingError(
            f"{type(descent).__name__} needs no gradient and ends where none need vanish, so its "
            "answers have no derivatives; leave differentiable out, or descend by gradients."
        )


def differentiated(
    rule: Differentiation, energy: Landscape, context: Any, space: Space | None, solution: Solution
) -> Solution:
    """Attach the answers of the problems that converged; those of others get a gradient of zero.

    Args:
        rule: how.
        energy: what was descended.
        context: what its `encode` returned, with its graph.
        space: the space of the answers, or None.
        solution: what was found.
    """
    layout, carries = solution.layout, solution.outcome == Outcome.CONVERGED
    whole = Iterate(solution.y, layout, solution.z)
    residual = torch.full_like(whole.dot(whole), torch.nan)
    chosen = carries.nonzero().squeeze(1)

    def report(found: Tensor) -> None:
        residual[chosen] = found.to(residual.dtype)

    if not chosen.numel():
        # A leaf: backward through it is no error, and reaches nothing.
        attached = whole.clone().map(torch.Tensor.requires_grad_)
    elif bool(carries.all()):
        with torch.enable_grad():
            attached = rule.attach(energy, context, whole, space, report)
    else:
        # Only the rows that carry a gradient: zero times what may be infinite elsewhere is NaN.
        with torch.enable_grad():
            context = trees.select(context, layout, chosen)
            part = rule.attach(energy, context, trees.select(whole, layout, chosen), space, report)
            rows = layout.rows_of(chosen)
            attached = attrs.evolve(whole, y=whole.y.index_put((rows,), part.y))
            if whole.z is not None and part.z is not None:
                attached = attrs.evolve(attached, z=whole.z.index_put((chosen,), part.z))
    return attrs.evolve(solution, y=attached.y, z=attached.z, carries=carries, residual=residual)
