"""Columns: tensors of a batch of problems, which may have several entries each."""

from __future__ import annotations

import attrs
import torch
from jaxtyping import Int, Shaped
from torch import Tensor


@attrs.frozen(eq=False)
class Column:
    """A tensor of a batch of problems.

    Args:
        values: an entry per problem; or all entries of the first problem, then of the second, ...
        counts: how many entries each problem has; None where each has one.
    """

    values: Shaped[Tensor, "entries *shape"]
    counts: Int[Tensor, " problems"] | None = None

    @property
    def lengths(self) -> Int[Tensor, " problems"]:
        """How many entries each problem has."""
        if self.counts is not None:
            return self.counts
        return torch.ones(self.values.shape[0], dtype=torch.int64, device=self.values.device)

    def to(self, place: torch.device | torch.dtype) -> Column:
        """Return the same on another device, or values of another type."""
        counts = self.counts
        if counts is not None and isinstance(place, torch.device):
            counts = counts.to(place)
        return Column(self.values.to(place), counts)

    def select(self, problems: Int[Tensor, " kept"]) -> Column:
        """Return the entries of some problems, in any order and with repetitions."""
        if self.counts is None:
            return Column(self.values[problems])
        counts = self.counts[problems]
        first = (self.counts.cumsum(0) - self.counts)[problems]
        return Column(self.values[within(counts) + first.repeat_interleave(counts)], counts)

    def joined(self, other: Column) -> Column:
        """Return the entries of two batches of problems, this one's first."""
        values = torch.cat([self.values, other.values])
        if self.counts is None and other.counts is None:
            return Column(values)
        return Column(values, torch.cat([self.lengths, other.lengths]))


def within(counts: Int[Tensor, " problems"]) -> Int[Tensor, " entries"]:
    """Number the entries of each problem from 0: `[2, 3]` gives `[0, 1, 0, 1, 2]`."""
    first = (counts.cumsum(0) - counts).repeat_interleave(counts)
    return torch.arange(first.shape[0], device=counts.device) - first
