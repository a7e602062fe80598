"""The normal equations of a linearized sum of squares: factorized, or by products alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from irem_core.descent.conjugate import steihaug, through
from irem_core.energies.derivatives import Linearized
from irem_core.problems.iterate import Iterate


class NormalEquations(ABC):
    """(2 J^T J + damping) s = g, among the entries that are free."""

    diagonal: Float[Tensor, "problems units"]
    """The curvature 2 J^T J of each entry, or one for all."""

    @abstractmethod
    def solve(self, slope: Iterate, damping: Float[Tensor, "problems units"]) -> Iterate:
        """Return s for a right-hand side g, through which gradients pass."""

    @abstractmethod
    def squared(self, direction: Iterate) -> Float[Tensor, " problems"]:
        """Return 2 |J s|^2."""


@attrs.frozen(eq=False)
class Dense(NormalEquations):
    """With the matrix 2 J^T J of each problem, `(B, n, n)`.

    Args:
        gram: 2 J^T J.
        free: `(B, n)` 1 for the entries that are free, 0 for the others.
    """

    gram: Float[Tensor, "problems n n"]
    free: Float[Tensor, "problems n"]

    @classmethod
    def of(cls, residuals: Linearized, at: Iterate, free: Iterate | None) -> Self:
        """Make the matrix, by a product for each entry or each residual, whichever are fewer."""
        count, entries = residuals.residuals.flatten(1).shape[1], entries_of(at)
        if count < entries:
            shape = residuals.residuals.shape
            units = residuals.residuals.new_zeros(count, shape[0], count)
            units[torch.arange(count), :, torch.arange(count)] = 1
            rows = [flat(residuals.transposed(each.reshape(shape))) for each in units]
            jacobian = torch.stack(rows, 1)
        else:
            units = at.y.new_zeros(entries, at.layout.count, entries)
            units[torch.arange(entries), :, torch.arange(entries)] = 1
            columns = [residuals.times(shaped(each, at)).flatten(1) for each in units]
            jacobian = torch.stack(columns, 2)
        marks = torch.ones_like(flat(at)) if free is None else flat(free)
        return cls(2 * jacobian.mT @ jacobian, marks)

    @property
    def diagonal(self) -> Float[Tensor, "problems n"]:  # type: ignore[override]
        """The curvature of each entry."""
        return self.gram.diagonal(dim1=1, dim2=2)

    def solve(self, slope: Iterate, damping: Float[Tensor, "problems n"]) -> Iterate:
        """Factorize by Cholesky; problems whose matrix is not positive do not move."""
        free = self.free
        matrix = self.gram * free[:, :, None] * free[:, None]
        matrix = matrix + torch.diag_embed(torch.where(free > 0, damping, 1))
        factor, failed = torch.linalg.cholesky_ex(matrix)
        eye = torch.eye(matrix.shape[1], dtype=matrix.dtype, device=matrix.device)
        factor = torch.where((failed > 0)[:, None, None], eye, factor)
        solved = torch.cholesky_solve((flat(slope) * free)[..., None], factor)[..., 0]
        return shaped(torch.where((failed > 0)[:, None], 0, solved), slope)

    def squared(self, direction: Iterate) -> Float[Tensor, " problems"]:
        """Return 2 |J s|^2."""
        step = flat(direction)[..., None]
        return (step * (self.gram @ step)).sum((1, 2))


@attrs.frozen(eq=False)
class Products(NormalEquations):
    """By conjugate gradients, two products an iteration.

    Args:
        residuals: multiply by J and its transpose.
        diagonal: `(B, 1)` the curvature along the gradient.
        free: 1 for the entries that are free, 0 for the others; None if all are.
        iterations: at most.
        tolerance: the share of g that may be left.
    """

    residuals: Linearized
    diagonal: Float[Tensor, "problems 1"]
    free: Iterate | None
    iterations: int
    tolerance: float

    @classmethod
    def of(
        cls,
        residuals: Linearized,
        slope: Iterate,
        free: Iterate | None,
        iterations: int,
        tolerance: float,
    ) -> Self:
        """Measure the curvature along the gradient."""
        along = _among(slope, free)
        squared = along.dot(along)
        curvature = 2 * residuals.square(residuals.times(along)) / squared
        curvature = torch.where(squared > 0, curvature, 0)
        return cls(residuals, curvature[:, None], free, iterations, tolerance)

    def solve(self, slope: Iterate, damping: Float[Tensor, "problems 1"]) -> Iterate:
        """Iterate until little of the right-hand side is left."""

        def product(direction: Iterate) -> Iterate:
            bent = 2 * self.residuals.transposed(self.residuals.times(direction))
            return _among(bent, self.free) + damping[:, 0] * direction

        along = _among(slope, self.free)
        with torch.no_grad():
            found = steihaug(
                product,
                along.detach(),
                radius=torch.full_like(damping[:, 0], torch.inf),
                tolerance=torch.full_like(damping[:, 0], self.tolerance),
                steps=self.iterations,
            )
        return through(found, product, along) * -1

    def squared(self, direction: Iterate) -> Float[Tensor, " problems"]:
        """Return 2 |J s|^2."""
        return 2 * self.residuals.square(self.residuals.times(direction))


def _among(direction: Iterate, free: Iterate | None) -> Iterate:
    return direction if free is None else direction.map(torch.mul, free)


def entries_of(iterate: Iterate) -> int:
    """Return how many entries a dense problem's y and z have."""
    return flat(iterate).shape[1]


def flat(iterate: Iterate) -> Float[Tensor, "problems n"]:
    """Return the entries of dense problems' y and z as vectors."""
    y = iterate.y.flatten(1) if iterate.y.ndim > 1 else iterate.y[:, None]
    return y if iterate.z is None else torch.cat([y, iterate.z], 1)


def shaped(vectors: Float[Tensor, "problems n"], like: Iterate) -> Iterate:
    """Return vectors as an iterate, as `flat` reads it."""
    entries = like.y[:1].numel()
    y = vectors[:, :entries].reshape_as(like.y)
    return Iterate(y, like.layout, None if like.z is None else vectors[:, entries:])
