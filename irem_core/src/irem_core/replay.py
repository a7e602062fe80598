"""The replay buffer: optimised candidates that later descents start from (Algorithms 1 and 3)."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from irem_core import checks, trees
from irem_core.errors import CheckpointError, SettingError, ShapeError
from irem_core.iterate import Iterate
from irem_core.layout import Layout
from irem_core.problem import Problem


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

    def joined(self, other: Example) -> Example:
        """Return both batches as one, this one's problems first."""
        count = self.layout.count + other.layout.count
        owner = None
        if self.layout.owner is not None and other.layout.owner is not None:
            owner = torch.cat([self.layout.owner, other.layout.owner + self.layout.count])
        leaves = [
            torch.cat(pair) for pair in zip(trees.tensors(self), trees.tensors(other), strict=True)
        ]
        return trees.fill(self, leaves, Layout(count, owner))


class ReplayBuffer:
    """A ring of (problem, target, iterate), kept on the device that training runs on.

    Every tensor has one preallocated store of `capacity` entries. Those of ragged problems are
    padded to the most rows that any problem had so far.

    Args:
        capacity: how many problems are held; the oldest give way to new ones.

    Raises:
        SettingError: the capacity is below 1.
    """

    def __init__(self, capacity: int) -> None:
        """Make an empty ring; its tensors are allocated by the first `push`."""
        checks.check(checks.count, "ReplayBuffer", capacity=capacity)
        self.capacity = capacity
        self._size = 0
        self._next = 0
        self._stores: list[Tensor] = []
        self._by_rows: list[bool] = []
        self._rows: Tensor | None = None
        self._like: Example | None = None

    def __len__(self) -> int:
        """Return the number of problems held."""
        return self._size

    def push(self, example: Example) -> None:
        """Store a batch, detached; of a batch beyond the capacity the last problems are kept.

        Raises:
            ShapeError: its tensors do not fit those stored before.
            SettingError: x holds something other than tensors.
        """
        example, layout = trees.detach(example), example.layout
        if hasattr(example.problem.x, "num_graphs"):
            raise SettingError(
                "The replay buffer keeps tensors; give x as a tree of tensors rather than as a "
                "torch-geometric batch, or train with replay=0."
            )
        if layout.owner is not None and layout.rows == layout.count and not self._stores:
            # One row a problem throughout: rows cannot be told from problems yet.
            return
        self._allocate(example)
        if layout.count > self.capacity:
            newest = torch.arange(
                layout.count - self.capacity, layout.count, device=_device(example)
            )
            example = trees.select(example, layout, newest)
            layout = example.layout
        slots = (torch.arange(layout.count, device=_device(example)) + self._next) % self.capacity
        leaves = trees.tensors(example)
        if layout.owner is None:
            self._write_dense(leaves)
        else:
            self._write_ragged(leaves, layout, slots)
        self._next = (self._next + layout.count) % self.capacity
        self._size = min(self._size + layout.count, self.capacity)

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
        if self._rows is None:
            leaves = [store[chosen] for store in self._stores]
            return trees.fill(self._like, leaves, Layout(count))
        rows = self._rows[chosen]
        width = max(
            store.shape[1]
            for store, ragged in zip(self._stores, self._by_rows, strict=True)
            if ragged
        )
        filled = torch.arange(width, device=device) < rows[:, None]
        leaves = [
            store[chosen][filled] if ragged else store[chosen]
            for store, ragged in zip(self._stores, self._by_rows, strict=True)
        ]
        owner = torch.repeat_interleave(torch.arange(count, device=device), rows)
        return trees.fill(self._like, leaves, Layout(count, owner))

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
        state["ring"] = torch.tensor([self.capacity, self._size, self._next])
        state["by_rows"] = torch.tensor(self._by_rows)
        return state if self._rows is None else state | {"rows": self._rows}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` returned.

        Raises:
            CheckpointError: it comes from a buffer of another capacity.
        """
        if not state:
            return
        capacity, self._size, self._next = state["ring"].tolist()
        if capacity != self.capacity:
            raise CheckpointError(
                f"The checkpoint's replay buffer holds {capacity} problems and this one "
                f"{self.capacity}; resume with the capacity that training began with."
            )
        self._by_rows = state["by_rows"].tolist()
        self._stores = [state[f"store{n}"].clone() for n in range(len(self._by_rows))]
        self._rows = state["rows"].clone() if "rows" in state else None

    def _allocate(self, example: Example) -> None:
        leaves, layout = trees.tensors(example), example.layout
        ragged = layout.owner is not None
        if not self._stores:
            self._by_rows = [ragged and trees.leads_with_rows(leaf, layout) for leaf in leaves]
            self._stores = [
                leaf.new_zeros(self.capacity, *((1,) if rows else ()), *leaf.shape[1:])
                for leaf, rows in zip(leaves, self._by_rows, strict=True)
            ]
            if ragged:
                self._rows = torch.zeros(self.capacity, dtype=torch.int64, device=_device(example))
        shapes = [
            tuple(store.shape[2 if rows else 1 :])
            for store, rows in zip(self._stores, self._by_rows, strict=True)
        ]
        given = [tuple(leaf.shape[1:]) for leaf in leaves]
        if given != shapes or ragged != (self._rows is not None):
            raise ShapeError(
                f"The replay buffer holds tensors of shapes {shapes} a problem or row and was "
                f"given {given}; all problems of one training must have the same shapes."
            )
        self._like = example

    def _write_dense(self, leaves: list[Tensor]) -> None:
        # At most two contiguous copies, which is cheaper than writing by index.
        for store, leaf in zip(self._stores, leaves, strict=True):
            head = min(leaf.shape[0], self.capacity - self._next)
            store[self._next : self._next + head] = leaf[:head]
            store[: leaf.shape[0] - head] = leaf[head:]

    def _write_ragged(self, leaves: list[Tensor], layout: Layout, slots: Tensor) -> None:
        assert layout.owner is not None and self._rows is not None
        counts = torch.bincount(layout.owner, minlength=layout.count)
        first = counts.cumsum(0) - counts
        place = torch.arange(layout.rows, device=slots.device) - first[layout.owner]
        width = int(counts.max())
        for n, leaf in enumerate(leaves):
            if not self._by_rows[n]:
                self._stores[n][slots] = leaf
                continue
            held = self._stores[n].shape[1]
            if width > held:
                shape = (self.capacity, width - held, *leaf.shape[1:])
                self._stores[n] = torch.cat([self._stores[n], leaf.new_zeros(shape)], 1)
            self._stores[n][slots[layout.owner], place] = leaf
        self._rows[slots] = counts


def _device(example: Example) -> torch.device:
    return example.iterate.y.device
