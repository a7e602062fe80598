"""Averages of the weights that training goes through."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from irem_core.solvers.lending import assign, lent


class WeightAverage:
    """An exponential moving average of weights over the updates of a training.

    After update t it is decay average + (1 - decay) weights, with a decay of (1 + t) / (10 + t)
    where that is less, so that the first, untrained weights are soon forgotten. torch's
    `AveragedModel` averages a copy of a whole module, which cannot lend its values to the original.

    Args:
        weights: parameters that training changes in place.
        decay: share of the average that an update keeps, between 0 and 1.
    """

    def __init__(self, weights: Sequence[Tensor], decay: float) -> None:
        """Begin with the weights as they are."""
        self.weights = weights
        self.decay = decay
        self.values = [weight.detach().clone() for weight in weights]

    def update(self, iteration: int) -> None:
        """Take in the weights after an update, counted from 1."""
        decay = min(self.decay, (1 + iteration) / (10 + iteration))
        with torch.no_grad():
            get_ema_multi_avg_fn(decay)(self.values, self.weights, iteration)

    def lent(self) -> AbstractContextManager[None]:
        """Give the averages to whatever has the weights, for a while."""
        return lent(self.weights, self.values)

    def settle(self) -> None:
        """Set the weights to the averages."""
        assign(self.weights, self.values)
