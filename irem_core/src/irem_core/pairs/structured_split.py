"""Pairs whose questions are factor graphs: held as columns, numbered, and told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from irem_core.pairs.files import Moments
from irem_core.pairs.split import Halves
from irem_core.problems import factor_graphs
from irem_core.problems.columns import Column
from irem_core.problems.space import VectorSpace

# Entries that floors are fitted to at most.
_FITTED = 20_000


@attrs.frozen(eq=False)
class StructuredSplit(Halves):
    """Factor graphs and the answers of their entries, which stay on each device they were on.

    Args:
        columns: of the questions (see `factor_graphs.take_apart`).
        answers: `(rows, channels)` of all problems.
        held: `(n,)` which problems are held out.
    """

    columns: Mapping[str, Column]
    answers: Column
    held: NDArray[np.bool_]
    _on: dict[torch.device, tuple[dict[str, Column], Column]] = attrs.field(
        factory=dict, init=False
    )

    def take(self, rows: Int[Tensor, " rows"], device: torch.device) -> tuple[Any, Tensor]:
        """Return some problems as a batch of factor graphs, and `(rows, channels)` answers."""
        if device not in self._on:
            moved = {name: each.to(device) for name, each in self.columns.items()}
            self._on[device] = moved, self.answers.to(device)
        columns, answers = self._on[device]
        batch = factor_graphs.assemble({name: each.select(rows) for name, each in columns.items()})
        return batch, answers.select(rows).values

    def entries(self, held_out: int) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        """Return features and answers of 20,000 entries at most, as if each were a question."""
        cpu = torch.device("cpu")
        batch, y = self.take(self.rows(held_out, cpu), cpu)
        apart = -(-len(y) // _FITTED)
        return batch[factor_graphs.ENTRY].x[::apart], y[::apart]

    def moments(self, title: str) -> Moments:
        """Measure mean and spread of a column over the problems of training."""
        column = self.answers if title == "y" else self.columns[title]
        values = column.values.numpy()
        rows = np.repeat(~self.held, column.lengths.numpy())
        return Moments.measure(values, VectorSpace(values.shape[1]), rows)


def numbered(columns: Mapping[str, Column]) -> NDArray[np.int64]:
    """Number problems by what they hold, in the order of their first.

    Returns:
        `(n,)` the same number for the same problem, from 0 on.
    """
    digests: list[Any] = []
    for title, column in columns.items():
        ends = column.lengths.cumsum(0).tolist()
        # So that -0 is 0.
        values = column.values.numpy() + 0
        digests = digests or [hashlib.blake2b(digest_size=16) for _ in ends]
        for digest, first, last in zip(digests, [0, *ends[:-1]], ends, strict=True):
            digest.update(f"{title} {last - first}".encode() + values[first:last].tobytes())
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(each.digest(), len(numbers)) for each in digests], np.int64)


def digest(columns: Mapping[str, Column], answers: Column) -> str:
    """Return a SHA-256 of types, shapes and values of questions and answers."""
    found = hashlib.sha256()
    for title, column in {**columns, "y": answers}.items():
        for values in (column.lengths.numpy(), column.values.numpy()):
            found.update(f"{title} {values.dtype.str} {values.shape}".encode())
            found.update(np.ascontiguousarray(values).view(np.uint8).data)
    return found.hexdigest()
