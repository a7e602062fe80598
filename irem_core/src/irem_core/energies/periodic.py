"""An energy of periodic features, for answers that turn over many times as questions change."""

from __future__ import annotations

import math
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from irem_core import checks
from irem_core.energies.base import EnergyFn
from irem_core.energies.scaled import SMOOTH, scaled, scaled_residuals
from irem_core.part import Preset
from irem_core.problems.problem import Problem
from irem_core.problems.space import Space, require_dense


class PeriodicEnergy(EnergyFn):
    """E(x, y) = scale / 2 mean_i r_i^2, with the residual r = A y + B sin(W x + b) + c.

    W is drawn from N(0, frequency^2), so that sin(W x + b) begin as random Fourier features (Rahimi
    & Recht, NIPS 2007), and trained with the rest (Sitzmann et al., NeurIPS 2020). A function that
    turns over whenever one entry of x changes, such as parity, has next to no correlation with a
    smooth unit. Of many waves that turn more than once along each entry, some are correlated with
    it by chance, and training tunes those.

    Args:
        question: space of x; its entries are flattened.
        answer: space of y; its entries are flattened.
        waves: how many.
        frequency: standard deviation of W at first, in radians for each unit of an entry of x.

    Raises:
        SettingError: a space is ragged, or a number is out of range.
    """

    exacting = True

    def __init__(
        self,
        question: Space,
        answer: Space,
        *,
        waves: int = 1024,
        frequency: float = 3.0,
    ) -> None:
        """Draw the frequencies and phases; residuals begin without waves."""
        super().__init__()
        checks.check(checks.count, "PeriodicEnergy", waves=waves)
        checks.check(checks.positive, "PeriodicEnergy", frequency=frequency)
        require_dense("PeriodicEnergy", question=question, answer=answer)
        self.question = question
        self.answer = answer
        self.waves = nn.Linear(question.size, waves)
        nn.init.normal_(self.waves.weight, std=frequency)
        nn.init.uniform_(self.waves.bias, -math.pi, math.pi)
        self.question_map = nn.Linear(waves, answer.size)
        nn.init.zeros_(self.question_map.weight)
        self.answer_map = nn.Linear(answer.size, answer.size, bias=False)
        self.log_scale = nn.Parameter(torch.zeros(()))

    @classmethod
    def preset(cls, question: Space, answer: Space) -> Preset:
        """Return this library's settings: many problems, to find waves that help, at a small rate.

        At a rate of 1e-2 some seeds of parity learn steps that oscillate, which cancels the noise
        of waves over the steps of training and diverges beyond.
        """
        return scaled(
            answer,
            solver=SMOOTH,
            training={"iterations": 3_000, "batch_size": 128, "learning_rate": 3e-3},
        )

    def encode(self, problem: Problem) -> Float[Tensor, "problems entries"]:
        """Return the question's share of the residual."""
        waves = self.waves(problem.x.flatten(1)).sin()
        return cast(Tensor, self.question_map(waves))

    def energy(
        self, context: Float[Tensor, "problems entries"], y: Float[Tensor, "problems *entries"]
    ) -> Float[Tensor, " problems"]:
        """Return the energies `(B,)`."""
        return self.log_scale.exp() / 2 * self._misfit(context, y).square().mean(-1)

    def residuals(
        self, context: Float[Tensor, "problems entries"], y: Float[Tensor, "problems *entries"]
    ) -> Float[Tensor, "problems entries"]:
        """Return the residual of each entry, scaled."""
        return scaled_residuals(self._misfit(context, y), self.log_scale)

    def _misfit(self, context: Tensor, y: Tensor) -> Tensor:
        return cast(Tensor, context + self.answer_map(y.flatten(1)))
