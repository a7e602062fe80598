"""What several tasks share: figures of the paper, square matrices, and arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from irem_core import MatrixSpace, NonFiniteError, Published, Space, checks
from irem_tasks._declared import DenseTask

PAPER_SIZE = 20
"""Rows and columns of the paper's matrices."""
VARIANTS = checks.one_of("release", "paper")
"""Which distribution a task has: the published code's, or that of the paper's own words."""
_TABLE_1 = "Du et al., ICML 2022, Table 1"


def table_1(**methods: tuple[float, float]) -> tuple[Published, ...]:
    """Rows of the paper's Table 1: method = (same, harder)."""
    return tuple(
        Published(
            method=method.replace("_", "-"), difficulty=difficulty, value=value, source=_TABLE_1
        )
        for method, values in methods.items()
        for difficulty, value in zip(("same", "harder"), values, strict=True)
    )


def uniform(
    shape: tuple[int, ...], low: float, high: float, generator: torch.Generator
) -> Float[Tensor, "..."]:
    """Draw from U(low, high) where the generator lives."""
    return torch.empty(shape, device=generator.device).uniform_(low, high, generator=generator)


def identity(matrices: Float[Tensor, "problems size size"]) -> Float[Tensor, "size size"]:
    """Return the identity matrix of the size, type and place of others."""
    return torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)


def by_numpy(
    function: Callable[[NDArray[np.float64]], Any], x: Float[Tensor, "problems *entries"]
) -> Float[Tensor, "problems *answers"]:
    """Apply a function of NumPy's to x in double precision."""
    return torch.from_numpy(function(x.numpy(force=True).astype(np.float64))).to(x)


def require_regular(regular: Bool[Tensor, " problems"], consequence: str) -> None:
    """Raise where a matrix is singular, naming the first problem whose matrix is.

    Args:
        regular: whether the matrix of each problem is regular.
        consequence: what a singular matrix lacks, for the error.

    Raises:
        NonFiniteError: a matrix is singular.
    """
    if not bool(regular.all()):
        first = int((~regular).nonzero()[0, 0])
        raise NonFiniteError(
            f"The matrix of problem {first} is singular to working precision, so {consequence}; "
            "every matrix must be of full rank."
        )


def well_conditioned(matrices: Float[Tensor, "problems size size"]) -> Bool[Tensor, " problems"]:
    """Say which matrices are regular to double precision."""
    return by_numpy(np.linalg.cond, matrices.double()) < 1 / torch.finfo(torch.float64).eps


class MatrixTask(DenseTask):
    """A task on square matrices, whose size a difficulty may change: "size=30".

    Args:
        size: rows and columns of a matrix; the paper and its published code have 20.
    """

    def __init__(self, size: int = PAPER_SIZE) -> None:
        """Set the spaces; published figures are for the paper's size alone."""
        self.size = size
        self.question, self.answer = self.spaces(size)
        if size != PAPER_SIZE:
            self.published = ()

    def spaces(self, size: int) -> tuple[Space, Space]:
        """Return the spaces of questions and of answers: both are one matrix."""
        return MatrixSpace(size, size), MatrixSpace(size, size)
