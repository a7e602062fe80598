"""What halting rules keep to: they judge problems apart, and CONVERGED is true where promised."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import attrs
import torch
from torch import Tensor

from irem_core.descent import Adam, BarzilaiBorwein, Descent, GradientDescent, Momentum
from irem_core.energies.landscape import Evaluation
from irem_core.problems import trees
from irem_core.problems.iterate import Iterate
from irem_core.problems.layout import Layout
from irem_core.problems.problem import Problem
from irem_core.solving.halting import HaltingCriterion
from irem_core.solving.outcome import Outcome
from irem_core.testing.parts import check_part
from irem_core.testing.support import contents, contract, copied, indices, same, seeded_generator
from irem_core.testing.zoo import ZOO, FunctionEnergy, KnownProblem, watch


def _altered(name: str, *, scale: float = 1.0, offset: float = 0.0) -> KnownProblem:
    """Return a known problem whose energy is scaled, and then lifted."""
    known = ZOO[name]

    def function(y: Tensor) -> Tensor:
        return scale * known.energy.energy(None, y) + offset

    return attrs.evolve(known, energy=FunctionEnergy(function))


_SINGLE, _DOUBLE = torch.float32, torch.float64
# Descents that look settled long before they are: across steep walls into flat valleys, straight
# and bent ones; a heavy ball that turns; an energy whose changes an offset hides; and energies
# whose gradients have squares outside the range of float32.
_SLOW: dict[str, tuple[KnownProblem, Descent, torch.dtype]] = {
    "a flat valley behind a steep wall": (
        ZOO["quadratic-1000"],
        GradientDescent(step_size=1e-3),
        _DOUBLE,
    ),
    "a bent valley": (ZOO["rosenbrock"], BarzilaiBorwein(memory=1), _DOUBLE),
    "a bent valley in ten dimensions": (ZOO["chained-rosenbrock"], BarzilaiBorwein(), _SINGLE),
    "a quadratic of condition 30": (
        ZOO["quadratic-30"],
        GradientDescent(step_size=1 / 30),
        _SINGLE,
    ),
    "a heavy ball": (ZOO["quadratic-1"], Momentum(step_size=1e-3, momentum=0.99), _DOUBLE),
    "an energy lifted by 1e8": (
        _altered("quadratic-30", offset=1e8),
        GradientDescent(step_size=1e-2),
        _SINGLE,
    ),
    "an energy of the size of 1e19": (
        _altered("quadratic-30", scale=1e19),
        Adam(step_size=0.01),
        _SINGLE,
    ),
    "an energy of the size of 1e-20": (
        _altered("quadratic-30", scale=1e-20),
        Adam(step_size=0.01),
        _SINGLE,
    ),
}
# What a descent that finds no step may stand at.
_STUCK = (1.0, 1e19, 1e-20)


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
    _check_apart(rule, layout, title)
    _check_end(rule, layout, within, title)
    if rule.promises_arrival:
        _check_promise(rule, title)


def _asked(layout: Layout) -> Problem:
    """Return problems of which any answer holds."""
    x = torch.zeros(layout.count, 1)
    return Problem(x, None, layout, verify=lambda asked, _: torch.ones(asked.layout.count) > 0)


def _check_apart(rule: HaltingCriterion, layout: Layout, title: str) -> None:
    """Judge one that arrives, one that goes on and one that stands still, together and alone."""
    sizes = torch.tensor([[0.5**step, 100.0 - step, 0.0] for step in range(40)])
    steps = [
        Evaluation(Iterate(rows, layout), size.square(), Iterate(rows, layout))
        for size in sizes
        for rows in [size[layout.owner, None].repeat(1, 2)]
    ]
    together = _said(rule, steps)
    for problem in range(layout.count):
        chosen = indices(layout, problem)
        alone = _said(rule, [trees.select(each, layout, chosen) for each in steps])
        assert torch.equal(alone[:, 0], together[:, problem]), (
            f"{title} judges a problem otherwise beside others that go on or stand still; decide "
            "for each problem apart"
        )


def _said(rule: HaltingCriterion, steps: list[Evaluation]) -> Tensor:
    state, said = rule.begin(steps[0], _asked(steps[0].iterate.layout)), []
    for before, after in pairwise(steps):
        outcome, state = rule.update(before, after, state)
        said.append(outcome)
    return torch.stack(said)


def _check_outcome(outcome: Any, count: int, title: str) -> None:
    fits = isinstance(outcome, Tensor) and outcome.shape == (count,)
    assert fits and outcome.dtype == torch.int64, (
        f"{title} returned {outcome!r} as outcomes of {count} problems; expected a tensor of shape "
        f"({count},) and type torch.int64"
    )
    allowed = set(Outcome) - {Outcome.NONFINITE, Outcome.ANSWERED, Outcome.INFEASIBLE}
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


def _check_promise(rule: HaltingCriterion, title: str) -> None:
    remedy = "ask for more, or declare promises_arrival = False and say what CONVERGED means"
    for what, (known, descent, dtype) in _SLOW.items():
        (watched,) = watch(known, descent, [rule], count=2, steps=60, onward=120, dtype=dtype)
        assert not bool(watched.false(relative=1e-2).any()), (
            f"{title} calls {what} ({known.name}) converged after {watched.steps.tolist()} steps "
            f"of {descent}, though answers then move by {watched.moved.tolist()}; {remedy}"
        )
    layout = Layout(1)
    for size in _STUCK:
        slope = Iterate(torch.full((1, 2), size), layout)
        stuck = Evaluation(Iterate(torch.ones(1, 2), layout), torch.tensor([size]), slope)
        state = rule.init(stuck)
        for _ in range(20):
            outcome, state = rule.update(stuck, stuck, state)
            assert int(outcome) != Outcome.CONVERGED, (
                f"{title} calls a problem converged that found no step, with an energy and a "
                f"gradient of {size:.0e}; {remedy}"
            )
