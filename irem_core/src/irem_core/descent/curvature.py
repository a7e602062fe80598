"""What descents remember of curvature: the last moves, and how the gradient changed along each."""

from __future__ import annotations

from typing import Self

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from irem_core.descent.base import Probe
from irem_core.descent.line_search import first_step_size
from irem_core.energies.landscape import Evaluation
from irem_core.problems.iterate import Iterate

# A first step after one that found nowhere to go may be so many times as long as the last that did:
# long enough to leave a valley where steps are short, too short to leap out of a minimum.
_LEAP = 1000.0


@attrs.frozen(eq=False)
class Secants:
    """The last moves s of each problem and the changes r of the gradient, the newest first.

    They are pairs of tensors of their own, so that remembering one copies none of the others.

    Args:
        iterate: where the last step began.
        slope: the gradient there.
        moves: the changes of the iterate; zeros before there were any.
        bends: the changes of the gradient.
        curvature: s . r of each pair; 0 for pairs that say nothing.
        reach: how far a first step may move an entry: 1,000 times as far as the last move that said
            something did, and 1 at most.
    """

    iterate: Iterate
    slope: Iterate
    moves: tuple[Iterate, ...]
    bends: tuple[Iterate, ...]
    curvature: Float[Tensor, "problems history"]
    reach: Float[Tensor, " problems"]

    @classmethod
    def none(cls, evaluation: Evaluation, history: int) -> Self:
        """Begin with room for a number of pairs."""
        zeros = (evaluation.iterate.map(torch.zeros_like),) * history
        curvature = torch.zeros_like(evaluation.energy)[:, None].repeat(1, history)
        reach = torch.ones_like(evaluation.energy)
        return cls(evaluation.iterate, evaluation.slope, zeros, zeros, curvature, reach)

    def then(self, evaluation: Evaluation) -> Secants:
        """Remember the move to an evaluation in place of the oldest.

        It says nothing where the gradient did not grow along it. Where nothing moved, the step
        found nowhere to go, and all is forgotten but how far moves went: one of the natural length
        would leap out of a minimum.
        """
        moved, bent = evaluation.iterate - self.iterate, evaluation.slope - self.slope
        along = moved.dot(bent)
        sizes = moved.norm() * bent.norm()
        told = (along > torch.finfo(along.dtype).eps * sizes) & along.isfinite()
        newest = torch.where(told, along, 0)[:, None]
        curvature = torch.cat([newest, self.curvature[:, :-1]], 1)
        curvature = torch.where(moved.amax()[:, None] > 0, curvature, 0)
        reach = torch.where(told, (_LEAP * moved.amax()).clamp(max=1), self.reach)
        moves, bends = (moved, *self.moves[:-1]), (bent, *self.bends[:-1])
        return Secants(evaluation.iterate, evaluation.slope, moves, bends, curvature, reach)

    def among(self, free: Iterate | None) -> Secants:
        """Keep of every pair the entries that are free, marked by 1 among zeros."""
        if free is None:
            return self
        moves, bends = (
            tuple(each.map(torch.mul, free) for each in pairs) for pairs in (self.moves, self.bends)
        )
        along = torch.stack([s.dot(r) for s, r in zip(moves, bends, strict=True)], 1)
        sizes = torch.stack([s.norm() * r.norm() for s, r in zip(moves, bends, strict=True)], 1)
        told = (self.curvature > 0) & (along > torch.finfo(along.dtype).eps * sizes)
        curvature = torch.where(told, along, 0)
        return attrs.evolve(self, moves=moves, bends=bends, curvature=curvature)

    @property
    def any(self) -> Tensor:
        """Whether a problem has a pair that says something, `(B,)`."""
        return (self.curvature > 0).any(1)

    def first_step(self, evaluation: Evaluation) -> Float[Tensor, " problems"]:
        """Return how many gradients long a step may be where no pair says anything."""
        return self.reach * first_step_size(evaluation)

    def scale(self) -> Float[Tensor, " problems"]:
        """Return s . r / r . r of the newest pair that says something, 1 where none does."""
        scale = torch.ones_like(self.curvature[:, 0])
        for place in reversed(range(len(self.moves))):
            along, bent = self.curvature[:, place], self.bends[place]
            scale = torch.where(along > 0, along / bent.dot(bent), scale)
        return scale

    def inverse(self, slope: Iterate) -> Iterate:
        """Multiply by the inverse of the Hessian as the pairs have it (the two-loop recursion)."""
        weights = torch.where(self.curvature > 0, 1 / self.curvature, 0).unbind(1)
        shares = []
        for s, r, weight in zip(self.moves, self.bends, weights, strict=True):
            shares.append(weight * s.dot(slope))
            slope = slope - shares[-1] * r
        slope = self.scale() * slope
        rest = zip(self.moves, self.bends, weights, shares, strict=True)
        for s, r, weight, share in reversed(list(rest)):
            slope = slope + (share - weight * r.dot(slope)) * s
        return slope


def free_entries(evaluation: Evaluation, energy: Probe) -> Iterate | None:
    """Mark by 1 the entries that a step down moves, and by 0 those that their bounds hold.

    Args:
        evaluation: where.
        energy: knows the bounds.

    Returns:
        The marks, or None where nothing bounds the answers.
    """
    aim = evaluation.iterate - evaluation.slope
    moved = energy.within(aim)
    if moved.y is aim.y:
        return None
    # Where a slope is lost in the rounding of an entry it is not the bounds that hold it.
    return moved.map(
        lambda to, at, wanted: ((to != at) | (wanted == at)).to(at.dtype), evaluation.iterate, aim
    )
