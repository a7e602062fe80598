"""The line search along a direction that the descents with curvature share."""

from __future__ import annotations

import attrs
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from irem_core.descent.base import Probe
from irem_core.energies.landscape import Evaluation
from irem_core.problems import trees
from irem_core.problems.iterate import Iterate

# Trials stay so far, as a share, from the ends of what brackets them, and lengthen so much at most.
_MARGIN, _LONGER = 0.05, 10.0
# How many units in the last place a projection may round by.
_ROUNDING = 8


@attrs.frozen(eq=False)
class _Trial:
    """Trials on a ray: the step sizes, the energies there and their slopes along the ray."""

    step_size: Float[Tensor, " problems"]
    energy: Float[Tensor, " problems"]
    slope: Float[Tensor, " problems"]


@attrs.frozen(eq=False)
class Search:
    """The strong Wolfe conditions, and how long to look for a step that meets them.

    A step t along d leads to y' = y + t d, moved within the bounds. It is accepted where

        E(y') <= E(y) + decrease * g . (y' - y)   and   |g' . d| <= curvature * |g . d|

    (Nocedal and Wright, 2006, section 3.1), or by the first alone where bounds cut it short
    (Bertsekas, 1976). Trials lengthen until they bracket such a step and then close in on it, by
    the cubic through both ends. Where differences of energies drown in their rounding the slope
    stands in for the first condition (Hager and Zhang, 2005), and a trial that moves the answer by
    no more than its rounding is accepted; so is the end of both that is lower, once no more than
    the answer's rounding is between them. Where no trial is accepted, the one of the lowest energy
    that meets the first condition is taken, and none where none does.

    Args:
        decrease: the fraction of the predicted decrease that is demanded.
        curvature: the fraction of the slope that may remain, above `decrease`; None where any may,
            so that the first condition is all.
        trials: how many step sizes are tried at most.
    """

    decrease: float
    curvature: float | None
    trials: int

    def along(
        self,
        evaluation: Evaluation,
        direction: Iterate,
        step_size: Float[Tensor, " problems"],
        energy: Probe,
    ) -> tuple[Evaluation, Float[Tensor, " problems"]]:
        """Search from a first step size of each problem.

        Args:
            evaluation: where to step from.
            direction: where to; problems for which it does not lead down stay.
            step_size: `(B,)` the first trial, 0 where problems stay.
            energy: evaluates trials.

        Returns:
            What was found, and the step sizes `(B,)`, 0 where problems stay.
        """
        slope, reach = evaluation.slope.dot(direction), direction.amax()
        start = _Trial(torch.zeros_like(slope), evaluation.energy, slope)
        low, high = start, attrs.evolve(start, step_size=torch.full_like(slope, torch.inf))
        found, layout = evaluation, evaluation.iterate.layout
        searching = (slope < 0) & (step_size > 0)
        if energy.running is not None:
            searching = searching & energy.running
        for _ in range(self.trials):
            seen, trial, cut = _try(evaluation, direction, step_size, energy, searching)
            resolution = 2 * torch.finfo(slope.dtype).eps * seen.iterate.amax()
            falls, accepted, near = self._judge(evaluation, start, trial, seen, cut, resolution)
            # A trial that fell no lower than one before bounds the step from above.
            better = falls & ((trial.energy < low.energy) | (low.step_size == 0))
            found = trees.where(searching & (accepted | better), layout, seen, found)
            beyond = better & ((high.step_size - low.step_size) * trial.slope >= 0)
            high = trees.where(searching & beyond, layout, low, high)
            high = trees.where(searching & ~better, layout, trial, high)
            low = trees.where(searching & (accepted | better), layout, trial, low)
            between = (high.step_size - low.step_size).abs() * reach
            searching = searching & ~accepted & ~(near & (between <= resolution))
            if not bool(searching.any()):
                break
            step_size = torch.where(searching, _next(low, high), step_size)
        return found, low.step_size

    def _judge(
        self,
        evaluation: Evaluation,
        start: _Trial,
        trial: _Trial,
        seen: Evaluation,
        cut: Bool[Tensor, " problems"],
        resolution: Float[Tensor, " problems"],
    ) -> tuple[Bool[Tensor, " problems"], Bool[Tensor, " problems"], Bool[Tensor, " problems"]]:
        """Say where trials meet the first condition, are accepted, and energies drown."""
        moved = seen.iterate - evaluation.iterate
        predicted = evaluation.slope.dot(moved)
        finite = seen.energy.isfinite() & trial.slope.isfinite()
        falls = finite & (seen.energy <= start.energy + self.decrease * predicted)
        falls = falls & (predicted < 0)
        level = torch.ones_like(falls)
        if self.curvature is not None:
            level = trial.slope.abs() <= -self.curvature * start.slope
        rounding = 4 * torch.finfo(start.energy.dtype).eps * start.energy.abs()
        near = (seen.energy - start.energy).abs() <= rounding
        eased = trial.slope <= (2 * self.decrease - 1) * start.slope
        # The slope is rounding too where the answer itself is hardly moved.
        there = moved.amax() <= resolution
        return falls, (falls & (level | cut)) | (near & (there | (level & eased))), near


def _try(
    evaluation: Evaluation,
    direction: Iterate,
    step_size: Float[Tensor, " problems"],
    energy: Probe,
    searching: Bool[Tensor, " problems"],
) -> tuple[Evaluation, _Trial, Bool[Tensor, " problems"]]:
    """Evaluate a trial of each problem that is searching, and say which the bounds cut short."""
    aim = evaluation.iterate + step_size * direction
    trial = energy.within(aim)
    seen = energy.differentiate(trial, searching, evaluation)
    if trial.y is aim.y:
        slope = seen.slope.dot(direction)
        return seen, _Trial(step_size, seen.energy, slope), torch.zeros_like(searching)
    # Spaces whose entries hang together move all of them by a rounding.
    rounding = _ROUNDING * torch.finfo(step_size.dtype).eps * aim.amax()
    moved = (trial - aim) * (1 / rounding.clamp_min(torch.finfo(step_size.dtype).tiny))
    kept = moved.map(lambda leaf: (leaf.abs() <= 1).to(leaf.dtype))
    slope = seen.slope.dot(direction.map(torch.mul, kept))
    cut = moved.amax() > 1
    return seen, _Trial(step_size, seen.energy, slope), cut


def _next(low: _Trial, high: _Trial) -> Float[Tensor, " problems"]:
    """Return the next step sizes: between both ends, or longer where there is no upper one."""
    inside = _cubic(low, high)
    width = high.step_size - low.step_size
    share = (inside - low.step_size) / width
    # Without a number to go by it is a tenth where energies overflow, else the middle.
    lost = torch.where(high.energy.isfinite() & high.slope.isfinite(), 0.5, 0.1)
    share = torch.where(share.isfinite(), share, lost).clamp(_MARGIN, 1 - _MARGIN)
    between = low.step_size + share * width
    return torch.where(width.isfinite(), between, _LONGER * low.step_size)


def _cubic(low: _Trial, high: _Trial) -> Float[Tensor, " problems"]:
    """Return the minimum of the cubic with the energies and slopes of both ends."""
    width = high.step_size - low.step_size
    first = low.slope + high.slope - 3 * (high.energy - low.energy) / width
    second = (first.square() - low.slope * high.slope).sqrt() * width.sign()
    share = (high.slope + second - first) / (high.slope - low.slope + 2 * second)
    return high.step_size - width * share
