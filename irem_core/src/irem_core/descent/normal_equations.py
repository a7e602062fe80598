"""The normal equations of a linearized sum of squares: factorized, or by products alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import attrs
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from irem_core.descent.conjugate import steihaug, through
from irem_core.descent.curvature import Tangent
from irem_core.energies.derivatives import Linearized
from irem_core.problems.iterate import Iterate


class NormalEquations(ABC):
    """(2 J^T J + damping) s = g, along the face of a space that holds the answers."""

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
        bend: what it is along the face, with what the bend of that adds.
        joint: `(B, 1)` whether entries move together there, as shares of a whole do.
        tangent: the face.
    """

    gram: Float[Tensor, "problems n n"]
    bend: Float[Tensor, "problems n n"]
    joint: Bool[Tensor, "problems 1"]
    tangent: Tangent

    @classmethod
    def of(cls, residuals: Linearized, at: Iterate, tangent: Tangent) -> Self:
        """Make the matrix, by a product for each entry or each residual, whichever are fewer."""
        count, entries = residuals.residuals.flatten(1).shape[1], entries_of(at)
        if count < entries:
            shape = residuals.residuals.shape
            units = _units(residuals.residuals.flatten(1))
            rows = [flat(residuals.transposed(each.reshape(shape))) for each in units]
            jacobian = torch.stack(rows, 1)
        else:
            units = _units(flat(at))
            columns = [residuals.times(shaped(each, at)).flatten(1) for each in units]
            jacobian = torch.stack(columns, 2)
        gram = 2 * jacobian.mT @ jacobian
        if tangent.face is None:
            apart = torch.zeros_like(gram[:, :1, 0], dtype=torch.bool)
            return cls(gram, gram, apart, tangent)
        ways = [tangent.along(shaped(each, at)) for each in _units(flat(at))]
        across = torch.stack([flat(each) for each in ways], 2)
        none = at.map(torch.zeros_like)
        added = torch.stack([flat(tangent.bent(none, each)) for each in ways], 2)
        joint = across.triu(1).abs().amax((1, 2)) > 0
        return cls(gram, across.mT @ gram @ across + added, joint[:, None], tangent)

    @property
    def diagonal(self) -> Float[Tensor, "problems n"]:  # type: ignore[override]
        """The curvature of each entry, or where entries move together the largest for all."""
        curvature = self.gram.diagonal(dim1=1, dim2=2)
        return torch.where(self.joint, curvature.amax(1, keepdim=True), curvature)

    def solve(self, slope: Iterate, damping: Float[Tensor, "problems n"]) -> Iterate:
        """Factorize by Cholesky; problems whose matrix is not positive do not move."""
        matrix = self.bend + torch.diag_embed(damping)
        factor, failed = torch.linalg.cholesky_ex(matrix)
        eye = torch.eye(matrix.shape[1], dtype=matrix.dtype, device=matrix.device)
        factor = torch.where((failed > 0)[:, None, None], eye, factor)
        right = flat(self.tangent.along(slope))
        solved = torch.cholesky_solve(right[..., None], factor)[..., 0]
        return self.tangent.along(shaped(torch.where((failed > 0)[:, None], 0, solved), slope))

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
        tangent: the face that holds the answers.
        iterations: at most.
        tolerance: the share of g that may be left.
    """

    residuals: Linearized
    diagonal: Float[Tensor, "problems 1"]
    tangent: Tangent
    iterations: int
    tolerance: float

    @classmethod
    def of(
        cls,
        residuals: Linearized,
        slope: Iterate,
        tangent: Tangent,
        iterations: int,
        tolerance: float,
    ) -> Self:
        """Measure the curvature along the gradient."""
        along = tangent.along(slope)
        squared = along.dot(along)
        curvature = 2 * residuals.square(residuals.times(along)) / squared
        curvature = torch.where(squared > 0, curvature, 0)
        return cls(residuals, curvature[:, None], tangent, iterations, tolerance)

    def solve(self, slope: Iterate, damping: Float[Tensor, "problems 1"]) -> Iterate:
        """Iterate until little of the right-hand side is left."""

        def product(direction: Iterate) -> Iterate:
            bent = 2 * self.residuals.transposed(self.residuals.times(direction))
            return self.tangent.bent(bent, direction) + damping[:, 0] * direction

        along = self.tangent.along(slope)
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


def _units(like: Float[Tensor, "problems n"]) -> Float[Tensor, "n problems n"]:
    """Return the unit vectors, each for all problems."""
    eye = torch.eye(like.shape[1], dtype=like.dtype, device=like.device)
    return eye[:, None].expand(-1, like.shape[0], -1)


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
