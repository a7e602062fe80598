"""Conjugate gradients within a trust region, for every problem of a batch by itself."""

from __future__ import annotations

from typing import Any

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from irem_core.energies.derivatives import Product
from irem_core.problems.iterate import Iterate


@attrs.frozen(eq=False)
class Solved:
    """A step s of each problem, and how it was made of the gradient.

    Args:
        step: s.
        bent: H s.
        lengths: `(B,)` for each iteration, how far it went along its direction.
        kept: `(B,)` for each iteration, how much of its direction the next one keeps.
    """

    step: Iterate
    bent: Iterate
    lengths: tuple[Tensor, ...]
    kept: tuple[Tensor, ...]

    def again(self, product: Product, slope: Iterate) -> Iterate:
        """Return what the same iterations make of another gradient, a linear function of it."""
        step, residual, direction = slope.map(torch.zeros_like), slope, slope * -1
        for length, kept in zip(self.lengths, self.kept, strict=True):
            step = step + length * direction
            residual = residual + length * product(direction)
            direction = kept * direction - residual
        return step


def through(solved: Solved, product: Product, slope: Iterate) -> Iterate:
    """Return the step, attached to the gradient that it was made of where that has a graph."""
    if not slope.y.requires_grad:
        return solved.step
    leaves = [slope.y] if slope.z is None else [slope.y, slope.z]
    found = _Through.apply(solved, product, *leaves)  # type: ignore[no-untyped-call]
    return Iterate(found[0], slope.layout, *found[1:])


class _Through(torch.autograd.Function):
    """The iterations with H as a constant: a symmetric function, so its own transpose."""

    @staticmethod
    def forward(ctx: Any, solved: Solved, product: Product, *leaves: Tensor) -> Any:
        ctx.solved, ctx.product = solved, product
        step = solved.step
        return (step.y.clone(),) if step.z is None else (step.y.clone(), step.z.clone())

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        along = Iterate(slopes[0], ctx.solved.step.layout, *slopes[1:])
        found = ctx.solved.again(ctx.product, along)
        return (None, None, found.y) if found.z is None else (None, None, found.y, found.z)


def steihaug(
    product: Product,
    slope: Iterate,
    *,
    radius: Float[Tensor, " problems"],
    tolerance: Float[Tensor, " problems"],
    steps: int,
) -> Solved:
    """Minimise g . s + s . H s / 2 over steps s no longer than a radius (Steihaug, 1983).

    A problem stops where its residual is small, at the radius, or where the curvature along the
    search direction is not positive, by going that way up to the radius.

    Args:
        product: multiplies directions by H.
        slope: g.
        radius: `(B,)` the longest steps; infinite ones only where H is positive.
        tolerance: `(B,)` the share of the norm of g that the residual may have.
        steps: products at most.

    Returns:
        The steps s, and how they were made.
    """
    step = bent = slope.map(torch.zeros_like)
    residual, direction = slope, slope * -1
    squared = slope.dot(slope)
    enough = tolerance.square() * squared
    active = squared > 0
    lengths, kept = [], []
    for _ in range(steps):
        curved = product(direction)
        curvature = direction.dot(curved)
        length = squared / curvature
        beyond = (step + length * direction).norm() >= radius
        leaves = ~(curvature > 0) | beyond
        length = torch.where(leaves, _to_radius(step, direction, radius), length)
        length = torch.where(active, length, 0)
        step, bent = step + length * direction, bent + length * curved
        residual = residual + length * curved
        left = residual.dot(residual)
        active = active & ~leaves & (left > enough)
        lengths.append(length)
        kept.append(torch.where(active, left / squared, 0))
        if not bool(active.any()):
            break
        direction = kept[-1] * direction - residual
        squared = left
    return Solved(step, bent, tuple(lengths), tuple(kept))


def _to_radius(
    step: Iterate, direction: Iterate, radius: Float[Tensor, " problems"]
) -> Float[Tensor, " problems"]:
    """Return how far along a direction a step reaches the radius."""
    along, squared = step.dot(direction), direction.dot(direction)
    room = (radius.square() - step.dot(step)).clamp_min(0)
    return (along.square() + squared * room).sqrt().sub(along) / squared
