"""Tasks on vectors."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from einops import rearrange, reduce
from jaxtyping import Float, Int
from torch import Tensor

from irem_core import Problem, ShapeError, VectorSpace
from irem_tasks._common import by_numpy, table_1, uniform
from irem_tasks._declared import Count, DenseTask, Positive, Share

_PAPER_SIZE = 400


class Add(DenseTask):
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

    def generate(
        self, count: int, generator: torch.Generator, *, scale: Positive = 1.0, size: Count
    ) -> tuple[Tensor, Float[Tensor, "problems entries"]]:
        """Draw x `(count, 2 * size)` and y `(count, size)`."""
        x = uniform((count, 2 * size), -scale, scale, generator)
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


class Negate(DenseTask):
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

    def generate(
        self, count: int, generator: torch.Generator, *, scale: Positive = 1.0, size: Count
    ) -> tuple[Tensor, Float[Tensor, "problems entries"]]:
        """Draw x `(count, size)` and y `(count, size)`."""
        y = uniform((count, size), 0, scale, generator)
        return -y, y

    def oracle(self, problem: Problem) -> Tensor:
        """Return x with its sign changed."""
        x: Tensor = problem.x
        return torch.zeros_like(x) - x

    def classical(self, problem: Problem) -> Tensor:
        """Return x with its sign changed: negation is its own textbook algorithm."""
        x: Tensor = problem.x
        return -x


class Sort(DenseTask):
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

    def generate(
        self, count: int, generator: torch.Generator, *, scale: Positive = 1.0, values: Count
    ) -> tuple[Tensor, Float[Tensor, "problems values"]]:
        """Draw x and y, both `(count, values)`."""
        x = uniform((count, values), -scale, scale, generator)
        return x, x.sort(1).values

    def oracle(self, problem: Problem) -> Tensor:
        """Return the values in ascending order, by NumPy's sort."""
        return by_numpy(lambda x: np.sort(x, axis=1), problem.x)

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

    def group(self, problem: Problem, y: Tensor) -> Int[Tensor, "problems values"]:
        """Tell the places of a sorted vector apart, relative to its length."""
        places = torch.arange(y.shape[1], device=y.device) * self.values // y.shape[1]
        return places.expand_as(y)


class Parity(DenseTask):
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

    def generate(
        self, count: int, generator: torch.Generator, *, share: Share = 0.5, bits: Count
    ) -> tuple[Tensor, Float[Tensor, "problems 1"]]:
        """Draw x `(count, bits)` and y `(count, 1)`."""
        x = torch.empty((count, bits), device=generator.device)
        x.bernoulli_(share, generator=generator)
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
