"""Tasks on vectors."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from einops import rearrange, reduce
from jaxtyping import Float, Int
from torch import Tensor

from irem_core import Problem, ShapeError, Task, VectorSpace
from irem_tasks._common import (
    problems_and_answers,
    require_count,
    require_positive,
    require_share,
    table_1,
    uniform,
)

_PAPER_SIZE = 400


class Add(Task):
    """Add two vectors entry by entry: x is both, end to end, and y their sum.

    Entries are uniform on (-scale, scale): 1 in training and on "same", 2.5 on "harder".

    Args:
        size: entries of each vector; the paper has 400.
    """

    difficulties: ClassVar = {"train": {}, "same": {}, "harder": {"scale": 2.5}}
    published = table_1(
        irem=(0.0003, 0.0021),
        feedforward=(0.0448, 0.7029),
        recurrent=(0.3610, 2.6133),
        ponder=(0.0111, 0.3446),
        iterative_feedforward=(0.0144, 0.1577),
    )

    def __init__(self, size: int = _PAPER_SIZE) -> None:
        """Set the spaces."""
        self.size = size
        self.answer = VectorSpace(size)
        self.question = VectorSpace(2 * size)
        if size != _PAPER_SIZE:
            self.published = ()

    @property
    def parameters(self) -> dict[str, Any]:
        """The difficulty parameters; there are by default as many entries as the task has."""
        return super().parameters | {"size": self.size}

    def draw(
        self,
        count: int,
        generator: torch.Generator,
        device: torch.device,
        *,
        scale: float = 1.0,
        size: int | None = None,
    ) -> tuple[Problem, Float[Tensor, "problems entries"]]:
        """Draw x `(count, 2 * size)` and y `(count, size)`.

        Raises:
            SettingError: the scale or the size is out of range.
        """
        size = self.size if size is None else size
        require_positive(scale=scale)
        require_count(size=size)
        x = uniform((count, 2 * size), -scale, scale, generator, device)
        first, second = x.chunk(2, 1)
        return problems_and_answers(x, first + second)

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
        self.size = size
        self.question = self.answer = VectorSpace(size)

    @property
    def parameters(self) -> dict[str, Any]:
        """The difficulty parameters; there are by default as many entries as the task has."""
        return super().parameters | {"size": self.size}

    def draw(
        self,
        count: int,
        generator: torch.Generator,
        device: torch.device,
        *,
        scale: float = 1.0,
        size: int | None = None,
    ) -> tuple[Problem, Float[Tensor, "problems entries"]]:
        """Draw x `(count, size)` and y `(count, size)`.

        Raises:
            SettingError: the scale or the size is out of range.
        """
        size = self.size if size is None else size
        require_positive(scale=scale)
        require_count(size=size)
        y = uniform((count, size), 0, scale, generator, device)
        return problems_and_answers(-y, y)

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


class Sort(Task):
    """Sort a vector: x is uniform on (-scale, scale), and y holds its values in ascending order.

    The scale is 1. Training and "same" have as many values as the task, "harder" 64 (ours: the
    published code has none). A solver whose weights are shaped by the number of values takes no
    other number.

    Args:
        values: how many values to sort; the published code has 400.
    """

    preferred = "ranking"
    difficulties: ClassVar = {"train": {}, "same": {}, "harder": {"values": 64}}

    def __init__(self, values: int = 32) -> None:
        """Set the spaces."""
        self.values = values
        self.question = self.answer = VectorSpace(values)

    @property
    def parameters(self) -> dict[str, Any]:
        """The difficulty parameters; there are by default as many values as the task has."""
        return super().parameters | {"values": self.values}

    def draw(
        self,
        count: int,
        generator: torch.Generator,
        device: torch.device,
        *,
        scale: float = 1.0,
        values: int | None = None,
    ) -> tuple[Problem, Float[Tensor, "problems values"]]:
        """Draw x and y, both `(count, values)`.

        Raises:
            SettingError: the scale or the number of values is out of range.
        """
        values = self.values if values is None else values
        require_positive(scale=scale)
        require_count(values=values)
        x = uniform((count, values), -scale, scale, generator, device)
        return problems_and_answers(x, x.sort(1).values)

    def oracle(self, problem: Problem) -> Tensor:
        """Return the values in ascending order, by NumPy's sort."""
        x: Tensor = problem.x
        return torch.from_numpy(np.sort(x.numpy(force=True), axis=1)).to(x.device)

    def classical(self, problem: Problem) -> Tensor:
        """Return the values sorted by odd-even transposition, as many rounds as values."""
        y: Tensor = problem.x.clone()
        values = y.shape[1]
        for turn in range(values):
            first = turn % 2
            left, right = y[:, first : values - 1 : 2], y[:, first + 1 :: 2]
            smaller, larger = torch.minimum(left, right), torch.maximum(left, right)
            left.copy_(smaller)
            right.copy_(larger)
        return y

    def own_input(self, problem: Problem) -> Tensor:
        """Return the unsorted value in each entry's place, `(B, values, 1)`."""
        return torch.stack([problem.x], -1)

    def group(self, problem: Problem, y: Tensor) -> Int[Tensor, "problems values"]:
        """Tell the places of a sorted vector apart, relative to its length."""
        places = torch.arange(y.shape[1], device=y.device) * self.values // y.shape[1]
        return places.expand_as(y)


class Parity(Task):
    """Say whether the number of ones is odd: x holds bits as 0.0 and 1.0, y is their sum modulo 2.

    A bit is 1 with a probability called share: 1/2 in training and on "same", 4/5 on "harder"
    (ours: the published code has none), where a running parity changes more often.

    Args:
        bits: how many bits; the published code has 20.
    """

    preferred = "periodic"
    difficulties: ClassVar = {"train": {}, "same": {}, "harder": {"share": 0.8}}

    def __init__(self, bits: int = 20) -> None:
        """Set the spaces."""
        self.bits = bits
        self.question = VectorSpace(bits)
        self.answer = VectorSpace(1)

    @property
    def parameters(self) -> dict[str, Any]:
        """The difficulty parameters; there are by default as many bits as the task has."""
        return super().parameters | {"bits": self.bits}

    def draw(
        self,
        count: int,
        generator: torch.Generator,
        device: torch.device,
        *,
        share: float = 0.5,
        bits: int | None = None,
    ) -> tuple[Float[Tensor, "problems bits"], Float[Tensor, "problems 1"]]:
        """Draw x `(count, bits)` and y `(count, 1)`.

        Raises:
            SettingError: the share or the number of bits is out of range.
        """
        bits = self.bits if bits is None else bits
        require_share(share=share)
        require_count(bits=bits)
        x = torch.empty((count, bits), device=device).bernoulli_(share, generator=generator)
        return x, x.sum(1, keepdim=True) % 2

    def oracle(self, problem: Problem) -> Tensor:
        """Return the exclusive or of all bits.

        Raises:
            ShapeError: x holds another number than 0 and 1.
        """
        x = _bits(problem).numpy(force=True)
        odd = np.bitwise_xor.reduce(x.astype(np.int64), axis=1, keepdims=True)
        return torch.from_numpy(odd).to(problem.x)

    def classical(self, problem: Problem) -> Tensor:
        """Return the last of the running parities, which change at every one.

        Raises:
            ShapeError: x holds another number than 0 and 1.
        """
        signs: Tensor = 1 - 2 * _bits(problem)
        return (1 - signs.cumprod(1)[:, -1:]) / 2

    def measures(
        self, problem: Problem, y: Tensor, target: Tensor
    ) -> dict[str, Float[Tensor, " problems"]]:
        """Score by accuracy: 1 where the answer, rounded, is right."""
        return {"accuracy": (y.round() == target).to(y.dtype).squeeze(1)}


def _bits(problem: Problem) -> Float[Tensor, "problems bits"]:
    x: Tensor = problem.x
    other = x[(x != 0) & (x != 1)]
    if other.numel():
        raise ShapeError(f"x holds {float(other[0])}; expected bits, that is 0 and 1 alone.")
    return x
