"""What parts keep to: those with settings alone in general, halting rules and spaces."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from irem_core.descent import BarzilaiBorwein, Descent, GradientDescent, Momentum
from irem_core.energies.landscape import Evaluation
from irem_core.part import settings_of
from irem_core.problems import trees
from irem_core.problems.iterate import Iterate
from irem_core.problems.layout import Layout
from irem_core.problems.problem import Problem
from irem_core.problems.space import Space
from irem_core.solving.halting import HaltingCriterion
from irem_core.solving.outcome import Outcome
from irem_core.testing.support import (
    contents,
    contract,
    copied,
    indices,
    no_global_randomness,
    require_error,
    same,
    seeded_generator,
)
from irem_core.testing.zoo import ZOO, watch


@contract
def check_part(part: Any) -> None:
    """Check that a part is frozen, and rebuilt by its settings as an equal one.

    Args:
        part: an instance of an attrs class, such as a descent.

    Raises:
        AssertionError: it is not.
    """
    title = type(part).__name__
    try:
        settings = settings_of(part)
    except TypeError as error:
        raise AssertionError(f"{title} reports no settings; write it with attrs.frozen") from error
    try:
        rebuilt = type(part)(**settings)
    except TypeError as error:
        raise AssertionError(f"{title} cannot be rebuilt from its settings: {error}") from error
    assert rebuilt == part, f"{title} rebuilt from its settings is {rebuilt!r}, not {part!r}"
    for name, value in settings.items():
        frozen = f"{title} lets its setting {name} be changed; write it with attrs.frozen"
        require_error(frozen, AttributeError, setattr, part, name, value)
    typo = f"{title} takes no_such_setting=1; a setting that it does not have must be a TypeError"
    require_error(typo, TypeError, type(part), **settings, no_such_setting=1)


@contract
def check_halting(rule: HaltingCriterion, *, within: int = 1000) -> None:
    """Check that a halting rule judges problems apart, and halts those that stand still.

    A rule that `promises_arrival` must not call a problem CONVERGED whose answer then goes on to
    move by a tenth, down flat valleys after steep walls; nor one that found no step while its
    gradient is not small.

    Args:
        rule: the halting rule.
        within: steps after which a problem that no longer moves must have halted.

    Raises:
        AssertionError: it breaks its contract.
    """
    check_part(rule)
    title = type(rule).__name__
    layout = Layout.of_owner(torch.tensor([0, 1, 1, 2]))
    some = indices(layout, 0, 2)
    energies = torch.rand(6, layout.count, generator=seeded_generator(0)).cumsum(0).flip(0)
    slope = Iterate(torch.ones(layout.rows, 2), layout)
    steps = [Evaluation(slope, energy, slope) for energy in energies]
    state = rule.begin(steps[0], _asked(layout))
    for before, after in pairwise(steps):
        fewer = trees.select((before, after, state), layout, some)
        kept = copied((before, after, state))
        outcome, next_state = rule.update(before, after, state)
        assert same(kept, contents((before, after, state))), (
            f"{title} changes the evaluations or the state that it was given; return new tensors"
        )
        _check_outcome(outcome, layout.count, title)
        assert torch.equal(rule.update(*fewer)[0], outcome[some]), (
            f"{title} judges problems otherwise once others have halted and were dropped; decide "
            "for each problem apart"
        )
        state = next_state
    _check_end(rule, layout, within, title)
    if rule.promises_arrival:
        _check_promise(rule, title)


def _asked(layout: Layout) -> Problem:
    """Return problems of which any answer holds."""
    x = torch.zeros(layout.count, 1)
    return Problem(x, None, layout, verify=lambda asked, _: torch.ones(asked.layout.count) > 0)


def _check_outcome(outcome: Any, count: int, title: str) -> None:
    fits = isinstance(outcome, Tensor) and outcome.shape == (count,)
    assert fits and outcome.dtype == torch.int64, (
        f"{title} returned {outcome!r} as outcomes of {count} problems; expected a tensor of shape "
        f"({count},) and type torch.int64"
    )
    allowed = set(Outcome) - {Outcome.NONFINITE, Outcome.ANSWERED}
    assert set(outcome.tolist()) <= allowed, (
        f"{title} returned the outcomes {outcome.tolist()}; expected numbers of Outcome.RUNNING, "
        "Outcome.CONVERGED, Outcome.VERIFIED, Outcome.BUDGET_SPENT or Outcome.STALLED"
    )


def _check_end(rule: HaltingCriterion, layout: Layout, within: int, title: str) -> None:
    still = Iterate(torch.zeros(layout.rows, 2), layout)
    evaluation = Evaluation(still, torch.zeros(layout.count), still)
    state = rule.begin(evaluation, _asked(layout))
    halted = torch.zeros(layout.count, dtype=torch.bool)
    for _ in range(within):
        outcome, state = rule.update(evaluation, evaluation, state)
        halted |= outcome != Outcome.RUNNING
        if bool(halted.all()):
            return
    raise AssertionError(
        f"{title} goes on after {within} steps that changed nothing, with a gradient of 0; a "
        "problem that stands still must halt (see within=)"
    )


# A valley that is crossed at once and followed slowly, one that bends, and a turn of a heavy ball.
_SLOW: tuple[tuple[str, Descent], ...] = (
    ("quadratic-1000", GradientDescent(step_size=1e-3)),
    ("rosenbrock", BarzilaiBorwein(memory=1)),
    ("quadratic-1", Momentum(step_size=1e-4, momentum=0.99)),
)


def _check_promise(rule: HaltingCriterion, title: str) -> None:
    remedy = "ask for more, or declare promises_arrival = False and say what CONVERGED means"
    for name, descent in _SLOW:
        (watched,) = watch(ZOO[name], descent, [rule], count=2, steps=150, onward=150)
        assert not bool(watched.false(relative=1e-2).any()), (
            f"{title} calls {name} converged after {watched.steps.tolist()} steps of {descent}, "
            f"though answers then move by {watched.moved.tolist()}; {remedy}"
        )
    layout = Layout(1)
    stuck = Evaluation(
        Iterate(torch.ones(1, 2), layout), torch.ones(1), Iterate(torch.ones(1, 2), layout)
    )
    state = rule.init(stuck)
    for _ in range(20):
        outcome, state = rule.update(stuck, stuck, state)
        assert int(outcome) != Outcome.CONVERGED, (
            f"{title} calls a problem converged that found no step, with a gradient of 1; {remedy}"
        )


@contract
def check_space(space: Space) -> None:
    """Check that a space draws starts within its bounds, and knows its own tensors.

    Args:
        space: the space.

    Raises:
        AssertionError: it breaks its contract.
    """
    check_part(space)
    title = str(space)
    assert type(space).__name__ in title, f"{title!r} does not name its {type(space).__name__}"
    layout = Layout.of_owner(torch.arange(40).repeat_interleave(3)) if space.ragged else Layout(40)
    with no_global_randomness(title):
        y, again, other = (space.start(layout, seeded_generator(seed)) for seed in (0, 0, 1))
    shape = (layout.rows, *space.shape)
    assert y.shape == shape, f"{title} draws starts of shape {tuple(y.shape)}, not {shape}"
    assert space.size == y[0].numel(), f"{title} says size {space.size}, and has {y[0].numel()}"
    assert torch.equal(y, again), f"{title} draws other starts from a generator of the same seed"
    assert not torch.equal(y, other), f"{title} draws equal starts from generators of two seeds"
    precise = space.start(layout, seeded_generator(0), dtype=torch.float64).dtype
    assert precise == torch.float64, f"{title} draws {precise} where float64 was asked for"
    for candidate in (y, space.project(100 * y)):
        _check_bounds(space, candidate, title)
    space.check("candidate", y, layout.rows)
    for value in (y[..., None], y.long(), y[0], "text", torch.full_like(y, math.nan)):
        _check_refusal(space, value, None, title)
    _check_refusal(space, y, layout.rows + 1, title)


def _check_bounds(space: Space, within: Tensor, title: str) -> None:
    low = -math.inf if space.low is None else space.low
    high = math.inf if space.high is None else space.high
    least, greatest = float(within.min()), float(within.max())
    assert low <= least and greatest <= high, (
        f"{title} leaves entries from {least} to {greatest}, which its bounds exclude"
    )
    projected = space.project(within)
    # Up to rounding, where entries hang together.
    rounding = 1e-5 * float(within.abs().max())
    still = projected.shape == within.shape and torch.allclose(projected, within, 0.0, rounding)
    assert still, f"{title} moves what is within its bounds already"


def _check_refusal(space: Space, value: Any, rows: int | None, title: str) -> None:
    shown = repr(value)
    if isinstance(value, Tensor):
        shown = f"{tuple(value.shape)} of {value.dtype} from {value.min()} to {value.max()}"
    taken = f"{title} takes {shown} for {rows or 'any number of'} rows of its own"
    error = require_error(taken, ValueError, space.check, "candidate", value, rows)
    assert "candidate" in str(error), f"{title} refuses {shown} without its name: {error}"
