"""An energy that estimates how far a candidate is from the answer."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from irem_core import checks
from irem_core.energies.base import EnergyFn
from irem_core.energies.mlp import Perceptron
from irem_core.energies.precision import exact_linear
from irem_core.energies.scaled import scaled
from irem_core.part import Preset
from irem_core.problems.space import Space


class DistanceEnergy(Perceptron, EnergyFn):
    """E(x, y) = `|A y + W h(x, y)|^2 / 2`, meant to be half the squared distance to the answer.

    h are the hidden layers of the paper's energy on [y, x]. The residual begins as y less a guess,
    with further entries that do not see y straight; so a step of size 1 along the gradient goes
    where the guess is, and what the further entries say is left at the minimum.

    The loss after descent (Eq. 6) fixes where an energy is lowest, not how low. So its settings add
    the objective `calibrated`: after descent the energy says how wrong an answer is likely to be,
    and can be compared from problem to problem. Answers should spread by about 1.

    Args:
        question: space of x; its entries are flattened.
        answer: space of y; its entries are flattened.
        width: units of each hidden layer.
        depth: number of hidden layers.
        further: entries of the residual beyond those of y.

    Raises:
        SettingError: a space is ragged, or a number is out of range.
    """

    def __init__(
        self,
        question: Space,
        answer: Space,
        *,
        width: int = 256,
        depth: int = 3,
        further: int = 16,
    ) -> None:
        """Make the layers with torch's default initialisation."""
        checks.check(checks.count_or_zero, "DistanceEnergy", further=further)
        entries = answer.size + further
        super().__init__(question, answer, scratchpad=0, width=width, depth=depth, outputs=entries)
        self.straight = nn.Parameter(torch.eye(entries, answer.size))

    @classmethod
    def preset(cls, question: Space, answer: Space) -> Preset:
        """Return this library's settings for pairs of one's own.

        A step of size 1 goes most of the way, so that training takes few, and solving needs no
        other descent.
        """
        return scaled(
            answer,
            solver={
                "steps": 3,
                "solving": None,
                "objective": "weighted(objectives=(descent(), calibrated()), weights=(1, 0.3))",
            },
            training={
                "batch_size": 128,
                "learning_rate": 2e-3,
                "clip_norm": 0.3,
                "average": 0.998,
            },
        )

    def energy(
        self, context: Float[Tensor, "problems width"], y: Float[Tensor, "problems *entries"]
    ) -> Float[Tensor, " problems"]:
        """Return the energies `(B,)`; the context is the question's share of the first layer."""
        return self._misfit(context, y).square().sum(1) / 2

    def residuals(
        self, context: Float[Tensor, "problems width"], y: Float[Tensor, "problems *entries"]
    ) -> Float[Tensor, "problems outputs"]:
        """Return the residuals `(B, outputs)`, scaled."""
        return self._misfit(context, y) * math.sqrt(0.5)

    def _misfit(self, context: Tensor, y: Tensor) -> Tensor:
        candidate = y.flatten(1)
        # What is straight in y is not rounded, nor is where the residual vanishes.
        residual: Tensor = self.outputs(context, candidate) + exact_linear(candidate, self.straight)
        return residual
