"""Gradient descent that undoes steps up."""

from __future__ import annotations

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from irem_core import checks
from irem_core.descent.base import Descent, Probe
from irem_core.energies.landscape import Evaluation
from irem_core.problems import trees
from irem_core.problems.iterate import Iterate


@attrs.frozen(kw_only=True)
class Monotone(Descent):
    """y <- y - step_size * dE/dy where that lowers the energy; else y stays, problem by problem.

    So annealed energies are descended (IRED, Du et al., ICML 2024, Algorithm 2). Each step costs
    one evaluation, as of `GradientDescent`.

    Args:
        step_size: of the first step, above 0.
        shrink: what a problem's step size is multiplied by once a step of it is undone, above 0 and
            at most 1; by 1, as published, a problem whose step is undone stays for good.
    """

    step_size: float = attrs.field(default=1.0, validator=checks.positive)
    shrink: float = attrs.field(
        default=0.5, validator=checks.number("a number above 0, at most 1", above=0, high=1)
    )

    def init(self, evaluation: Evaluation) -> Float[Tensor, " problems"]:
        """Return the step size of each problem."""
        return torch.full_like(evaluation.energy, self.step_size)

    def step(
        self, evaluation: Evaluation, state: Float[Tensor, " problems"], energy: Probe
    ) -> tuple[Iterate, Float[Tensor, " problems"]]:
        """Take a step, and take it back where the energy is higher or no number."""
        trial = evaluation.iterate - state * evaluation.slope
        every = torch.ones_like(evaluation.energy, dtype=torch.bool)
        tried = energy.differentiate(trial, every, evaluation)
        lower, layout = tried.energy <= evaluation.energy, trial.layout
        shorter = torch.where(lower, state, state * self.shrink)
        if trial.y.requires_grad:
            return trees.where(lower, layout, trial, evaluation.iterate), shorter
        return energy.settle(trees.where(lower, layout, tried, evaluation)), shorter
