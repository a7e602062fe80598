"""Anderson's acceleration of gradient steps, each problem with a history of its own."""

from __future__ import annotations

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from irem_core import checks
from irem_core.descent.base import Descent, Probe
from irem_core.descent.curvature import Secants, Tangent
from irem_core.descent.ray_search import Search
from irem_core.energies.landscape import Evaluation
from irem_core.problems.iterate import Iterate


@attrs.frozen(kw_only=True)
class Anderson(Descent):
    """Gradient steps from the point that past moves say has the smallest gradient (Anderson, 1965).

    With the last moves s_k and changes r_k of the gradient g, weights w minimise
    `|g - sum_k w_k r_k|^2`, and the step is -sum_k w_k s_k - b (g - sum_k w_k r_k): type II of Fang
    and Saad (2009). The step size b is that of Barzilai and Borwein. Steps that do not lead down
    become gradient steps, and all are shortened until the energy falls by Armijo's rule. Where a
    face of a bounded space holds answers, steps go along it. In training the moves are
    constants: a loss reaches the weights through the gradient.

    Args:
        history: moves that are remembered, each in twice the memory of an answer.
        regularization: added to the least squares, relative to their diagonal, above 0.
        decrease: fraction of the predicted decrease that is demanded, between 0 and 1.
        trials: step lengths tried at most before a problem stays where it is.
    """

    history: int = attrs.field(default=5, validator=checks.count)
    regularization: float = attrs.field(default=1e-10, validator=checks.positive)
    decrease: float = attrs.field(default=1e-4, validator=checks.proper_fraction)
    trials: int = attrs.field(default=15, validator=checks.count)

    def init(self, evaluation: Evaluation) -> Secants:
        """Start with no move."""
        return Secants.none(evaluation, self.history)

    def step(
        self, evaluation: Evaluation, state: Secants, energy: Probe
    ) -> tuple[Iterate, Secants]:
        """Remember the last move, then search along the accelerated direction."""
        known = evaluation.detach()
        with torch.no_grad():
            state = state.then(known)
            tangent = Tangent.at(known, energy)
            pairs = state.along(tangent)
            size = torch.where(pairs.any, pairs.scale(), pairs.first_step(known))
        slope = tangent.along(evaluation.slope)
        plain = size * slope
        uphill = self._accelerated(pairs, slope, size)
        with torch.no_grad():
            leads = slope.dot(uphill) > 0
        # A weight of 0 would keep what is not finite.
        uphill = uphill.map(lambda leaf: leaf.nan_to_num(0.0, 0.0, 0.0))
        uphill = leads.to(size.dtype) * uphill + (~leads).to(size.dtype) * plain
        with torch.no_grad():
            search = Search(self.decrease, None, self.trials)
            found, length = search.along(known, uphill.detach() * -1, torch.ones_like(size), energy)
        if uphill.y.requires_grad:
            return evaluation.iterate - length * uphill, state
        return energy.settle(found), state

    def _accelerated(
        self, pairs: Secants, slope: Iterate, size: Float[Tensor, " problems"]
    ) -> Iterate:
        """Return the step, upside down, of which gradient steps of a size are a part."""
        told = (pairs.curvature > 0).to(size.dtype)
        gram = torch.stack(
            [torch.stack([r.dot(other) for other in pairs.bends], 1) for r in pairs.bends], 1
        )
        gram = gram * told[:, :, None] * told[:, None]
        damping = self._regularized(gram, told)
        wanted = told * torch.stack([r.dot(slope) for r in pairs.bends], 1)
        factor, failed = torch.linalg.cholesky_ex(gram + torch.diag_embed(damping))
        weights = torch.cholesky_solve(wanted[..., None], factor)[..., 0]
        weights = torch.where(failed[:, None] > 0, 0, weights)
        uphill = size * slope
        for weight, s, r in zip(weights.unbind(1), pairs.moves, pairs.bends, strict=True):
            uphill = uphill + weight * (s - size * r)
        return uphill

    def _regularized(
        self, gram: Float[Tensor, "problems k k"], told: Float[Tensor, "problems k"]
    ) -> Float[Tensor, "problems k"]:
        """Return what is added to the diagonal: little, or 1 where a pair says nothing."""
        least = max(self.regularization, torch.finfo(gram.dtype).eps)
        return torch.where(told > 0, least * gram.diagonal(dim1=1, dim2=2), 1)
