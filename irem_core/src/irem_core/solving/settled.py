"""The rule that promises something: halt where going on would hardly move the answer."""

from __future__ import annotations

import attrs
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from irem_core import checks
from irem_core.descent.base import Probe
from irem_core.energies.landscape import Evaluation
from irem_core.problems.iterate import Iterate, project
from irem_core.problems.space import Space
from irem_core.solving.halting import HaltingCriterion
from irem_core.solving.looking_ahead import look_ahead
from irem_core.solving.outcome import Outcome

# Moves are compared with those this many steps before. Barzilai-Borwein steps and momentum grow and
# shrink in turn, over about so many.
_WINDOW = 6
_WINDOWS = (_WINDOW, _WINDOW // 2)
# What is remembered of the flattest direction after one further step: descents may take a
# hundred across a valley before one that goes along it.
_KEPT = 0.99
# Gradients that are evaluated at most before a problem is called converged.
_GRADIENTS = 10
# The inverse of how many times flatter directions may be than any that moves went along.
_UNSEEN = 1e-4
# A move of so many units in the last place is taken for rounding.
_ROUNDING = 2.0
# Steps in a row without a move after which a descent has stalled. Damping that is raised, or a
# radius that is lowered, until a step is accepted may take some.
_STILL = 8


@attrs.frozen(eq=False)
class Moves:
    """State of `Settled`, each leading with problems.

    Args:
        lengths: the largest entry of each recent move, the newest first; infinite before the first.
        drops: by how much each changed the energy.
        flattest: the largest `|s|^2 / (s . r)` of moves s that changed the gradient by r, fading:
            the length of a step, in gradients, to where the gradient would be 0. It is 0 before
            any is known.
        quiet: steps in a row after which next to nothing was left.
        wanted: quiet steps after which it is looked ahead.
        still: steps in a row that did not move the answer.
    """

    lengths: Float[Tensor, "problems moves"]
    drops: Float[Tensor, "problems moves"]
    flattest: Float[Tensor, " problems"]
    quiet: Int[Tensor, " problems"]
    wanted: Int[Tensor, " problems"]
    still: Int[Tensor, " problems"]


@attrs.frozen(kw_only=True)
class Settled(HaltingCriterion):
    """Stop where going on with this descent would not move the answer by more than a tolerance.

    What is left is estimated from how fast the moves shrink, since moves that shrink by a factor q
    at each step leave q / (1 - q) of the last one to go; and from how the gradient changed along
    the moves, which tells how far away it is 0. Both must be at most `absolute` + `relative` `|y|`,
    where `|y|` is the answer's largest entry as it is now, and the energy must change less and
    less, `patience` steps in a row. Then it is looked ahead: conjugate gradients on at most 10
    further gradients find how far the minimum is, also along directions that no move took. A
    problem has converged when that is as little. Where it is more, twice as many steps must be
    quiet before it is looked ahead again.

    A problem that no longer moves, or by less than its numbers resolve, has converged where the
    gradient says so, and has stalled (`Outcome.STALLED`) where it does not.

    Args:
        relative: the share of the answer that may be left to go, at least 0.
        absolute: what may be left to go in any case, in units of the answer, at least 0.
        patience: steps in a row, at least 1.
    """

    relative: float = attrs.field(default=1e-3, validator=checks.non_negative)
    absolute: float = attrs.field(default=1e-6, validator=checks.non_negative)
    patience: int = attrs.field(default=3, validator=checks.count)

    def init(self, evaluation: Evaluation) -> Moves:
        """Start with no move made."""
        unknown = torch.full_like(evaluation.energy, torch.inf)
        none = torch.zeros_like(evaluation.energy, dtype=torch.int64)
        moves = unknown[:, None].repeat(1, 2 * _WINDOW)
        return Moves(moves, moves, torch.zeros_like(unknown), none, none + self.patience, none)

    def update(
        self, before: Evaluation, after: Evaluation, state: Moves
    ) -> tuple[Int[Tensor, " problems"], Moves]:
        """Judge a step of answers without bounds, as far as moves alone can tell."""
        return self.judge(before, after, state, None)

    def judge(
        self, before: Evaluation, after: Evaluation, state: Moves, probe: Probe | None
    ) -> tuple[Int[Tensor, " problems"], Moves]:
        """Estimate what is left after the step, and look ahead before saying CONVERGED."""
        space = None if probe is None else probe.space
        size = after.iterate.amax()
        rounding = _ROUNDING * torch.finfo(size.dtype).eps * size
        move = after.iterate - before.iterate
        length = move.amax()
        still = length <= rounding
        lengths = _pushed(state.lengths, length)
        drops = _pushed(state.drops, (after.energy - before.energy).abs())
        allowed = self.absolute + self.relative * size
        if before.gradient is None or after.gradient is None:
            flattest, near = state.flattest, ~still
        else:
            bent = after.gradient - before.gradient
            flattest, bends_up = _flattest(state.flattest, move, bent, length > 8 * rounding)
            near = bends_up & (_by_gradient(after, flattest, space) <= allowed)
        # Once a valley is reached that is followed slowly, the newest moves shrink no more.
        left = torch.stack([_by_moves(lengths, rounding, many) for many in _WINDOWS]).amax(0)
        calmer, blind = _calmer(drops, after.energy)
        # Where no energy tells moves apart they come and go, and the gradient has to tell.
        left = torch.where(blind, _halves(lengths)[0], left)
        calm = (calmer | blind) & (left <= allowed)
        quiet = torch.where(near & (calm | still), state.quiet + 1, 0)
        stood = torch.where(still, state.still + 1, 0)
        outcome = torch.where(stood >= _STILL, int(Outcome.STALLED), int(Outcome.RUNNING))
        arrived, wanted = quiet >= state.wanted, state.wanted
        if probe is not None and probe.landscape is not None and after.gradient is not None:
            refused, flattest = _refused(after, probe, arrived, still, allowed, flattest)
            arrived = arrived & ~refused
            quiet, wanted = torch.where(refused, 0, quiet), torch.where(refused, 2 * wanted, wanted)
        outcome = torch.where(arrived, int(Outcome.CONVERGED), outcome)
        return outcome, Moves(lengths, drops, flattest, quiet, wanted, stood)


def _refused(
    after: Evaluation,
    probe: Probe,
    arrived: Bool[Tensor, " problems"],
    still: Bool[Tensor, " problems"],
    allowed: Float[Tensor, " problems"],
    flattest: Float[Tensor, " problems"],
) -> tuple[Bool[Tensor, " problems"], Float[Tensor, " problems"]]:
    """Say which have not arrived after all, as looking ahead shows, and how flat it is there."""
    asked = arrived if probe.running is None else arrived & probe.running
    if not bool(asked.any()):
        return torch.zeros_like(asked), flattest
    # Where nothing moves little was seen.
    unseen = torch.where(still, 0, _UNSEEN).to(allowed.dtype)
    ahead = look_ahead(
        after,
        probe,
        wanted=asked,
        allowed=allowed,
        flattest=flattest,
        unseen=unseen,
        most=_GRADIENTS,
    )
    return asked & ~(ahead.left <= allowed), ahead.flattest


def _pushed(recent: Tensor, newest: Tensor) -> Tensor:
    return torch.cat([newest[:, None], recent[:, :-1]], 1)


def _halves(recent: Tensor, count: int = _WINDOW) -> tuple[Tensor, Tensor]:
    """Return the largest of the newest so many, infinite before they are, and of those before."""
    older = recent[:, count : 2 * count]
    return recent[:, :count].amax(1), older.where(older.isfinite(), 0).amax(1)


def _by_moves(
    lengths: Float[Tensor, "problems moves"], rounding: Float[Tensor, " problems"], count: int
) -> Float[Tensor, " problems"]:
    """Return the longest of the last so many moves times q / (1 - q), q from those before to them.

    Lengths are known up to rounding, and q is taken as large as that allows.
    """
    late, early = _halves(lengths, count)
    ratio = (late + rounding) / (early - rounding).clamp(min=0)
    factor = ratio.clamp(0.5**count, 1.0) ** (1 / count)
    return late * factor / (1 - factor)


def _calmer(drops: Tensor, energy: Tensor) -> tuple[Tensor, Tensor]:
    """Say where the energy changes less than it did, and where by no more than its rounding."""
    late, early = _halves(drops)
    return late < early, late <= 4 * torch.finfo(energy.dtype).eps * energy.abs()


def _flattest(
    known: Float[Tensor, " problems"], s: Iterate, r: Iterate, tells: Bool[Tensor, " problems"]
) -> tuple[Float[Tensor, " problems"], Bool[Tensor, " problems"]]:
    """Return the largest `|s|^2 / (s . r)` known after a step, and whether it bends upwards there.

    A move too short to tell more of the gradient's change than of rounding is left out.
    """
    # Scaled first, since squares of steep and of flat energies leave the range of float32.
    length, most = s.amax(), r.amax()
    s, r = s * (1 / length), r * (1 / most)
    upwards = s.dot(r)
    secant = s.dot(s) / upwards * (length / most)
    good = (upwards > 0) & secant.isfinite()
    newest = torch.where(good & tells, secant, 0.0)
    return torch.maximum(newest, _KEPT * known), good | ~tells


def _by_gradient(
    after: Evaluation, flattest: Float[Tensor, " problems"], space: Space | None
) -> Float[Tensor, " problems"]:
    """Return how far away the gradient is 0, within the bounds, as far as moves have shown."""
    slope = after.slope
    steepest, size = slope.amax(), after.iterate.amax()
    # Before any move a step of the natural length shows whether bounds hold the answer. One that
    # would leave the range of the numbers is cut.
    step = torch.where(flattest > 0, flattest, (1 + size) / steepest)
    step = torch.minimum(step, torch.finfo(step.dtype).max ** 0.5 / steepest)
    there = project(space, after.iterate - torch.where(steepest > 0, step, 0.0) * slope)
    return (after.iterate - there).amax()
