"""The spectral gradient method: Barzilai-Borwein steps under a non-monotone line search."""

from __future__ import annotations

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from irem_core import checks
from irem_core.descent.base import Descent, Probe
from irem_core.descent.line_search import first_step_size, search
from irem_core.energies.landscape import Evaluation
from irem_core.problems.iterate import Iterate


@attrs.frozen(eq=False)
class Secant:
    """State: the previous iterate and gradient, the last step size, the recent energies."""

    iterate: Iterate
    slope: Iterate
    step_size: Float[Tensor, " problems"]
    recent: Float[Tensor, "problems memory"]


@attrs.frozen(kw_only=True)
class BarzilaiBorwein(Descent):
    """Gradient descent with the step size `|s|^2 / (s . r)` of each problem's last move.

    s is the change of the iterate and r that of the gradient, so the step is the inverse of the
    curvature just seen (Barzilai and Borwein, 1988). The energy may rise for a few steps, but not
    above its maximum over the last `memory` iterates (Grippo et al., 1986; Raydan, 1997).

    Args:
        memory: iterates whose largest energy a step must fall below; 1 makes every step descend.
        shrink: factor between trials of the line search, between 0 and 1.
        decrease: fraction of the predicted decrease that is demanded, between 0 and 1.
        trials: step sizes tried at most before a problem stays where it is.
    """

    memory: int = attrs.field(default=10, validator=checks.count)
    shrink: float = attrs.field(default=0.5, validator=checks.proper_fraction)
    decrease: float = attrs.field(default=1e-4, validator=checks.proper_fraction)
    trials: int = attrs.field(default=40, validator=checks.count)

    def init(self, evaluation: Evaluation) -> Secant:
        """Start from the step size that moves no entry by more than 1."""
        recent = torch.full_like(evaluation.energy, -torch.inf)[:, None].repeat(1, self.memory)
        return Secant(evaluation.iterate, evaluation.slope, first_step_size(evaluation), recent)

    def step(self, evaluation: Evaluation, state: Secant, energy: Probe) -> tuple[Iterate, Secant]:
        """Measure the curvature of the last move, then search from its inverse."""
        with torch.no_grad():
            moved = evaluation.iterate - state.iterate
            curvature = moved.dot(evaluation.slope - state.slope)
            # Where the energy bends downwards, or nothing moved yet, the secant says nothing of the
            # step's length: try a longer one than last time.
            secant = torch.where(curvature > 0, moved.dot(moved) / curvature, 2 * state.step_size)
            first = (state.recent == -torch.inf).all(1)
            trial = torch.where(first, state.step_size, secant)
            newest = evaluation.energy.detach()[:, None]
            recent = torch.cat([newest, state.recent[:, : self.memory - 1]], 1)
        iterate, accepted = search(
            evaluation,
            trial,
            energy,
            ceiling=recent.amax(1),
            decrease=self.decrease,
            shrink=self.shrink,
            trials=self.trials,
        )
        # Where no secant led here the next search would be this one again, and there is none.
        again = torch.where(first | (curvature > 0), state.step_size, 0)
        step_size = torch.where(accepted > 0, accepted, again)
        return iterate, Secant(evaluation.iterate, evaluation.slope, step_size, recent)
