"""Limited-memory BFGS, each problem with a history of its own."""

from __future__ import annotations

import attrs
import torch

from irem_core import checks
from irem_core.descent.base import Descent, Probe
from irem_core.descent.curvature import Secants, Tangent
from irem_core.descent.ray_search import Search
from irem_core.energies.landscape import Evaluation
from irem_core.problems.iterate import Iterate


@attrs.frozen(kw_only=True)
class LBFGS(Descent):
    """Quasi-Newton steps from the last moves of each problem (Liu and Nocedal, 1989).

    A step goes along -H g, where H is the inverse of the Hessian as far as the moves tell it. Its
    length is 1 at first and is searched for by the strong Wolfe conditions (see `Search`), which
    see to it that every move tells something. Where a face of a bounded space holds answers, H is
    that along the face, and trials are moved within the bounds (Bertsekas, 1982). In training H is
    a constant: a loss reaches the weights through the gradient that it multiplies.

    Args:
        history: moves that are remembered, each in twice the memory of an answer.
        decrease: fraction of the predicted decrease that is demanded, between 0 and 1.
        curvature: fraction of the slope along the step that may be left, between 0 and 1.
        trials: step sizes tried at most before a problem takes the best of them or stays.
    """

    history: int = attrs.field(default=10, validator=checks.count)
    decrease: float = attrs.field(default=1e-3, validator=checks.proper_fraction)
    curvature: float = attrs.field(default=0.9, validator=checks.proper_fraction)
    trials: int = attrs.field(default=15, validator=checks.count)

    def init(self, evaluation: Evaluation) -> Secants:
        """Start with no move."""
        return Secants.none(evaluation, self.history)

    def step(
        self, evaluation: Evaluation, state: Secants, energy: Probe
    ) -> tuple[Iterate, Secants]:
        """Remember the last move, then search along the quasi-Newton direction."""
        known = evaluation.detach()
        with torch.no_grad():
            state = state.then(known)
            tangent = Tangent.at(known, energy)
            pairs = state.along(tangent)
            first = torch.where(pairs.any, 1.0, pairs.first_step(known))
        uphill = pairs.inverse(tangent.along(evaluation.slope))
        with torch.no_grad():
            search = Search(self.decrease, self.curvature, self.trials)
            found, step_size = search.along(known, uphill.detach() * -1, first, energy)
        if uphill.y.requires_grad:
            return evaluation.iterate - step_size * uphill, state
        return energy.settle(found), state
