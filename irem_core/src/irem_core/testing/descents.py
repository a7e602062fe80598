"""What descents and backpropagation rules keep to."""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from torch import Tensor

from irem_core.descent import BarzilaiBorwein, Descent, GradientDescent, Momentum, Probe
from irem_core.energies.landscape import Evaluation, differentiate
from irem_core.problems import trees
from irem_core.problems.iterate import Iterate
from irem_core.solvers.backprop import Backprop, LastStep, Rollout
from irem_core.solving.halting import FixedSteps
from irem_core.solving.minimization import minimize
from irem_core.solving.solution import Solution
from irem_core.testing.parts import check_part
from irem_core.testing.support import (
    contents,
    contract,
    copied,
    indices,
    no_global_randomness,
    same,
    seeded_generator,
)
from irem_core.testing.terrains import KINDS, Terrain, make

_STEPS = 6


@contract
def check_descent(descent: Descent, *, on: Collection[str] = KINDS) -> None:
    """Check that a descent lowers energies, treats problems apart, and lets energies be trained.

    It walks on problems of curvature 0.3 to 1.5 whose minimisers lie in [0, 1] and which start in
    the corner of that box farthest away: give it settings that suit these, such as `step_size=0.5`.

    Args:
        descent: the descent.
        on: which kinds of problems it is made for: "dense", "bounded", "ragged", "scratchpad".

    Raises:
        AssertionError: it breaks its contract.
    """
    check_part(descent)
    for kind in on:
        terrain = make(kind)
        title = f"{type(descent).__name__} on {terrain.name} problems"
        with no_global_randomness(title):
            _check_walk(descent, terrain, title)
            _check_state(descent, terrain, title)
        if descent.needs_gradient:
            _check_training(descent, terrain, title)


def _walk(descent: Descent, terrain: Terrain, steps: int) -> Solution:
    return minimize(
        terrain.energy,
        terrain.problem,
        start=terrain.start,
        descent=descent,
        halting=FixedSteps(steps=_STEPS),
        max_steps=steps,
    )


def _check_walk(descent: Descent, terrain: Terrain, title: str) -> None:
    start, end = (_walk(descent, terrain, steps).energy for steps in (0, _STEPS))
    assert start is not None and end is not None
    stuck = (end >= start).nonzero().squeeze(1).tolist()
    assert not stuck, f"{title} finds no lower energy within {_STEPS} steps for problems {stuck}"
    alone = [_walk(descent, terrain.part(index), 3).last for index in range(terrain.count)]
    _assert_close(
        _walk(descent, terrain, 3).last,
        torch.cat(alone),
        f"{title} takes other steps in a batch than with each problem alone; decide for each "
        "problem apart",
    )


def _check_state(descent: Descent, terrain: Terrain, title: str) -> None:
    """Step by hand, and from each state also with some of the problems alone."""
    chosen = (1, terrain.count - 1)
    layout = terrain.problem.layout
    some = indices(layout, *chosen)
    evaluate, probe = _evaluator(terrain)
    _, probe_of_some = _evaluator(terrain.part(*chosen))
    evaluation = evaluate(terrain.start, descent.needs_gradient)
    state = descent.init(evaluation)
    for _ in range(3):
        evaluation_of_some, state_of_some = trees.select((evaluation, state), layout, some)
        kept = copied((evaluation, state))
        iterate, after = descent.step(evaluation, state, probe)
        assert same(kept, contents((evaluation, state))), (
            f"{title} changes the evaluation or the state that it was given; return new tensors"
        )
        fewer, _ = descent.step(evaluation_of_some, state_of_some, probe_of_some)
        _assert_close(
            fewer.y,
            trees.select(iterate, layout, some).y,
            f"{title} steps otherwise once other problems have halted and were dropped; keep what "
            "it remembers in its state, in tensors that lead with problems or answer rows",
        )
        evaluation, state = evaluate(iterate, descent.needs_gradient), after


def _evaluator(terrain: Terrain) -> tuple[Callable[[Iterate, bool], Evaluation], Probe]:
    with torch.no_grad():
        context = terrain.energy.encode(terrain.problem)

    def evaluate(iterate: Iterate, gradient: bool) -> Evaluation:
        return differentiate(terrain.energy, context, iterate, gradient=gradient)

    return evaluate, Probe.of(terrain.energy, context, terrain.problem.answer)


def _check_training(descent: Descent, terrain: Terrain, title: str) -> None:
    (last,) = LastStep().unroll(_rollout(terrain, descent, steps=2))
    assert _reaches_weight(last.y.sum(), terrain), (
        f"{title} cuts the gradient of a loss on its last step, so that no energy can be trained "
        "through it; compute the step from the evaluation's slope without detaching it, or declare "
        "needs_gradient = False"
    )


def _reaches_weight(value: Tensor, terrain: Terrain) -> bool:
    """Say whether a finite gradient that is not 0 leads from a number to the weight."""
    slope = _slope(value, terrain)
    return bool(slope.isfinite()) and bool(slope != 0)


def _slope(value: Tensor, terrain: Terrain) -> Tensor:
    """Return the gradient of a number in the weight, 0 where none leads there."""
    weight = terrain.energy.get_parameter("weight")
    if not value.requires_grad:
        return torch.zeros_like(weight)
    slopes = torch.autograd.grad(value, weight, retain_graph=True, materialize_grads=True)
    slope: Tensor = slopes[0]
    return slope


def _assert_close(actual: Tensor, expected: Tensor, broken: str) -> None:
    torch.testing.assert_close(
        actual, expected, rtol=0, atol=1e-9, msg=lambda difference: f"{broken}. {difference}"
    )


@contract
def check_backprop(backprop: Backprop) -> None:
    """Check that a backpropagation rule goes where solving goes, and lets energies be trained.

    Args:
        backprop: the backpropagation rule.

    Raises:
        AssertionError: it breaks its contract.
    """
    check_part(backprop)
    descents = [GradientDescent(step_size=0.5), Momentum(step_size=0.5), BarzilaiBorwein()]
    for kind in KINDS:
        terrain = make(kind)
        title = f"{type(backprop).__name__} on {terrain.name} problems"
        with no_global_randomness(title):
            for descent in descents:
                for every in (False, True):
                    _check_unroll(backprop, terrain, descent, title, every=every)
                    _check_loss(backprop, terrain, descent, title, every=every)


def _check_unroll(
    backprop: Backprop, terrain: Terrain, descent: Descent, title: str, *, every: bool
) -> None:
    kept = _kept(terrain)
    iterates = list(backprop.unroll(_rollout(terrain, descent, steps=3, every=every)))
    _check_left_alone(terrain, kept, title)
    wanted = 3 if every else 1
    assert len(iterates) == wanted, (
        f"{title} yields {len(iterates)} iterates of 3 steps where every={every}, not {wanted}"
    )
    _assert_close(
        iterates[-1].y.detach(),
        _walk(descent, terrain, 3).last,
        f"{title} ends elsewhere than solving does after as many steps",
    )
    attached = any(iterate.y.requires_grad for iterate in iterates)
    assert not attached or all(_reaches_weight(each.y.sum(), terrain) for each in iterates), (
        f"{title} yields an iterate from which the gradient of a loss does not reach the weights, "
        "though others are attached to them"
    )


def _check_loss(
    backprop: Backprop, terrain: Terrain, descent: Descent, title: str, *, every: bool
) -> None:
    kept = _kept(terrain)
    (loss, last), (again, _) = (
        backprop.loss(_rollout(terrain, descent, steps=3, every=every), _error, seeded_generator(0))
        for _ in range(2)
    )
    _check_left_alone(terrain, kept, title)
    walks = [_walk(descent, terrain, steps) for steps in ((1, 2, 3) if every else (3,))]
    wanted = torch.stack([_error(Iterate(walk.last, terrain.start.layout)) for walk in walks])
    _assert_close(
        loss.detach(),
        wanted.sum(),
        f"{title} has another loss than the errors of where solving goes add up to",
    )
    _assert_close(
        last.y.detach(),
        walks[-1].last,
        f"{title} returns another iterate than that of the last step",
    )
    assert _reaches_weight(loss, terrain), (
        f"{title} has a loss whose gradient does not reach the weights"
    )
    assert torch.equal(_slope(loss, terrain), _slope(again, terrain)), (
        f"{title} has another gradient with a generator of the same seed"
    )


def _rollout(terrain: Terrain, descent: Descent, *, steps: int, every: bool = False) -> Rollout:
    return Rollout(
        energy=terrain.energy,
        problem=terrain.problem,
        start=terrain.start,
        descent=descent,
        steps=steps,
        every=every,
    )


def _error(iterate: Iterate) -> Tensor:
    return (iterate.y + 1).square().mean()


def _kept(terrain: Terrain) -> list[Tensor]:
    return copied((terrain.problem, terrain.start, terrain.energy.state_dict()))


def _check_left_alone(terrain: Terrain, kept: list[Tensor], title: str) -> None:
    held = contents((terrain.problem, terrain.start, terrain.energy.state_dict()))
    assert same(kept, held), (
        f"{title} changes the problem, the start or the weights that it was given; compute new "
        "tensors"
    )
    assert terrain.energy.get_parameter("weight").grad is None, (
        f"{title} leaves a gradient on the weights, which is for the loss to do"
    )
