"""Which rows of an answer belong to which problem, and the reductions per problem.

A batch holds B problems. A dense answer has one row a problem, so its tensors are `(B, ...)`. A
ragged answer (a graph's edges) has `rows` rows in all, and `owner` says whose each one is.
Energies, step counts and errors are always per problem, `(B,)`; the way there and back lives here
and nowhere else.
"""

from __future__ import annotations

import functools
from typing import Self

import attrs
import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from irem_core.errors import ShapeError

_SHORT = 4


@attrs.frozen(eq=False)
class Layout:
    """The rows of a batch of `count` problems.

    Every problem of a ragged batch has at least one row and rows are sorted by problem, so a tensor
    with as many leading entries as there are rows cannot be mistaken for one that leads with
    problems.

    Args:
        count: the number B of problems.
        owner: `(rows,)` the problem of each row, ascending; None where each problem is one row.
    """

    count: int
    owner: Int[Tensor, " rows"] | None = None

    @classmethod
    def of_owner(cls, owner: Tensor) -> Self:
        """Make a ragged layout, checking that `owner` counts up from 0 without a gap.

        Raises:
            ShapeError: `owner` is no such vector of integers.
        """
        if owner.ndim != 1 or owner.dtype != torch.int64:
            raise ShapeError(
                f"owner is {tuple(owner.shape)} of {owner.dtype}; expected a vector of "
                "torch.int64 that names the problem of each answer row."
            )
        if not owner.numel():
            return cls(0, owner)
        jumps = owner.diff()
        if int(owner[0]) != 0 or bool(((jumps != 0) & (jumps != 1)).any()):
            raise ShapeError(
                "owner must count up from 0 in order and leave no problem without a row; sort the "
                "answer rows by problem and drop empty problems."
            )
        return cls(int(owner[-1]) + 1, owner)

    @property
    def rows(self) -> int:
        """The number of answer rows in the batch."""
        return self.count if self.owner is None else self.owner.shape[0]

    def sum(self, values: Shaped[Tensor, "rows *entries"]) -> Shaped[Tensor, " problems"]:
        """Add up all entries of each problem."""
        per_row = _row_sums(values.flatten(1)) if values.ndim > 1 else values
        if self.owner is None:
            return per_row
        return per_row.new_zeros(self.count).index_add(0, self.owner, per_row)

    def amax(self, values: Shaped[Tensor, "rows *entries"]) -> Shaped[Tensor, " problems"]:
        """Return the largest entry of each problem."""
        per_row = values.flatten(1).amax(1) if values.ndim > 1 else values
        if self.owner is None:
            return per_row
        empty = per_row.new_empty(self.count)
        return empty.scatter_reduce(0, self.owner, per_row, "amax", include_self=False)

    def all(self, values: Bool[Tensor, "rows *entries"]) -> Bool[Tensor, " problems"]:
        """Say for each problem whether all of its entries are true."""
        per_row = values.flatten(1).all(1) if values.ndim > 1 else values
        if self.owner is None:
            return per_row
        return self.sum((~per_row).to(torch.int64)) == 0

    def mean(self, values: Shaped[Tensor, "rows *entries"]) -> Shaped[Tensor, " problems"]:
        """Average all entries of each problem."""
        return self.sum(values) / self.entries(values)

    def entries(self, values: Shaped[Tensor, "rows *entries"]) -> Int[Tensor, " problems"]:
        """Count the entries of each problem."""
        per_row = values.shape[1:].numel()
        if self.owner is None:
            return torch.full((self.count,), per_row, device=values.device)
        return torch.bincount(self.owner, minlength=self.count) * per_row

    def spread(
        self, per_problem: Shaped[Tensor, " problems"], like: Shaped[Tensor, "rows *entries"]
    ) -> Shaped[Tensor, "rows *ones"]:
        """Give each row its problem's value, in a shape that broadcasts against `like`."""
        per_row = per_problem if self.owner is None else per_problem[self.owner]
        return per_row.reshape(-1, *(1 for _ in like.shape[1:]))

    def rows_of(self, problems: Int[Tensor, " kept"]) -> Int[Tensor, " kept_rows"]:
        """List the rows that belong to the problems of a list, some perhaps more than once."""
        if self.owner is None:
            return problems
        rows = torch.bincount(self.owner, minlength=self.count)
        first, kept = (rows.cumsum(0) - rows)[problems], rows[problems]
        ahead = first - (kept.cumsum(0) - kept)
        return torch.arange(int(kept.sum()), device=kept.device) + ahead.repeat_interleave(kept)

    def joined(self, other: Layout) -> Layout:
        """Return the layout of both batches as one, this one's problems first."""
        count = self.count + other.count
        if self.owner is None or other.owner is None:
            return Layout(count)
        return Layout(count, torch.cat([self.owner, other.owner + self.count]))

    def select(self, problems: Int[Tensor, " kept"]) -> Layout:
        """Return the layout of the problems of a list alone, some perhaps more than once."""
        count = problems.shape[0]
        if self.owner is None:
            return Layout(count)
        rows = torch.bincount(self.owner, minlength=self.count)[problems]
        return Layout(count, torch.arange(count, device=rows.device).repeat_interleave(rows))


def _row_sums(values: Shaped[Tensor, "rows entries"]) -> Shaped[Tensor, " rows"]:
    """Add up each row. Where rows are short torch's sum takes ten times as long as additions."""
    if 0 < values.shape[1] <= _SHORT:
        return functools.reduce(torch.add, values.unbind(1))
    return values.sum(1)
