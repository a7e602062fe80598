"""Discrete descent: flip one entry of an answer at a time, by the energy alone."""

from __future__ import annotations

import attrs
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from irem_core import checks
from irem_core.descent.base import Descent, Probe
from irem_core.energies.landscape import Evaluation
from irem_core.errors import SettingError, ShapeError
from irem_core.problems.iterate import Iterate
from irem_core.problems.space import Space


@attrs.frozen(eq=False)
class Flips:
    """State: the flips made, which of them was each entry's last, the lowest energy at a corner."""

    made: Int[Tensor, " problems"]
    last: Int[Tensor, "problems entries"]
    lowest: Float[Tensor, " problems"]


@attrs.frozen(kw_only=True)
class CoordinateFlip(Descent):
    """Round to the bounds, then flip the entry that leaves the energy lowest, one a step.

    This is steepest descent on the corners of a box, where every entry is `low` or `high` (on
    Boolean formulas: GSAT, Selman et al., 1992). An answer that is no corner is first rounded to
    the nearest one, which takes a step. Of flips to the same energy the one whose entry has rested
    longest is made (HSAT: Gent and Walsh, 1993). With a `tenure` the best flip is made even where
    the energy rises, and is kept for so many flips unless undoing it gives the lowest energy yet
    (tabu search: Glover, 1989). So answers leave local minima; solving returns the lowest-energy
    iterate, which is a corner unless the start was lower than all corners met.

    A step evaluates the energy once for every entry of the answer, and never its gradient, so
    combine it with halting rules that need none. It draws nothing at random.

    Args:
        tenure: flips for which an entry rests after its own; at most all entries but one do.
            With 0 only flips that lower the energy are made, so that an answer stays at its first
            local minimum.

    Raises:
        SettingError: the answers are not bounded on both sides, or there is a scratchpad.
        ShapeError: the answers are ragged.
    """

    needs_gradient = False

    tenure: int = attrs.field(default=10, validator=checks.count_or_zero)

    def init(self, evaluation: Evaluation) -> Flips:
        """Start with every entry rested."""
        made = torch.zeros_like(evaluation.energy, dtype=torch.int64)
        y = evaluation.iterate.y.flatten(1)
        rested = torch.full_like(y, -1 - self.tenure, dtype=torch.int64)
        return Flips(made, rested, torch.full_like(evaluation.energy, torch.inf))

    def step(self, evaluation: Evaluation, state: Flips, energy: Probe) -> tuple[Iterate, Flips]:
        """Round the answers that are no corners, and flip an entry of each of the others."""
        iterate = evaluation.iterate
        low, high = _bounds(energy.space, iterate)
        with torch.no_grad():
            y = iterate.y.flatten(1)
            upper = y - low >= high - y
            corner, opposite = torch.where(upper, high, low), torch.where(upper, low, high)
            at_corner = (y == corner).all(1)
            if not bool(at_corner.any()):
                return iterate.map(corner.reshape_as), state
            trials = torch.stack(
                [
                    energy(iterate.map(corner.index_copy(1, entry, opposite[:, entry]).reshape_as))
                    for entry in torch.arange(y.shape[1], device=y.device).split(1)
                ],
                1,
            )
            flip, state = self._choose(trials, evaluation.energy, state, at_corner)
            return iterate.map(torch.where(flip, opposite, corner).reshape_as), state

    def _choose(
        self,
        trials: Float[Tensor, "problems entries"],
        current: Float[Tensor, " problems"],
        state: Flips,
        at_corner: Bool[Tensor, " problems"],
    ) -> tuple[Bool[Tensor, "problems entries"], Flips]:
        """Mark the entry to flip of each problem, none where no flip is allowed."""
        lowest = torch.where(at_corner, torch.minimum(state.lowest, current), state.lowest)
        rest = state.made[:, None] - state.last
        if self.tenure:
            rested = rest > min(self.tenure, trials.shape[1] - 1)
            allowed = rested | (trials < lowest[:, None])
        else:
            allowed = trials < current[:, None]
        scores = trials.where(allowed & at_corner[:, None] & trials.isfinite(), torch.inf)
        best = scores.amin(1, keepdim=True)
        chosen = rest.where(scores == best, -1).argmax(1, keepdim=True)
        flip = torch.zeros_like(allowed).scatter(1, chosen, best.isfinite())
        made = state.made + flip.any(1)
        return flip, Flips(made, torch.where(flip, state.made[:, None], state.last), lowest)


def _bounds(space: Space | None, iterate: Iterate) -> tuple[Tensor, Tensor]:
    """Return the two values of entries, or raise where the answers do not have two."""
    if iterate.layout.owner is not None:
        raise ShapeError(
            "coordinate-flip got ragged answers; it flips entries of dense ones. Use a descent "
            "that follows the gradient."
        )
    if iterate.z is not None:
        raise SettingError(
            "coordinate-flip got a scratchpad, whose entries have no bounds to flip between; use "
            "a descent that follows the gradient."
        )
    limits = (None, None) if space is None else space.limits(iterate.y)
    low, high = (
        torch.as_tensor(torch.inf if each is None else each).to(iterate.y).flatten()
        for each in limits
    )
    if not bool(low.isfinite().all() & high.isfinite().all()):
        raise SettingError(
            f"coordinate-flip got answers in {space or 'an unknown space'}; it flips entries "
            "between two bounds, so give the Problem a space with both, such as "
            "VectorSpace(20, low=0.0, high=1.0)."
        )
    return low, high
