"""What several tasks share: ranges of difficulty parameters, figures of the paper, and sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from irem_core import (
    MatrixSpace,
    NonFiniteError,
    Problem,
    Published,
    SettingError,
    Space,
    Task,
    VectorSpace,
    checks,
)

PAPER_SIZE = 20
"""Rows and columns of the paper's matrices."""
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


def _require(expected: str, fits: Callable[[Any], bool], values: dict[str, Any]) -> None:
    for name, value in values.items():
        if not fits(value):
            raise SettingError(f"The difficulty parameter {name} got {value}; expected {expected}.")


def require_positive(**values: float) -> None:
    """Raise a SettingError unless all values are finite numbers above 0."""
    _require("above 0", lambda value: 0 < value < math.inf, values)


def require_non_negative(**values: float) -> None:
    """Raise a SettingError unless all values are finite numbers of at least 0."""
    _require("at least 0", lambda value: 0 <= value < math.inf, values)


def require_share(**values: float) -> None:
    """Raise a SettingError unless all values are numbers from 0 to 1."""
    _require("from 0 to 1", lambda value: 0 <= value <= 1, values)


def require_count(**values: int) -> None:
    """Raise a SettingError unless all values are whole numbers of at least 1."""
    _require(
        "a whole number of at least 1",
        lambda value: isinstance(value, int) and value >= 1,
        values,
    )


VARIANTS = checks.one_of("release", "paper")
"""Which distribution a task has: the published code's, or that of the paper's own words."""


def uniform(
    shape: tuple[int, ...],
    low: float,
    high: float,
    generator: torch.Generator,
    device: torch.device,
) -> Float[Tensor, "..."]:
    """Draw from U(low, high) with a generator that lives on `device`."""
    return torch.empty(shape, device=device).uniform_(low, high, generator=generator)


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


def problems_and_answers(
    x: Tensor, y: Float[Tensor, "problems *entries"]
) -> tuple[Problem, Float[Tensor, "problems *entries"]]:
    """Join questions with answers whose size may be another than the task's own."""
    space = VectorSpace if y.ndim == 2 else MatrixSpace
    return Problem(x, space(*y.shape[1:])), y


class MatrixTask(Task):
    """A task on square matrices, whose size a difficulty may change: "size=30".

    Args:
        size: rows and columns of a matrix; the paper and its published code have 20.
    """

    def __init__(self, size: int = PAPER_SIZE) -> None:
        """Set the spaces."""
        self.size = size
        self.question, self.answer = self.spaces(size)

    def spaces(self, size: int) -> tuple[Space, Space]:
        """Return the spaces of questions and of answers: both are one matrix."""
        return MatrixSpace(size, size), MatrixSpace(size, size)

    @property
    def parameters(self) -> dict[str, Any]:
        """The difficulty parameters and their defaults; the size is by default the task's own."""
        return super().parameters | {"size": self.size}

    def shape(self, count: int, size: int | None) -> tuple[int, int, int]:
        """Return the shape of a batch of matrices, of the task's own size if that is None.

        Raises:
            SettingError: the size is not a whole number of at least 1.
        """
        size = self.size if size is None else size
        require_count(size=size)
        return count, size, size
