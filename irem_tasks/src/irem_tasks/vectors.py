"""Tasks on vectors."""

from __future__ import annotations

from typing import ClassVar

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor

from irem_core import Problem, Published, SettingError, Task, VectorSpace

_PAPER_SIZE = 400
_TABLE_1 = "Du et al., ICML 2022, Table 1"


def _table_1(**methods: tuple[float, float]) -> tuple[Published, ...]:
    """Rows of the paper's Table 1: method = (same, harder)."""
    return tuple(
        Published(
            method=method.replace("_", "-"), difficulty=difficulty, value=value, source=_TABLE_1
        )
        for method, values in methods.items()
        for difficulty, value in zip(("same", "harder"), values, strict=True)
    )


def _require_positive(**values: float) -> None:
    for name, value in values.items():
        if value <= 0:
            raise SettingError(f"The difficulty parameter {name} got {value}; expected above 0.")


class Add(Task):
    """Add two vectors entry by entry: x is both, end to end, and y their sum.

    Entries are uniform on (-scale, scale): 1 in training and on "same", 2.5 on "harder".

    Args:
        size: entries of each vector; the paper has 400.
    """

    difficulties: ClassVar = {"train": {}, "same": {}, "harder": {"scale": 2.5}}
    published = _table_1(
        irem=(0.0003, 0.0021),
        feedforward=(0.0448, 0.7029),
        recurrent=(0.3610, 2.6133),
        ponder=(0.0111, 0.3446),
        iterative_feedforward=(0.0144, 0.1577),
    )

    def __init__(self, size: int = _PAPER_SIZE) -> None:
        """Set the spaces."""
        self.answer = VectorSpace(size)
        self.question = VectorSpace(2 * size)
        if size != _PAPER_SIZE:
            self.published = ()

    def draw(
        self,
        count: int,
        generator: torch.Generator,
        device: torch.device,
        *,
        scale: float = 1.0,
    ) -> tuple[Float[Tensor, "problems entries"], Float[Tensor, "problems entries/2"]]:
        """Draw x `(count, 2 * size)` and y `(count, size)`.

        Raises:
            SettingError: the scale is not above 0.
        """
        _require_positive(scale=scale)
        shape = (count, *self.question.shape)
        x = torch.empty(shape, device=device).uniform_(-scale, scale, generator=generator)
        first, second = x.chunk(2, 1)
        return x, first + second

    def oracle(self, problem: Problem) -> Tensor:
        """Return the sums, in double precision before rounding to x's type."""
        x: Tensor = problem.x
        total: Tensor = reduce(x.double(), "b (two n) -> b n", "sum", two=2)
        return total.to(x.dtype)

    def classical(self, problem: Problem) -> Tensor:
        """Return the sums: addition is its own textbook algorithm."""
        return self.oracle(problem)

    def own_input(self, problem: Problem) -> Tensor:
        """Return each entry's two summands, `(B, size, 2)`."""
        summands: Tensor = rearrange(problem.x, "b (two n) -> b n two", two=2)
        return summands


class Negate(Task):
    """Change the sign of each entry: y is uniform on (0, scale) and x = -y.

    The scale is 1 in training and on "same", 2.5 on "harder" (ours: the published code has none).

    Args:
        size: entries of the vector; the published code has 400.
    """

    difficulties: ClassVar = {"train": {}, "same": {}, "harder": {"scale": 2.5}}

    def __init__(self, size: int = _PAPER_SIZE) -> None:
        """Set the spaces."""
        self.question = VectorSpace(size)
        self.answer = VectorSpace(size)

    def draw(
        self,
        count: int,
        generator: torch.Generator,
        device: torch.device,
        *,
        scale: float = 1.0,
    ) -> tuple[Float[Tensor, "problems entries"], Float[Tensor, "problems entries"]]:
        """Draw x `(count, size)` and y `(count, size)`.

        Raises:
            SettingError: the scale is not above 0.
        """
        _require_positive(scale=scale)
        shape = (count, *self.question.shape)
        y = torch.empty(shape, device=device).uniform_(0, scale, generator=generator)
        return -y, y

    def oracle(self, problem: Problem) -> Tensor:
        """Return x with its sign changed."""
        x: Tensor = problem.x
        return torch.zeros_like(x) - x

    def classical(self, problem: Problem) -> Tensor:
        """Return x with its sign changed: negation is its own textbook algorithm."""
        x: Tensor = problem.x
        return -x

    def own_input(self, problem: Problem) -> Tensor:
        """Return each entry's input, `(B, size, 1)`."""
        return torch.stack([problem.x], -1)
