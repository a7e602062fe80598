"""An energy of ranks, for vectors whose answers are an order of what was asked."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from irem_core import checks
from irem_core.energies.base import EnergyFn
from irem_core.energies.scaled import scaled, scaled_residuals
from irem_core.errors import SettingError
from irem_core.part import Preset
from irem_core.problems.problem import Problem
from irem_core.problems.space import Space, VectorSpace

# Decades of sharpness that comparisons begin with: from all of (-1, 1) to a fortieth of it.
_SHARPNESS = (0.0, 1.9)


class RankingEnergy(EnergyFn):
    """E(x, y) = scale / 2 sum_i mean_c r_ic^2, where r_i depends on how y_i compares with all of x.

    Each channel c counts the entries of x below y_i, softly, at a sharpness of its own:

        count_ic = mean_j tanh(k_c y_i + m_c x_j + b_c),

    which is linear in the rank of y_i where the comparison is sharp, and tells how far away that is
    where it is not. The residual is linear in the counts, y_i and the place (i + 1/2) / n, but for
    a small network that is added. So it is zero where y_i stands at its place, and the order of x
    has no part in it. It takes any number of entries.

    Args:
        question: space of x, vectors.
        answer: space of y, vectors of the same length.
        width: number of comparisons and entries of a residual.

    Raises:
        SettingError: the spaces are not vectors of one length, or the width is out of range.
    """

    size_free = True
    exacting = True

    def __init__(self, question: Space, answer: Space, *, width: int = 24) -> None:
        """Spread the sharpness of comparisons evenly in logarithm."""
        super().__init__()
        checks.check(checks.count, "RankingEnergy", width=width)
        if not isinstance(question, VectorSpace) or question.shape != answer.shape:
            raise SettingError(
                f"RankingEnergy got question={question!r} and answer={answer!r}; expected two "
                "VectorSpaces of one length."
            )
        self.question = question
        self.answer = answer
        sharpness = torch.logspace(*_SHARPNESS, width)[:, None]
        self.question_map = nn.Linear(1, width)
        self.answer_map = nn.Linear(1, width, bias=False)
        with torch.no_grad():
            self.question_map.weight.copy_(-sharpness)
            self.question_map.bias.zero_()
            self.answer_map.weight.copy_(sharpness)
        self.straight = nn.Linear(width + 2, width)
        self.first = nn.Linear(width + 2, 2 * width)
        self.second = nn.Linear(2 * width, width)
        self.log_scale = nn.Parameter(torch.zeros(()))

    @classmethod
    def preset(cls, question: Space, answer: Space) -> Preset:
        """Return this library's settings for energies that learn their own scale."""
        return scaled(answer)

    def encode(self, problem: Problem) -> Float[Tensor, "problems entries width"]:
        """Return the question's share of every comparison."""
        shares: Tensor = self.question_map(problem.x[..., None])
        return shares

    def energy(
        self,
        context: Float[Tensor, "problems entries width"],
        y: Float[Tensor, "problems entries"],
    ) -> Float[Tensor, " problems"]:
        """Return the energies `(B,)`."""
        return self.contributions(context, y).sum(1)

    def contributions(
        self,
        context: Float[Tensor, "problems entries width"],
        y: Float[Tensor, "problems entries"],
    ) -> Float[Tensor, "problems entries"]:
        """Return what each entry adds to the energy."""
        residual = self._misfit(context, y)
        energies: Tensor = self.log_scale.exp() / 2 * residual.square().mean(-1)
        return energies

    def residuals(
        self,
        context: Float[Tensor, "problems entries width"],
        y: Float[Tensor, "problems entries"],
    ) -> Float[Tensor, "problems entries width"]:
        """Return the residuals of each entry, scaled."""
        return scaled_residuals(self._misfit(context, y), self.log_scale)

    def _misfit(self, context: Tensor, y: Tensor) -> Tensor:
        compared = self.answer_map(y[..., None])[:, :, None] + context[:, None]
        counts = compared.tanh().mean(2)
        size = y.shape[1]
        place = (torch.arange(size, dtype=y.dtype, device=y.device) + 0.5) / size * 2 - 1
        known = torch.cat([counts, y[..., None], place.expand_as(y)[..., None]], 2)
        residual: Tensor = self.straight(known) + self.second(functional.silu(self.first(known)))
        return residual
