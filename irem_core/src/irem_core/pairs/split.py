"""Pairs of training and held-out ones, as tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import attrs
import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from irem_core.pairs.files import Pairs

# Entries that are held on the device; more stay where they are, and batches are copied.
_HELD = 2**27


def held_out(questions: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Choose pairs to hold out, `(n,)`: all pairs of a question, or none.

    At least one question is, and at least one is not; none where all are the same.

    Args:
        questions: `(n,)` the number of the question that each pair asks.
        share: of the questions, between 0 and 1.
        seed: of the choice.
    """
    count = int(questions.max()) + 1
    chosen = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    held = np.zeros(count, dtype=np.bool_)
    held[chosen[: min(max(round(count * share), 1), count - 1)].numpy()] = True
    spread: NDArray[np.bool_] = held[questions]
    return spread


class Halves(ABC):
    """Pairs of training and held-out ones, by their numbers."""

    held: NDArray[np.bool_]
    """`(n,)` which are held out."""

    def rows(self, held_out: int, device: torch.device) -> Int[Tensor, " rows"]:
        """Return the numbers of held-out pairs, or of those of training, in their order."""
        chosen = self.held if held_out else ~self.held
        return torch.from_numpy(chosen.nonzero()[0]).to(device)

    @abstractmethod
    def take(self, rows: Int[Tensor, " rows"], device: torch.device) -> tuple[Any, Tensor]:
        """Return the questions of some pairs, and their answers."""


@attrs.frozen(eq=False)
class Split(Halves):
    """Pairs as tensors, which stay on each device where they are few enough.

    Args:
        pairs: all of them.
        held: `(n,)` which are held out.
        fine: whether single precision is too coarse for x, and for y.
    """

    pairs: Pairs
    held: NDArray[np.bool_]
    fine: tuple[bool, bool]
    _on: dict[torch.device, tuple[Tensor, Tensor]] = attrs.field(factory=dict, init=False)

    def take(self, rows: Int[Tensor, " rows"], device: torch.device) -> tuple[Tensor, Tensor]:
        """Return x and y of some rows."""
        pairs = self.pairs
        if pairs.x.size + pairs.y.size > _HELD:
            chosen = rows.cpu().numpy()
            return self._tensors(pairs.x[chosen], pairs.y[chosen], device)
        if device not in self._on:
            self._on[device] = self._tensors(pairs.x, pairs.y, device)
        x, y = self._on[device]
        return x[rows], y[rows]

    def part(self, held_out: int) -> tuple[Tensor, Tensor]:
        """Return held-out pairs or those of training, of so many that a regression has enough."""
        cpu = torch.device("cpu")
        rows = self.rows(held_out, cpu)
        most = max(1, 2**24 // max(1, self.pairs.x[:1].size))
        return self.take(rows[:: -(-len(rows) // most)], cpu)

    def _tensors(self, x: Any, y: Any, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return both in torch's default type; in double precision where single is too coarse."""
        double = torch.get_default_dtype() == torch.float64
        x, y = (
            np.require(each, np.float64 if double or fine else np.float32, ["C", "W"])
            for each, fine in zip((x, y), self.fine, strict=True)
        )
        return torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)
