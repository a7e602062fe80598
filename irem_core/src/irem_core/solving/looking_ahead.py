"""How far away a minimum is: conjugate gradients on gradients that are evaluated for it."""

from __future__ import annotations

import attrs
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from irem_core.descent.base import Probe
from irem_core.descent.curvature import Tangent
from irem_core.energies.landscape import Evaluation
from irem_core.problems.iterate import Iterate

# A gradient that has become smaller by so many units in the last place is taken for rounding.
_ROUNDING = 8.0


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
    unseen: Float[Tensor, " problems"],
    most: int,
) -> Ahead:
    """Estimate the Newton step of wanted problems from how gradients change nearby.

    Conjugate gradients take a further gradient for each direction, at most `allowed` away, so they
    need no second derivative. They end where what they leave over of the gradient is next to
    nothing even in directions far flatter than the flattest known. Entries that their bounds hold
    stay there.

    Args:
        evaluation: where, with gradients.
        probe: what evaluates.
        wanted: which problems; what is returned of others means nothing.
        allowed: how much may be left.
        flattest: the largest `|s|^2 / (s . r)` known, 0 where none is.
        unseen: the share of `allowed` that may be left over at the flattest curvature known; the
            inverse of how many times flatter directions may be that no one has seen.
        most: how many gradients at most.
    """
    tangent = Tangent.at(evaluation, probe)
    slope = tangent.along(evaluation.slope)
    # Over less, differences of gradients would be of rounding.
    eps = torch.finfo(allowed.dtype).eps
    least = eps**0.75 * evaluation.iterate.amax().clamp(min=eps)
    # Scaled, since squares of steep and of flat energies leave the range of float32.
    unit, whole = slope.amax(), evaluation.slope.amax()
    # What is left along a face may be the rounding of a slope that the face holds.
    wanted = wanted & (unit > _ROUNDING * eps * whole)
    unit = torch.where(unit > 0, unit, 1)
    rounding = _ROUNDING * eps * whole / unit
    rest = slope * (1 / unit)
    ahead, step, flat = rest * -1, rest.map(torch.zeros_like), flattest * unit
    size, downhill = rest.dot(rest), torch.zeros_like(wanted)
    for _ in range(most):
        left = rest.amax()
        known = (flat > 0) & ((left * flat <= unseen * allowed) | (left <= rounding))
        asked = wanted & ~downhill & ~known
        if not bool(asked.any()):
            break
        reach = torch.where(flat > 0, left * flat, allowed)
        reach = torch.maximum(torch.minimum(reach, allowed), least)
        bent = _bent(evaluation, probe, ahead, reach, asked) * (1 / unit)
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


def _bent(
    evaluation: Evaluation,
    probe: Probe,
    ahead: Iterate,
    reach: Float[Tensor, " problems"],
    asked: Bool[Tensor, " problems"],
) -> Iterate:
    """Return the Hessian times a direction, from the gradient at an entry's reach that way."""
    length = torch.where(asked, reach / ahead.amax(), 0)
    found = probe.differentiate(evaluation.iterate + length * ahead, asked, evaluation)
    return (found.slope - evaluation.slope) * torch.where(asked, ahead.amax() / reach, 0)
