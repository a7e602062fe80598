"""What descents remember of curvature: the last moves, and how the gradient changed along each."""

from __future__ import annotations

from typing import Self

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor

from irem_core.descent.base import Probe
from irem_core.descent.line_search import first_step_size
from irem_core.energies.landscape import Evaluation
from irem_core.problems.iterate import Iterate
from irem_core.problems.space import Face

# A first step after one that found nowhere to go may be so many times as long as the last that did:
# long enough to leave a valley where steps are short, too short to leap out of a minimum.
_LEAP = 1000.0
# The first search from an iterate may know pairs. A second one has forgotten them, so a third would
# be the second again.
_SEARCHES = 2


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
        bent: r . r of each pair.
        reach: how far a first step may move an entry: 1,000 times as far as the last move that said
            something did, and 1 at most.
        searches: from this iterate, the next one included.
    """

    iterate: Iterate
    slope: Iterate
    moves: tuple[Iterate, ...]
    bends: tuple[Iterate, ...]
    curvature: Float[Tensor, "problems history"]
    bent: Float[Tensor, "problems history"]
    reach: Float[Tensor, " problems"]
    searches: Int[Tensor, " problems"]

    @classmethod
    def none(cls, evaluation: Evaluation, history: int) -> Self:
        """Begin with room for a number of pairs."""
        zeros = (evaluation.iterate.map(torch.zeros_like),) * history
        curvature = torch.zeros_like(evaluation.energy)[:, None].repeat(1, history)
        reach = torch.ones_like(evaluation.energy)
        return cls(
            iterate=evaluation.iterate,
            slope=evaluation.slope,
            moves=zeros,
            bends=zeros,
            curvature=curvature,
            bent=curvature,
            reach=reach,
            searches=torch.zeros_like(reach, dtype=torch.int64),
        )

    def then(self, evaluation: Evaluation) -> Secants:
        """Remember the move to an evaluation in place of the oldest.

        It says nothing where the gradient did not grow along it. Where nothing moved, the step
        found nowhere to go, and all is forgotten but how far moves went: one of the natural length
        would leap out of a minimum.
        """
        s, r = evaluation.iterate - self.iterate, evaluation.slope - self.slope
        along, bent, far = s.dot(r), r.dot(r), s.amax()
        told = _tells(along, s.dot(s), bent) & along.isfinite()
        curvature = _pushed(self.curvature, torch.where(told, along, 0))
        return Secants(
            iterate=evaluation.iterate,
            slope=evaluation.slope,
            moves=(s, *self.moves[:-1]),
            bends=(r, *self.bends[:-1]),
            curvature=torch.where(far[:, None] > 0, curvature, 0),
            bent=_pushed(self.bent, bent),
            reach=torch.where(told, (_LEAP * far).clamp(max=1), self.reach),
            searches=torch.where(far > 0, 1, self.searches + 1),
        )

    def along(self, tangent: Tangent) -> Secants:
        """Keep of every pair what lies along the face that holds the answers."""
        if tangent.face is None:
            return self
        moves = tuple(map(tangent.along, self.moves))
        bends = tuple(map(tangent.bent, self.bends, moves))
        along = torch.stack([s.dot(r) for s, r in zip(moves, bends, strict=True)], 1)
        moved, bent = (torch.stack([v.dot(v) for v in pairs], 1) for pairs in (moves, bends))
        told = (self.curvature > 0) & _tells(along, moved, bent)
        curvature = torch.where(told, along, 0)
        return attrs.evolve(self, moves=moves, bends=bends, curvature=curvature, bent=bent)

    @property
    def any(self) -> Tensor:
        """Whether a problem has a pair that says something, `(B,)`."""
        return (self.curvature > 0).any(1)

    def first_step(self, evaluation: Evaluation) -> Float[Tensor, " problems"]:
        """Return how many gradients long a step may be where no pair says anything.

        It is 0 where a search has found that there is none.
        """
        reach = torch.where(self.searches > _SEARCHES, 0, self.reach)
        return reach * first_step_size(evaluation)

    def scale(self) -> Float[Tensor, " problems"]:
        """Return s . r / r . r of the newest pair that says something, 1 where none does."""
        told = self.curvature > 0
        newest = told.to(torch.int8).argmax(1, keepdim=True)
        along, bent = (each.gather(1, newest)[:, 0] for each in (self.curvature, self.bent))
        return torch.where(told.any(1), along / bent, 1)

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


def _tells(along: Tensor, moved: Tensor, bent: Tensor) -> Tensor:
    """Say where s . r is more than rounding of |s| |r|."""
    return along > torch.finfo(along.dtype).eps * moved.sqrt() * bent.sqrt()


def _pushed(recent: Tensor, newest: Tensor) -> Tensor:
    return torch.cat([newest[:, None], recent[:, :-1]], 1)


@attrs.frozen(eq=False)
class Tangent:
    """The directions along the face of a space that holds answers against their slope.

    Args:
        face: the face, as the space has it (see `Space.face`); None where nothing bounds answers.
    """

    face: Face | None

    @classmethod
    def at(cls, evaluation: Evaluation, energy: Probe) -> Self:
        """Ask the space of the answers, if they have one."""
        space, y = energy.space, evaluation.iterate.y
        if space is None or space.project(y) is y:
            return cls(None)
        return cls(space.face(y, evaluation.slope.y))

    def along(self, direction: Iterate) -> Iterate:
        """Return the part of a direction that does not leave the face."""
        if self.face is None:
            return direction
        return attrs.evolve(direction, y=self.face.along(direction.y))

    def bent(self, bend: Iterate, direction: Iterate) -> Iterate:
        """Return, along the face, how the slope changes along a direction of it.

        Args:
            bend: how it changes by the energy alone.
            direction: the direction.
        """
        if self.face is None:
            return bend
        y = self.face.along(bend.y) + self.face.bend(direction.y)
        return attrs.evolve(bend, y=y)
