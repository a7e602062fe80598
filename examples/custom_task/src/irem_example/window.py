"""A learned energy: a small network slides over the entries."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from irem_core import EnergyFn, SettingError, Space


class WindowEnergy(EnergyFn):
    """E(x, y): convolutions over [y, x], whose squared outputs are averaged.

    The average lets the same weights serve vectors of any length. `irem` builds it by `for_task`,
    which passes the two spaces of the task and seeds the weights.

    Args:
        question: space of x.
        answer: space of y, vectors of the same length.
        width: channels of the hidden layers.
    """

    def __init__(self, question: Space, answer: Space, *, width: int = 32) -> None:
        """Make the layers."""
        super().__init__()
        if question.shape != answer.shape or len(answer.shape) != 1:
            raise SettingError(
                f"WindowEnergy got {question} and {answer}; expected vectors of one length."
            )
        self.question = question
        self.answer = answer
        self.first = nn.Conv1d(2, width, 3, padding=1)
        self.second = nn.Conv1d(width, width, 1)

    def energy(self, context: Tensor, y: Tensor) -> Tensor:
        """Return the energies `(B,)`; the context is x itself."""
        hidden = functional.silu(self.first(torch.stack([y, context], 1)))
        residual: Tensor = self.second(hidden)
        return residual.square().mean((1, 2))
