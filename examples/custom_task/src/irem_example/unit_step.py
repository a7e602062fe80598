"""A descent: steps of a set length that shrinks, however steep the energy is."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from irem_core import Descent, Evaluation, Iterate, Probe, SettingError


@attrs.frozen(kw_only=True)
class UnitStep(Descent):
    """y <- y - length * g, g the gradient scaled to a largest entry of 1; the length decays.

    Args:
        step_size: length of the first step, above 0.
        decay: what the length is multiplied with after each step, above 0 and at most 1.
    """

    step_size: float = 0.3
    decay: float = 0.9

    def __attrs_post_init__(self) -> None:
        """Reject lengths that lead nowhere."""
        if self.step_size <= 0 or not 0 < self.decay <= 1:
            raise SettingError(f"{self} expects step_size above 0 and decay in (0, 1].")

    def init(self, evaluation: Evaluation) -> Tensor:
        """Return the length of each problem's next step, `(B,)`."""
        return torch.full_like(evaluation.energy, self.step_size)

    def step(self, evaluation: Evaluation, state: Tensor, energy: Probe) -> tuple[Iterate, Tensor]:
        """Step, and shrink the length."""
        steepest = evaluation.slope.amax().clamp_min(1e-30)
        return evaluation.iterate - (state / steepest) * evaluation.slope, state * self.decay
