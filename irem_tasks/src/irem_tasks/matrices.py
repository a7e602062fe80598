"""Tasks on matrices: completion, inverse, square and determinant."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from irem_core import MatrixSpace, Problem, Space, VectorSpace, checks
from irem_tasks._common import (
    PAPER_SIZE,
    VARIANTS,
    MatrixTask,
    by_numpy,
    identity,
    require_regular,
    table_1,
    uniform,
    well_conditioned,
)
from irem_tasks._declared import Count, NonNegative, Positive, Share
from irem_tasks._elimination import eliminate
from irem_tasks.completion_posterior import posterior_mean

_SOFT_THRESHOLD = 0.3
_SOFT_STEPS = 50
_NEWTON_STEPS = 100
_ALGORITHMS = checks.one_of("soft-impute", "posterior-mean")
_LEAST_VARIANCE = 1e-6


class MatrixCompletion(MatrixTask):
    """Restore hidden entries of a nearly low-rank matrix.

    y is scale U Vᵀ + noise N(0, 1), where U and V are size x rank standard normal, and x is y with
    every entry zeroed independently with probability `hidden`. The rank is 10, the noise 0.1 and
    the hidden share 1/2; the scale is 1/20 in training and on "same", 1/5 on "harder", as in the
    published code. (The paper gives U and V themselves standard deviations of 0.22 and 0.47, which
    are the same two scales, rounded: "scale=0.0484" and "scale=0.2209".) What no answer can beat in
    mean square is `completion_posterior.posterior_mean`.

    Args:
        size: rows and columns of the matrix; the paper has 20.
        algorithm: what `classical` is: "soft-impute", or "posterior-mean", the bound, which is
            given the rank and the noise.

    Raises:
        SettingError: there is no such algorithm.
    """

    difficulties: ClassVar = {"train": {}, "same": {}, "harder": {"scale": 0.2}}
    preferred = "spectral"
    published = table_1(
        irem=(0.0183, 0.2074),
        feedforward=(0.0203, 0.2720),
        recurrent=(0.0266, 0.3285),
        ponder=(0.0203, 0.2637),
        iterative_feedforward=(0.0253, 0.2102),
    )

    def __init__(self, size: int = PAPER_SIZE, *, algorithm: str = "soft-impute") -> None:
        """Set the spaces."""
        super().__init__(size)
        checks.check(_ALGORITHMS, "MatrixCompletion", algorithm=algorithm)
        self.algorithm = algorithm

    def generate(
        self,
        count: int,
        generator: torch.Generator,
        *,
        scale: Positive = 0.05,
        rank: Count = 10,
        noise: NonNegative = 0.1,
        hidden: Share = 0.5,
        size: Count,
    ) -> tuple[Tensor, Float[Tensor, "problems size size"]]:
        """Draw x and y, both `(count, size, size)`."""
        place = generator.device
        left, right = torch.empty((2, count, size, rank), device=place).normal_(generator=generator)
        disturbance = torch.empty((count, size, size), device=place).normal_(generator=generator)
        y = scale * left @ right.mT + noise * disturbance
        shown = torch.empty_like(y).bernoulli_(1 - hidden, generator=generator)
        return y * shown, y

    def oracle(self, problem: Problem) -> Tensor:
        """Refuse: the shown entries do not determine the hidden ones.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "MatrixCompletion has no oracle: the shown entries do not determine the hidden ones; "
            "`classical` estimates them."
        )

    def classical(self, problem: Problem) -> Tensor:
        """Return the matrices completed by the task's algorithm.

        Soft-impute is that of Mazumder, Hastie and Tibshirani (2010). Each of 50 steps fills the
        hidden entries, those that are 0 in x, from the last estimate and shrinks the singular
        values by 0.3 times the largest one of x. The best share on training problems is 0.4 and on
        "harder" 0.2; 0.3 is within 3% of both.

        The posterior mean is by Gibbs sampling with seed 0, with the scale that all shown entries
        of the batch together suggest, so that problems must be of one difficulty.
        """
        if self.algorithm == "posterior-mean":
            return self._posterior_mean(problem.x)
        x: Tensor = problem.x.double()
        shown = x != 0
        threshold = _SOFT_THRESHOLD * torch.linalg.matrix_norm(x, 2)[:, None]
        y = x
        for _ in range(_SOFT_STEPS):
            # With y = U S Vᵀ, U f(S) Vᵀ = U (f(S) / S) Uᵀ y, and U is that of y yᵀ: much cheaper.
            squares, vectors = torch.linalg.eigh(y @ y.mT)
            values = squares.clamp(min=torch.finfo(x.dtype).tiny).sqrt()
            shrunk = (1 - threshold / values).clamp(min=0)
            y = torch.where(shown, x, vectors * shrunk[:, None] @ vectors.mT @ y)
        return y.to(problem.x)

    def _posterior_mean(self, x: Tensor) -> Tensor:
        rank, noise = self.parameters["rank"], self.parameters["noise"]
        # A shown entry has the variance scale² rank + noise².
        variance = float(x[x != 0].double().square().mean()) - noise**2
        scale = math.sqrt(max(variance, _LEAST_VARIANCE) / rank)
        generator = torch.Generator(x.device).manual_seed(0)
        return posterior_mean(x, scale=scale, rank=rank, noise=noise, generator=generator)


class MatrixInverse(MatrixTask):
    """Invert a matrix.

    R has entries uniform on (-scale, scale), P = R Rᵀ and x = P + Pᵀ + ridge I. The scale is 1; the
    ridge is 0.5 in training and on "same", and 0.1 on "harder", where x is worse conditioned. This
    is the published code's x. The paper writes x = R + Rᵀ + ridge I instead, which has eigenvalues
    of both signs, some near 0, so that entries of the inverse have no finite mean square.

    Args:
        size: rows and columns of the matrix; the paper has 20.
        variant: "release" for the published code's x, "paper" for that of the paper's text.

    Raises:
        SettingError: there is no such variant.
    """

    difficulties: ClassVar = {"train": {}, "same": {}, "harder": {"ridge": 0.1}}
    preferred = "rational"
    # The published figures fit the published code's x.
    published = table_1(
        irem=(0.0108, 0.2083),
        feedforward=(0.0112, 0.2150),
        recurrent=(0.0109, 0.2123),
        ponder=(0.0124, 0.2209),
        iterative_feedforward=(0.0270, 0.5250),
    )

    def __init__(self, size: int = PAPER_SIZE, *, variant: str = "release") -> None:
        """Set the spaces and the distribution."""
        super().__init__(size)
        checks.check(VARIANTS, "MatrixInverse", variant=variant)
        self.variant = variant
        if variant != "release":
            self.published = ()

    def generate(
        self,
        count: int,
        generator: torch.Generator,
        *,
        ridge: NonNegative = 0.5,
        scale: Positive = 1.0,
        size: Count,
    ) -> tuple[Tensor, Float[Tensor, "problems size size"]]:
        """Draw x and y, both `(count, size, size)`; y inverts x as rounded to its type.

        Raises:
            NonFiniteError: a matrix is singular, for example because the scale is tiny.
        """
        entries = uniform((count, size, size), -scale, scale, generator)
        half = entries.double()
        if self.variant == "release":
            half = half @ half.mT
        x = (half + half.mT + ridge * identity(half)).to(entries)
        inverse, singular = torch.linalg.inv_ex(x.double())
        require_regular(singular == 0, "it has no inverse")
        return x, inverse.to(x)

    def oracle(self, problem: Problem) -> Tensor:
        """Return the inverses, by LAPACK in double precision.

        Raises:
            NonFiniteError: a matrix is singular to working (double) precision.
        """
        require_regular(well_conditioned(problem.x), "it has no inverse")
        return by_numpy(np.linalg.inv, problem.x)

    def measures(
        self, problem: Problem, y: Tensor, target: Tensor
    ) -> dict[str, Float[Tensor, " problems"]]:
        """Score by the residual: the Frobenius norm of x y - I, which needs no target."""
        residual = problem.x @ y - identity(y)
        return {"residual": torch.linalg.matrix_norm(residual)}

    def classical(self, problem: Problem) -> Tensor:
        """Return the inverses, by the Newton-Schulz iteration in double precision.

        It starts at the transpose over its largest row and column sums, from where it converges for
        every regular matrix, in about twice the logarithm (base 2) of the condition number steps.

        Raises:
            NonFiniteError: a matrix is singular to working precision: 100 steps do not invert it.
        """
        x: Tensor = problem.x.double()
        largest = torch.linalg.matrix_norm(x, 1) * torch.linalg.matrix_norm(x, torch.inf)
        y: Tensor = x.mT / largest[:, None, None]
        for _ in range(_NEWTON_STEPS):
            residual = identity(x) - y @ x
            error = residual.abs().amax((1, 2))
            if bool((error < 1e-12).all()):
                break
            y = y + residual @ y
        require_regular(error < 1e-6, "it has no inverse")
        return y.to(problem.x)


class Square(MatrixTask):
    """Multiply a matrix by itself: y = x x / 5, with x uniform on (-scale, scale).

    The scale is 1 in training and on "same", 1.5 on "harder" (ours: the published code has none),
    where answers are 2.25 times as large.

    Args:
        size: rows and columns of the matrix; the published code has 20.
    """

    difficulties: ClassVar = {"train": {}, "same": {}, "harder": {"scale": 1.5}}

    def generate(
        self, count: int, generator: torch.Generator, *, scale: Positive = 1.0, size: Count
    ) -> tuple[Tensor, Float[Tensor, "problems size size"]]:
        """Draw x and y, both `(count, size, size)`."""
        x = uniform((count, size, size), -scale, scale, generator)
        return x, x @ x / 5

    def oracle(self, problem: Problem) -> Tensor:
        """Return the squares over 5, by NumPy in double precision."""
        return by_numpy(lambda x: x @ x / 5, problem.x)

    def classical(self, problem: Problem) -> Tensor:
        """Return the squares over 5: each entry is a row of x times a column of x."""
        x: Tensor = problem.x
        product: Tensor = torch.einsum("bik,bkj->bij", x, x)
        return product / 5


class Determinant(MatrixTask):
    """Compute a determinant: y = 10 det x, with x uniform on (0, scale).

    The scale is 1 in training and on "same", 1.05 on "harder" (ours: the published code has none),
    where the answers of 20 x 20 matrices are 2.65 times as large.

    Args:
        size: rows and columns of the matrix; the published code has 20.
    """

    difficulties: ClassVar = {"train": {}, "same": {}, "harder": {"scale": 1.05}}

    def spaces(self, size: int) -> tuple[Space, Space]:
        """Return the spaces of the matrix, `(size, size)`, and of its determinant, `(1,)`."""
        return MatrixSpace(size, size), VectorSpace(1)

    def generate(
        self, count: int, generator: torch.Generator, *, scale: Positive = 1.0, size: Count
    ) -> tuple[Tensor, Float[Tensor, "problems 1"]]:
        """Draw x `(count, size, size)` and y `(count, 1)`."""
        x = uniform((count, size, size), 0, scale, generator)
        return x, 10 * torch.linalg.det(x.double()).to(x)[:, None]

    def oracle(self, problem: Problem) -> Tensor:
        """Return ten times the determinants, by NumPy in double precision."""
        return 10 * by_numpy(np.linalg.det, problem.x)[:, None]

    def classical(self, problem: Problem) -> Tensor:
        """Return ten times the determinants, by Gaussian elimination in double precision."""
        reduced, _, sign = eliminate(problem.x.double())
        product: Tensor = sign * reduced.diagonal(dim1=1, dim2=2).prod(1)
        return 10 * product[:, None].to(problem.x)
