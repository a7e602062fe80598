"""What energies keep to."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from irem_core.energies.derivatives import linearized
from irem_core.energies.landscape import Landscape, checked, differentiate
from irem_core.errors import SettingError
from irem_core.part import preset_of, seeded, settings_of
from irem_core.problems import trees
from irem_core.problems.iterate import Iterate, project
from irem_core.problems.problem import Problem
from irem_core.problems.space import uniform
from irem_core.tasks.task import Task
from irem_core.testing.support import (
    check_preset,
    contents,
    contract,
    copied,
    double,
    indices,
    no_global_randomness,
    same,
    seeded_generator,
)

# Of the central difference, in units of y: its error is about its square, rounding's 1e-10.
_STEP = 1e-6
# Of weights that are then replaced; unlike any that the energy itself may have been built with.
_OTHER_SEED = 2**40 + 1


@contract
def check_energy(energy: Landscape, task: Task, *, count: int = 6) -> None:
    """Check that an energy is pure, smooth, apart for each problem, trainable, and rebuilt.

    It is copied, and checked on CPU in float64.

    Args:
        energy: an `EnergyFn` or a `ScratchpadEnergy`, built for the task.
        task: draws the problems, dense or ragged.
        count: how many, at least 2.

    Raises:
        AssertionError: it breaks its contract.
    """
    title = type(energy).__name__
    energy = copy.deepcopy(energy).cpu().double()
    problem = double(task.sample(count, generator=seeded_generator(0))[0])
    with no_global_randomness(title):
        at = _candidates(energy, problem, title)
        values = _check_values(energy, problem, at, title)
        _check_residuals(energy, problem, at, values, title)
        _check_apart(energy, problem, at, values, title)
        _check_slope(energy, problem, at, values, title)
        _check_training(energy, problem, at, title)
    _check_rebuilt(energy, problem, at, values, title)
    try:
        preset = preset_of(energy, task.question, task.answer)
    except SettingError as error:
        raise AssertionError(str(error)) from error
    if preset is not None:
        check_preset(preset, f"{title} has a preset that")


def _candidates(energy: Landscape, problem: Problem, title: str) -> Iterate:
    """Draw candidates around the energy's own starts, which may be where it is lowest at first."""
    start, again = (energy.start(problem, seeded_generator(0)) for _ in range(2))
    assert same(contents(start), contents(again)), (
        f"{title} draws other starts from a generator of the same seed"
    )
    assert problem.answer is not None, f"{title} was given problems without an answer space"
    problem.answer.check(f"The start of {title}", start.y, problem.layout.rows)
    generator = seeded_generator(1)
    moved = start.map(lambda leaf: leaf + uniform(leaf.shape, generator) / 2)
    return project(problem.answer, moved.map(Tensor.double))


def _check_values(energy: Landscape, problem: Problem, at: Iterate, title: str) -> Tensor:
    before = copied((problem, at, energy.state_dict()))
    context = energy.encode(problem)
    kept = copied(context)
    values = checked(energy.value(context, at), problem.layout.count, energy)
    assert values.dtype == torch.float64, (
        f"{title} returned energies of {values.dtype} for float64 candidates; keep to their type"
    )
    assert bool(values.isfinite().all()), f"{title} is not finite around its starts: {values}"
    assert torch.equal(values, energy.value(context, at)), (
        f"{title} returned other energies for the same candidates; it must be a pure function"
    )
    assert same(kept, contents(context)), f"{title} changes the context that it was given"
    assert same(before, contents((problem, at, energy.state_dict()))), (
        f"{title} changes the problem, the candidates or its own state; it must be a pure function"
    )
    return values.detach()


def _check_residuals(
    energy: Landscape, problem: Problem, at: Iterate, values: Tensor, title: str
) -> None:
    """Check the residuals of an energy that offers some: their squares change as it does."""
    context = energy.encode(problem)
    if energy.misfits(context, at) is None:
        return
    generator = seeded_generator(2)
    moved = at.map(lambda leaf: leaf + uniform(leaf.shape, generator).double() / 2)
    elsewhere = project(problem.answer, moved)
    here, there = (linearized(energy, context, each) for each in (at, elsewhere))
    _assert_close(
        there.square(there.residuals) - here.square(here.residuals),
        energy.value(context, elsewhere).detach() - values,
        f"{title} has residuals whose squares do not add up to its energy",
        rtol=1e-9,
        atol=1e-12 * max(1.0, float(values.abs().max())),
    )


def _check_apart(
    energy: Landscape, problem: Problem, at: Iterate, values: Tensor, title: str
) -> None:
    layout = problem.layout
    some = indices(layout, 1, layout.count - 1)
    fewer, at_some = trees.select((problem, at), layout, some)
    scale = max(1.0, float(values.abs().max()))
    contexts = {
        "alone": energy.encode(fewer),
        "once others were dropped from its context": trees.select(
            energy.encode(problem), layout, some
        ),
    }
    for when, context in contexts.items():
        _assert_close(
            energy.value(context, at_some),
            values[some],
            f"{title} has other energies for problems {when}; compute each from its own entries, "
            "by a context whose tensors lead with problems or answer rows",
            rtol=1e-9,
            atol=1e-9 * scale,
        )


def _check_slope(
    energy: Landscape, problem: Problem, at: Iterate, values: Tensor, title: str
) -> None:
    context = energy.encode(problem)
    slope = differentiate(energy, context, at).slope
    assert bool(slope.finite().all()), f"{title} has a gradient that is not finite near its starts"
    assert bool((slope.norm() > 0).any()), (
        f"{title} is flat: its gradient is 0 at all candidates, so there is nothing to descend"
    )
    generator = seeded_generator(1)
    along = at.map(lambda leaf: torch.randn(leaf.shape, generator=generator).to(leaf))
    along = along * (1 / along.norm())
    with torch.no_grad():
        above, below = (energy.value(context, at + sign * along) for sign in (_STEP, -_STEP))
    _assert_close(
        slope.dot(along),
        (above - below) / (2 * _STEP),
        f"{title} has another gradient than its values show; compute the energy from y by "
        "differentiable operations, without detaching",
        rtol=1e-3,
        atol=1e-6 * max(1.0, float(values.abs().max())),
    )


def _check_training(energy: Landscape, problem: Problem, at: Iterate, title: str) -> None:
    weights = [each for each in energy.parameters() if each.requires_grad]
    if not weights:
        return
    slope = differentiate(energy, energy.encode(problem), at, create_graph=True).slope
    squared = slope.dot(slope).sum()
    reached: tuple[Tensor | None, ...] = ()
    if squared.requires_grad:
        reached = torch.autograd.grad(squared, weights, allow_unused=True)
    found = [each for each in reached if each is not None]
    assert any(bool((each != 0).any()) for each in found), (
        f"{title} has weights, and its gradient in y does not depend on any of them, so training "
        "through descent cannot change them"
    )
    assert all(bool(each.isfinite().all()) for each in found), (
        f"{title} has second derivatives that are not finite"
    )


def _check_rebuilt(
    energy: Landscape, problem: Problem, at: Iterate, values: Tensor, title: str
) -> None:
    with seeded(_OTHER_SEED):
        rebuilt: Any = type(energy)(**settings_of(energy))
    rebuilt.load_state_dict(energy.state_dict())
    rebuilt.double().train(energy.training)
    again = rebuilt.value(rebuilt.encode(problem), at)
    assert torch.equal(again, values), (
        f"{title} rebuilt from its settings and weights has other energies, so a checkpoint of it "
        "would not be the same solver; make everything that it needs an argument or a buffer"
    )


def _assert_close(
    actual: Tensor, expected: Tensor, broken: str, *, rtol: float, atol: float
) -> None:
    torch.testing.assert_close(
        actual.detach(),
        expected.detach(),
        rtol=rtol,
        atol=atol,
        msg=lambda difference: f"{broken}. {difference}",
    )
