"""The replay buffer: optimised candidates that later descents start from (Algorithms 1 and 3)."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import torch
from torch import Tensor

from irem_core import checks
from irem_core.errors import CheckpointError, SettingError, ShapeError
from irem_core.problems import graphs, trees
from irem_core.problems.graphs import Column
from irem_core.problems.iterate import Iterate
from irem_core.problems.layout import Layout
from irem_core.problems.problem import Problem

_HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
half_precision = attrs.validators.optional(checks.one_of(*_HALVES))


@attrs.frozen(eq=False)
class Example:
    """A batch of problems with their targets and iterates."""

    problem: Problem
    target: Tensor
    iterate: Iterate

    @property
    def layout(self) -> Layout:
        """Whose rows the targets and iterates hold."""
        return self.problem.layout

    def columns(self) -> list[Column]:
        """List all tensors, behind the number of rows of each problem where they are ragged."""
        listed = trees.columns(self, self.layout)
        if self.layout.owner is None:
            return listed
        rows = torch.bincount(self.layout.owner, minlength=self.layout.count)
        return [Column(rows), *listed]

    def filled(self, columns: Sequence[Column]) -> Example:
        """Return an example of this kind around other columns, listed as `columns` does."""
        if self.layout.owner is None:
            return trees.fill(self, columns, Layout(columns[0].values.shape[0]))
        rows = columns[0].values
        problems = torch.arange(rows.shape[0], device=rows.device)
        return trees.fill(self, columns[1:], Layout(len(rows), problems.repeat_interleave(rows)))

    def joined(self, other: Example) -> Example:
        """Return both batches as one, this one's problems first."""
        return trees.join(self, self.layout, other, other.layout)[0]


class ReplayBuffer:
    """A ring of (problem, target, iterate), kept on the device that training runs on.

    Every tensor has one preallocated store of `capacity` entries. Those of ragged problems are
    padded to the most rows that any problem had so far.

    With a `dtype` all floating-point numbers, questions and answers among them, are rounded to half
    precision for as long as they are held, and come back in the type that they had. "float16"
    suits numbers of the order of 1, as most answers and all starts are: it rounds by up to 0.05 %
    (below 1e-4 by up to 3e-8), and holds numbers beyond 65,504 as 65,504. "bfloat16" rounds by up
    to 0.4 % and takes numbers as large as float32 does. Either way what is finite stays finite.

    Args:
        capacity: how many problems are held; the oldest give way to new ones.
        dtype: "float16" or "bfloat16", which halve the memory of float32; None to round nothing.

    Raises:
        SettingError: the capacity is below 1, or the type is another.
    """

    def __init__(self, capacity: int, *, dtype: str | None = None) -> None:
        """Make an empty ring; its tensors are allocated by the first `push`."""
        checks.check(checks.count, "ReplayBuffer", capacity=capacity)
        checks.check(half_precision, "ReplayBuffer", dtype=dtype)
        self.capacity = capacity
        self._half = None if dtype is None else _HALVES[dtype]
        self._size = 0
        self._next = 0
        self._stores: list[Tensor] = []
        # For each store how many entries a problem has in it; None where each has one.
        self._counts: list[Tensor | None] = []
        # The types that the tensors had when they were given.
        self._types: list[torch.dtype] = []
        self._like: Example | None = None

    def __len__(self) -> int:
        """Return the number of problems held."""
        return self._size

    def push(self, example: Example) -> None:
        """Store a batch, detached; of a batch beyond the capacity the last problems are kept.

        Raises:
            ShapeError: its tensors do not fit those stored before.
        """
        example, layout = trees.detach(example), example.layout
        if layout.owner is not None and layout.rows == layout.count and not self._stores:
            # One row a problem throughout: rows cannot be told from problems yet.
            return
        columns, device = self._counted(example.columns()), _device(example)
        self._allocate(columns)
        self._like = example
        count = min(layout.count, self.capacity)
        if count < layout.count:
            newest = torch.arange(layout.count - count, layout.count, device=device)
            columns = [column.select(newest) for column in columns]
        columns = [Column(self._rounded(each.values), each.counts) for each in columns]
        slots = (torch.arange(count, device=device) + self._next) % self.capacity
        for index, column in enumerate(columns):
            if self._counts[index] is None:
                self._write(self._stores[index], column.values)
            else:
                self._write_padded(index, column, slots)
        self._next = (self._next + count) % self.capacity
        self._size = min(self._size + count, self.capacity)

    def draw(self, count: int, generator: torch.Generator) -> Example:
        """Draw problems uniformly, with replacement.

        Args:
            count: how many.
            generator: lives on the buffer's device.

        Raises:
            SettingError: the buffer is empty.
        """
        if not self._size or self._like is None:
            raise SettingError("The replay buffer is empty; push a batch before drawing from it.")
        device = self._stores[0].device
        chosen = torch.randint(self._size, (count,), generator=generator, device=device)
        columns = []
        for store, held, kind in zip(self._stores, self._counts, self._types, strict=True):
            if held is None:
                columns.append(Column(store[chosen].to(kind)))
                continue
            counts = held[chosen]
            filled = torch.arange(store.shape[1], device=device) < counts[:, None]
            columns.append(Column(store[chosen][filled].to(kind), counts))
        return self._like.filled(columns)

    def union(self, fresh: Example, count: int, generator: torch.Generator) -> Example:
        """Return a fresh batch with `count` replayed problems behind it (Algorithm 1).

        While the buffer is empty, or `count` is 0, the fresh batch alone is returned.
        """
        if not self._size or not count:
            return fresh
        self._like = fresh
        return fresh.joined(self.draw(count, generator))

    def state(self) -> dict[str, Tensor]:
        """Return everything held as tensors, for a checkpoint."""
        if not self._stores:
            return {}
        state = {f"store{n}": store for n, store in enumerate(self._stores)}
        for n, held in enumerate(self._counts):
            if held is not None:
                state[f"counts{n}"] = held
        for n, (store, kind) in enumerate(zip(self._stores, self._types, strict=True)):
            if store.dtype != kind:
                # A tensor without entries, which says the type.
                state[f"type{n}"] = store.new_empty(0, dtype=kind)
        state["ring"] = torch.tensor([self.capacity, self._size, self._next])
        return state

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` returned.

        Raises:
            CheckpointError: it comes from a buffer of another capacity or precision.
        """
        if not state:
            return
        capacity, self._size, self._next = state["ring"].tolist()
        if capacity != self.capacity:
            raise CheckpointError(
                f"The checkpoint's replay buffer holds {capacity} problems and this one "
                f"{self.capacity}; resume with the capacity that training began with."
            )
        if not 0 <= self._next < self.capacity or not 0 <= self._size <= self.capacity:
            raise CheckpointError(
                f"The checkpoint's replay buffer is damaged: it holds {self._size} problems of at "
                f"most {self.capacity}, and goes on at {self._next}."
            )
        held = [n for n in range(len(state)) if f"store{n}" in state]
        self._stores = [state[f"store{n}"].clone() for n in held]
        counts = [state.get(f"counts{n}") for n in held]
        self._counts = [None if each is None else each.clone() for each in counts]
        self._types = [state.get(f"type{n}", state[f"store{n}"]).dtype for n in held]
        found = [store.dtype for store in self._stores]
        expected = [self._held_as(kind) for kind in self._types]
        if found != expected:
            raise CheckpointError(
                f"The checkpoint's replay buffer holds tensors of {found} and this one {expected}; "
                "resume with the precision of replay that training began with."
            )

    def _held_as(self, kind: torch.dtype) -> torch.dtype:
        wide = kind.is_floating_point and kind.itemsize > 2
        return self._half if wide and self._half is not None else kind

    def _rounded(self, values: Tensor) -> Tensor:
        """Round to half precision where that is asked for."""
        kind = self._held_as(values.dtype)
        if kind == values.dtype:
            return values
        largest = torch.finfo(kind).max
        # Beyond it rounding would make finite numbers infinite.
        within = values.clamp(-largest, largest).where(values.isfinite(), values)
        return within.to(kind)

    def _counted(self, columns: list[Column]) -> list[Column]:
        """Count entries as the stores do where each problem has one, which looks either way."""
        if len(columns) != len(self._counts):
            return columns
        counted = []
        for column, held in zip(columns, self._counts, strict=True):
            if held is not None:
                counted.append(Column(column.values, column.lengths))
            elif column.counts is not None and bool((column.counts == 1).all()):
                counted.append(Column(column.values))
            else:
                counted.append(column)
        return counted

    def _allocate(self, columns: list[Column]) -> None:
        if not self._stores:
            for column in columns:
                padded = column.counts is not None
                shape = (self.capacity, *((1,) if padded else ()), *column.values.shape[1:])
                kind = column.values.dtype
                self._types.append(kind)
                self._stores.append(column.values.new_zeros(shape, dtype=self._held_as(kind)))
                self._counts.append(
                    column.counts.new_zeros(self.capacity) if column.counts is not None else None
                )
        held = [
            tuple(store.shape[1 if counts is None else 2 :])
            for store, counts in zip(self._stores, self._counts, strict=True)
        ]
        given = [tuple(column.values.shape[1:]) for column in columns]
        kinds = [counts is None for counts in self._counts] == [c.counts is None for c in columns]
        if given != held or not kinds:
            raise ShapeError(
                f"The replay buffer holds tensors of shapes {held} a problem or row and was "
                f"given {given}; all problems of one training must have the same shapes."
            )

    def _write(self, store: Tensor, values: Tensor) -> None:
        # At most two contiguous copies, which is cheaper than writing by index.
        head = min(values.shape[0], self.capacity - self._next)
        store[self._next : self._next + head] = values[:head]
        store[: values.shape[0] - head] = values[head:]

    def _write_padded(self, index: int, column: Column, slots: Tensor) -> None:
        held = self._counts[index]
        assert held is not None and column.counts is not None
        store, width = self._stores[index], int(column.counts.max())
        if width > store.shape[1]:
            shape = (self.capacity, width - store.shape[1], *column.values.shape[1:])
            store = torch.cat([store, column.values.new_zeros(shape)], 1)
            self._stores[index] = store
        place = graphs.within(column.counts)
        store[slots.repeat_interleave(column.counts), place] = column.values
        held[slots] = column.counts


def _device(example: Example) -> torch.device:
    return example.iterate.y.device
