"""How far away a minimum is: conjugate gradients on gradients that are evaluated for it."""

from __future__ import annotations

import attrs
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from irem_core.descent.base import Probe
from irem_core.descent.curvature import Tangent
from irem_core.energies.landscape import Evaluation

# Directions may be so many times flatter than any that is known.
_UNSEEN = 1e-4


@attrs.frozen(eq=False)
class Ahead:
    """What looking ahead has shown.

    Args:
        left: how far an entry has to go to where the gradient is 0, infinite where the energy bends
            downwards.
        flattest: the largest `|s|^2 / (s . r)` known of moves s that change the gradient by r.
    """

    left: Float[Tensor, " problems"]
    flattest: Float[Tensor, " problems"]


def look_ahead(
    evaluation: Evaluation,
    probe: Probe,
    *,
    wanted: Bool[Tensor, " problems"],
    allowed: Float[Tensor, " problems"],
    flattest: Float[Tensor, " problems"],
    most: int,
) -> Ahead:
    """Estimate the Newton step of wanted problems from how gradients change nearby.

    Conjugate gradients take a further gradient for each direction, so they see curvature on the
    scale of `allowed` and need no second derivative. They end where what is left of the gradient is
    next to nothing even in directions far flatter than the flattest known. Entries that their
    bounds hold stay there.

    Args:
        evaluation: where, with gradients.
        probe: what evaluates.
        wanted: which problems; what is returned of others means nothing.
        allowed: how much may be left.
        flattest: the largest `|s|^2 / (s . r)` known, 0 where none is.
        most: how many gradients at most.
    """
    tangent = Tangent.at(evaluation, probe)
    slope = tangent.along(evaluation.slope)
    # Differences of gradients over less would be of rounding.
    eps = torch.finfo(allowed.dtype).eps
    reach = torch.maximum(allowed, eps**0.5 * evaluation.iterate.amax().clamp(min=eps))
    # Scaled, since squares of steep and of flat energies leave the range of float32.
    unit = slope.amax()
    wanted = wanted & (unit > 0)
    unit = torch.where(unit > 0, unit, 1)
    rest = slope * (1 / unit)
    ahead, step, flat = rest * -1, rest.map(torch.zeros_like), flattest * unit
    size, downhill = rest.dot(rest), torch.zeros_like(wanted)
    for _ in range(most):
        known = (flat > 0) & (rest.amax() * flat <= _UNSEEN * allowed)
        asked = wanted & ~downhill & ~known
        if not bool(asked.any()):
            break
        length = torch.where(asked, reach / ahead.amax(), 0)
        found = probe.differentiate(evaluation.iterate + length * ahead, asked, evaluation)
        bent = (found.slope - evaluation.slope) * (1 / unit)
        bent = bent * torch.where(asked, ahead.amax() / reach, 0)
        bent = tangent.bent(bent, ahead * (1 / unit))
        along = ahead.dot(bent)
        downhill = downhill | (asked & ~(along > 0))
        asked = asked & ~downhill
        far = torch.where(asked, size / along, 0)
        step, rest = step + far * ahead, rest + far * bent
        flat = torch.where(asked, torch.maximum(flat, ahead.dot(ahead) / along), flat)
        before, size = size, torch.where(asked, rest.dot(rest), size)
        ahead = torch.where(asked, size / before, 0) * ahead - rest
    left = torch.where(wanted, step.amax() + rest.amax() * flat, 0)
    return Ahead(torch.where(downhill, torch.inf, left), flat / unit)
