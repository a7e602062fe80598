"""The weights that did best on problems which training does not draw."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from irem_core.solvers.lending import assign

# Updates before the first judgement, and before which no training ends early.
_FIRST, _LEAST = 50, 500
# Of as many more updates than at a judgement is the next.
_GROWTH = 1.1


class BestWeights:
    """The best weights of a training, and when it is over (early stopping).

    Weights are judged after 50 updates and whenever a tenth more are done. Training is over once
    `patience` times as many updates as the best weights took, 500 at least, brought no better ones;
    where it was finished and went on, those are counted since then (`since`).

    Args:
        weights: parameters that training changes in place.
        patience: above 1.
    """

    def __init__(self, weights: Sequence[Tensor], patience: float) -> None:
        """Begin with the weights as they are, which count for nothing."""
        self.weights = weights
        self.patience = patience
        self.values = [weight.detach().clone() for weight in weights]
        self.error = math.inf
        self.iteration = 0
        self.since = 0

    def due(self, iteration: int) -> bool:
        """Say whether weights are to be judged after an update, counted from 1."""
        return iteration >= _FIRST and _round(iteration) > _round(iteration - 1)

    def judge(self, iteration: int, error: float) -> None:
        """Keep the weights as they are now where their error is the least so far."""
        if error < self.error:
            self.error, self.iteration = error, iteration
            assign(self.values, self.weights)

    def over(self, iteration: int) -> bool:
        """Say whether so many updates are enough."""
        spent, took = iteration - self.since, max(self.iteration - self.since, 0)
        return spent >= max(_LEAST, self.patience * took)

    def settle(self) -> None:
        """Set the weights to the best ones."""
        assign(self.weights, self.values)


def _round(iteration: int) -> int:
    """Return how many times a tenth more than 50 there were."""
    return math.floor(math.log(iteration / _FIRST, _GROWTH)) if iteration else -1
