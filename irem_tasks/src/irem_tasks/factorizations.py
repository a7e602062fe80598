"""Tasks of linear algebra beyond products: factorisations, an eigenvector, a linear system."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from irem_core import MatrixSpace, Problem, SettingError, ShapeError, Space, VectorSpace
from irem_tasks._common import (
    MatrixTask,
    by_numpy,
    identity,
    require_regular,
    uniform,
    well_conditioned,
)
from irem_tasks._declared import Count, NonNegative, Positive
from irem_tasks._elimination import eliminate

_SQUARINGS = 40
_NO_SOLUTION = "its system has no single solution"


class _Factorization(MatrixTask):
    """Split a matrix x, uniform on (-scale, scale), into two of its size, one above the other."""

    # Answers grow with the scale, but for the factor that is bounded in any case.
    difficulties: ClassVar = {"train": {}, "same": {}, "harder": {"scale": 2.5}}

    def spaces(self, size: int) -> tuple[Space, Space]:
        """Return the spaces of the matrix, `(size, size)`, and its factors, `(2 size, size)`."""
        return MatrixSpace(size, size), MatrixSpace(2 * size, size)

    def generate(
        self, count: int, generator: torch.Generator, *, scale: Positive = 1.0, size: Count
    ) -> tuple[Tensor, Float[Tensor, "problems rows size"]]:
        """Draw x `(count, size, size)` and y `(count, 2 * size, size)`."""
        x = uniform((count, size, size), -scale, scale, generator)
        return x, torch.cat(self.factors(x.double()), 1).to(x)

    @abstractmethod
    def factors(self, x: Float[Tensor, "problems size size"]) -> tuple[Tensor, Tensor]:
        """Return the two factors of matrices."""

    def own_input(self, problem: Problem) -> Tensor:
        """Return the entry of x in each factor's entry's place, `(B, 2 size, size, 1)`."""
        return torch.cat([problem.x, problem.x], 1)[..., None]


class LU(_Factorization):
    """Factorise a matrix as x = P L U and give L above U; the permutation P is left out.

    P comes from partial pivoting: no entry of the unit lower triangular L exceeds 1. x is uniform
    on (-scale, scale); the scale is 1 in training and on "same", 2.5 on "harder" (ours: the
    published code has none), where U is 2.5 times as large and L unchanged.

    Args:
        size: rows and columns of the matrix; the published code has 20.
    """

    def factors(self, x: Float[Tensor, "problems size size"]) -> tuple[Tensor, Tensor]:
        """Return L and U, by LAPACK."""
        _, lower, upper = torch.linalg.lu(x)
        return lower, upper

    def oracle(self, problem: Problem) -> Tensor:
        """Return L above U, by SciPy in double precision."""
        from scipy.linalg import lu  # only oracles need SciPy, which is slow to import

        return by_numpy(
            lambda x: np.stack([np.concatenate(lu(each, permute_l=False)[1:]) for each in x]),
            problem.x,
        )

    def classical(self, problem: Problem) -> Tensor:
        """Return L above U, by Gaussian elimination in double precision."""
        reduced, _, _ = eliminate(problem.x.double())
        return torch.cat([reduced.tril(-1) + identity(reduced), reduced.triu()], 1).to(problem.x)

    def group(self, problem: Problem, y: Tensor) -> Int[Tensor, "problems rows size"]:
        """Tell apart what is below, on and above the diagonals of L and of U."""
        sides = _sides(y.shape[2], y.device)
        return torch.cat([sides, sides + 3]).expand_as(y)


class QR(_Factorization):
    """Factorise a matrix as x = Q R, and give the orthogonal Q above the upper triangular R.

    Signs are as LAPACK's Householder reflections give them: the first entry of a reflected column
    changes its sign, and the last diagonal entry of R is what remains. x is uniform on (-scale,
    scale); the scale is 1 in training and on "same", 2.5 on "harder" (ours: the published code has
    none), where R is 2.5 times as large and Q unchanged.

    Args:
        size: rows and columns of the matrix; the published code has 20.
    """

    def factors(self, x: Float[Tensor, "problems size size"]) -> tuple[Tensor, Tensor]:
        """Return Q and R, by LAPACK."""
        left, right = torch.linalg.qr(x)
        return left, right

    def oracle(self, problem: Problem) -> Tensor:
        """Return Q above R, by NumPy in double precision."""
        return by_numpy(lambda x: np.concatenate(np.linalg.qr(x), axis=1), problem.x)

    def classical(self, problem: Problem) -> Tensor:
        """Return Q above R, by Householder reflections in double precision."""
        right: Tensor = problem.x.double().clone()
        left = identity(right).expand_as(right).clone()
        for column in range(right.shape[1] - 1):
            normal = right[:, column:, column].clone()
            length = torch.linalg.vector_norm(normal, dim=1)
            # LAPACK reflects nothing where all below the diagonal is 0 already.
            reflected = (normal[:, 1:] != 0).any(1, keepdim=True)
            normal[:, 0] += torch.where(normal[:, 0] < 0, -length, length)
            normal = (reflected * torch.nn.functional.normalize(normal, dim=1))[..., None]
            right[:, column:] -= 2 * normal @ (normal.mT @ right[:, column:])
            left[:, :, column:] -= 2 * (left[:, :, column:] @ normal) @ normal.mT
        return torch.cat([left, right.triu()], 1).to(problem.x)

    def group(self, problem: Problem, y: Tensor) -> Int[Tensor, "problems rows size"]:
        """Tell Q apart from what is below, on and above the diagonal of R."""
        sides = _sides(y.shape[2], y.device)
        return torch.cat([torch.full_like(sides, 3), sides]).expand_as(y)


class Eigenvector(MatrixTask):
    """Find the unit eigenvector of the largest eigenvalue, with its first entry positive.

    R is uniform on (-scale, scale), S = (R + Rᵀ) / 2, and x = S Sᵀ with the distance between its
    two largest eigenvalues multiplied by `gap`. The scale is 1; the gap is 1 in training and on
    "same", which is the published code's x, and 1/4 on "harder" (ours: the published code has
    none), where power iteration takes four times as many steps.

    Args:
        size: rows and columns of the matrix; the published code has 20.
    """

    difficulties: ClassVar = {"train": {}, "same": {}, "harder": {"gap": 0.25}}

    def spaces(self, size: int) -> tuple[Space, Space]:
        """Return the spaces of the matrix, `(size, size)`, and of the eigenvector, `(size,)`."""
        return MatrixSpace(size, size), VectorSpace(size)

    def generate(
        self,
        count: int,
        generator: torch.Generator,
        *,
        gap: Positive = 1.0,
        scale: Positive = 1.0,
        size: Count,
    ) -> tuple[Tensor, Float[Tensor, "problems size"]]:
        """Draw x `(count, size, size)` and y `(count, size)`, the eigenvector of x as rounded.

        Raises:
            SettingError: a parameter is so large that x overflows.
        """
        entries = uniform((count, size, size), -scale, scale, generator)
        symmetric = (entries + entries.mT).double() / 2
        x = (symmetric @ symmetric.mT).to(entries)
        if gap != 1 and x.shape[1] > 1:
            x = _with_gap(x.double(), gap).to(entries)
        # Neither the gap nor the product is exact in x's type, and a close second eigenvalue
        # magnifies that; the answer must be that of x as it is given.
        leading = _leading(x.double())
        return x, _first_entry_positive(leading).to(x)

    def oracle(self, problem: Problem) -> Tensor:
        """Return the eigenvectors, by NumPy in double precision."""
        leading = by_numpy(lambda x: np.linalg.eigh(x).eigenvectors[:, :, -1], problem.x)
        return _first_entry_positive(leading)

    def classical(self, problem: Problem) -> Tensor:
        """Return the eigenvectors, by power iteration in double precision.

        Squaring the matrix 40 times takes a trillion steps at once, so that even close eigenvalues
        are told apart.
        """
        power: Tensor = problem.x.double()
        for _ in range(_SQUARINGS):
            power = power / torch.linalg.matrix_norm(power, keepdim=True)
            power = power @ power
        # Each column is a multiple of the eigenvector by now; the longest is the most exact.
        longest = torch.linalg.vector_norm(power, dim=1).argmax(1)
        leading = power[torch.arange(len(power), device=power.device), :, longest]
        unit = torch.nn.functional.normalize(leading, dim=1)
        return _first_entry_positive(unit).to(problem.x)

    def own_input(self, problem: Problem) -> Tensor:
        """Return how each entry goes with the first, whose sign is known, `(B, size, 1)`."""
        first_row: Tensor = problem.x[:, 0, :, None]
        return first_row

    def group(self, problem: Problem, y: Tensor) -> Int[Tensor, "problems size"]:
        """Tell the first entry, which is positive, from the others."""
        return (torch.arange(y.shape[1], device=y.device) > 0).long().expand_as(y)


class LinearSystem(MatrixTask):
    """Solve a linear system: x is A, row by row, followed by A v, and y is v.

    R is uniform on (-1, 1), A = (R + Rᵀ)(R + Rᵀ)ᵀ + ridge I, and v is uniform on (-scale, scale).
    The ridge is 0; the scale is 1 in training and on "same", 2.5 on "harder" (ours: the published
    code has none).

    Without a ridge A is badly conditioned: its median condition number is 2,000, and one problem in
    40 exceeds 10^6. Rounding A v to float32 alone moves the solution of x by up to 6e-8 times that
    number relative to v, which is the answer all the same: entries of one problem in ten move by
    more than 1e-4, and of one in a hundred by more than 1e-2.

    Args:
        size: rows and columns of A; the published code has 20, hence questions of 420 numbers.
    """

    difficulties: ClassVar = {"train": {}, "same": {}, "harder": {"scale": 2.5}}

    def spaces(self, size: int) -> tuple[Space, Space]:
        """Return the spaces of A with A v, `(size**2 + size,)`, and of v, `(size,)`."""
        return VectorSpace(size * size + size), VectorSpace(size)

    def generate(
        self,
        count: int,
        generator: torch.Generator,
        *,
        scale: Positive = 1.0,
        ridge: NonNegative = 0.0,
        size: Count,
    ) -> tuple[Tensor, Float[Tensor, "problems size"]]:
        """Draw x `(count, size**2 + size)` and y `(count, size)`."""
        entries = uniform((count, size, size), -1, 1, generator)
        y = uniform((count, size), -scale, scale, generator)
        symmetric = (entries + entries.mT).double()
        matrix = (symmetric @ symmetric.mT + ridge * identity(symmetric)).to(entries)
        product = matrix.double() @ y.double()[..., None]
        return torch.cat([matrix.flatten(1), product[..., 0].to(y)], 1), y

    def oracle(self, problem: Problem) -> Tensor:
        """Return the solutions, by NumPy in double precision.

        Raises:
            NonFiniteError: a matrix is singular to working (double) precision.
            ShapeError: x holds no matrix and vector.
        """
        matrix, product = _system(problem.x)
        require_regular(well_conditioned(matrix), _NO_SOLUTION)
        return by_numpy(lambda x: np.linalg.solve(x, product.numpy(force=True))[..., 0], matrix).to(
            problem.x
        )

    def classical(self, problem: Problem) -> Tensor:
        """Return the solutions, by Gaussian elimination in double precision.

        Raises:
            NonFiniteError: a matrix is singular to working precision: a pivot is next to 0.
            ShapeError: x holds no matrix and vector.
        """
        matrix, product = _system(problem.x)
        reduced, _, _ = eliminate(torch.cat([matrix, product], 2))
        pivots = reduced.diagonal(dim1=1, dim2=2).abs()
        negligible = matrix.shape[1] * torch.finfo(matrix.dtype).eps * matrix.abs().amax((1, 2))
        require_regular(pivots.amin(1) > negligible, _NO_SOLUTION)
        triangle, right = reduced[:, :, :-1], reduced[:, :, -1:]
        solution: Tensor = torch.linalg.solve_triangular(triangle, right, upper=True)
        return solution[..., 0].to(problem.x)

    def own_input(self, problem: Problem) -> Tensor:
        """Return the diagonal entry and the right side of each row, `(B, size, 2)`."""
        matrix, product = _system(problem.x)
        diagonal = matrix.diagonal(dim1=1, dim2=2)
        return torch.stack([diagonal, product[..., 0]], -1).to(problem.x)


def _sides(size: int, device: torch.device) -> Int[Tensor, "size size"]:
    """Number the places below (0), on (1) and above (2) the diagonal."""
    place = torch.arange(size, device=device)
    sides: Tensor = 1 + (place - place[:, None]).sign()
    return sides


def _leading(
    matrices: Float[Tensor, "problems size size"],
) -> Float[Tensor, "problems size"]:
    """Return the leading eigenvectors of positive semidefinite matrices.

    With the eigenvalue known to rounding, one step of inverse iteration arrives (Wilkinson, 1965);
    a second makes up for a start nearly at right angles. All eigenvectors would cost more.
    """
    largest = _finite(torch.linalg.eigvalsh, matrices)[:, -1]
    size, info = matrices.shape[1], torch.finfo(matrices.dtype)
    # Farther from the eigenvalue than rounding reaches, so that no pivot can be zero.
    shift = largest * (1 + 100 * size * info.eps) + info.tiny
    shifted = shift[:, None, None] * identity(matrices) - matrices
    factors, pivots = torch.linalg.lu_factor(shifted)
    found = torch.ones_like(matrices[:, :, :1])
    for _ in range(2):
        solved = torch.linalg.lu_solve(factors, pivots, found)
        found = torch.nn.functional.normalize(solved, dim=1)
    return found.squeeze(2)


def _finite(function: Callable[[Tensor], Any], matrices: Tensor) -> Any:
    """Call a function of matrices that fails where they are not finite.

    Raises:
        SettingError: they are not.
    """
    try:
        return function(matrices)
    except RuntimeError as error:
        if bool(matrices.isfinite().all()):
            raise
        raise SettingError(
            "The eigenvectors of matrices at this difficulty cannot be computed, because entries "
            "overflow; give a smaller scale or gap."
        ) from error


def _with_gap(
    matrices: Float[Tensor, "problems size size"], gap: float
) -> Float[Tensor, "problems size size"]:
    """Multiply the distance between the two largest eigenvalues, moving the largest."""
    values, vectors = _finite(torch.linalg.eigh, matrices)
    move = (gap - 1) * (values[:, -1] - values[:, -2])
    leading = vectors[:, :, -1:]
    moved: Tensor = matrices + move[:, None, None] * leading @ leading.mT
    return moved


def _first_entry_positive(
    vectors: Float[Tensor, "problems size"],
) -> Float[Tensor, "problems size"]:
    return torch.where(vectors[:, :1] < 0, -vectors, vectors)


def _system(
    x: Float[Tensor, "problems numbers"],
) -> tuple[Float[Tensor, "problems size size"], Float[Tensor, "problems size 1"]]:
    """Split questions into the matrix and the right side, in double precision."""
    numbers = x.shape[1]
    size = (math.isqrt(1 + 4 * numbers) - 1) // 2
    if not numbers or size * size + size != numbers:
        raise ShapeError(
            f"x holds {numbers} numbers a problem; expected size**2 + size of them, a matrix row "
            "by row and a right side, such as 420 for the size 20."
        )
    matrix, product = x.double().split([size * size, size], 1)
    square: Tensor = rearrange(matrix, "b (row column) -> b row column", row=size)
    return square, product[..., None]
