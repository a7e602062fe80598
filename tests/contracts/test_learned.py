"""What every energy, task and solver keeps to."""

import math

import pytest
import torch

from irem_baselines import Feedforward
from irem_core import (
    IREM,
    GradientDescent,
    Layout,
    MLPEnergy,
    Outcome,
    ScratchpadMLPEnergy,
    differentiate,
    settings_of,
)
from irem_tasks import Add, Negate


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def check_energy(kind, task, **settings):
    """One energy a problem, independent of the others; pure; smooth; rebuilt by its settings."""
    energy = kind.for_task(task, **settings)
    rebuilt = kind(**settings_of(energy))
    rebuilt.load_state_dict(energy.state_dict())
    energy, rebuilt = energy.double(), rebuilt.double()
    problem, _ = task.sample(6, generator=generator())
    problem = type(problem)(problem.x.double(), problem.answer)
    start = energy.start(problem, generator())
    context = energy.encode(problem)
    kept = start.clone()
    values = energy.value(context, start)

    assert values.shape == (6,)
    assert torch.equal(values, energy.value(context, start))
    assert torch.equal(start.y, kept.y)
    assert torch.equal(values, rebuilt.value(rebuilt.encode(problem), start))
    assert start.y.dtype == torch.float64

    slope = differentiate(energy, context, start).slope
    flat = start.map(lambda leaf: leaf + 1e-5)
    rise = energy.value(context, flat) - values
    ones = start.map(torch.ones_like)
    torch.testing.assert_close(rise.detach() / 1e-5, slope.dot(ones), rtol=1e-2, atol=1e-6)

    alone = type(problem)(problem.x[2:3], problem.answer)
    one = type(start)(start.y[2:3], Layout(1), None if start.z is None else start.z[2:3])
    value = energy.value(energy.encode(alone), one)
    torch.testing.assert_close(value[0], values[2], rtol=0, atol=1e-12)


def check_task(task):
    """Every named difficulty gives finite problems in the task's spaces, by the generator alone."""
    assert {"train", "same"} <= set(task.difficulties)
    rebuilt = type(task)(**settings_of(task))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    for difficulty in task.difficulties:
        problem, y = task.sample(7, difficulty, generator=generator(3))
        again, y_again = rebuilt.sample(7, difficulty, generator=generator(3))
        other, _ = task.sample(7, difficulty, generator=generator(4))

        assert problem.layout.count == 7
        task.question.check("x", problem.x)
        task.answer.check("y", y, problem.layout.rows)
        assert torch.equal(problem.x, again.x)
        assert torch.equal(y, y_again)
        assert not torch.equal(problem.x, other.x)
        torch.testing.assert_close(task.oracle(problem), y)
        floor = task.floor(difficulty)
        assert 0 <= floor.constant < math.inf
        assert floor.entrywise is None or floor.entrywise <= floor.constant + 1e-6
    assert torch.equal(torch.get_rng_state(), state)
    assert {figure.difficulty for figure in task.published} <= set(task.difficulties)


def check_solver(solver, task):
    """Its loss reaches its weights; solving is repeatable, and each problem is apart."""
    problem, target = task.sample(6, generator=generator())
    loss = solver(problem, target, generator())
    loss.backward()
    assert loss.shape == ()
    assert loss.isfinite()
    slopes = [weight.grad for weight in solver.parameters() if weight.grad is not None]
    assert slopes
    assert all(bool(slope.isfinite().all()) for slope in slopes)
    solver.zero_grad()

    torch.manual_seed(0)
    state = torch.get_rng_state()
    solution, again = (solver.solve(problem, max_steps=5) for _ in range(2))
    bare = solver.solve(problem.x, max_steps=5)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(solution.y, again.y)
    assert torch.equal(solution.y, bare.y)
    assert not solution.y.requires_grad
    task.answer.check("y", solution.y, problem.layout.rows)
    for name in ("steps", "evaluations", "outcome"):
        assert getattr(solution, name).shape == (6,)
        assert getattr(solution, name).dtype == torch.int64
    assert (solution.steps <= 5).all()
    assert (solution.outcome != Outcome.RUNNING).all()
    assert (solution.energy is None) == bool((solution.outcome == Outcome.ANSWERED).all())

    seen = []
    start = torch.zeros_like(target)
    whole = solver.solve(
        problem, max_steps=3, start=start, observer=lambda *shown: seen.append(shown)
    )
    alone = solver.solve(problem.x[4:5], max_steps=3, start=start[4:5])
    if whole.z is None:  # a scratchpad starts at random
        torch.testing.assert_close(alone.y[0], whole.y[4], rtol=1e-4, atol=1e-5)
    assert [step for step, *_ in seen] == sorted(step for step, *_ in seen)

    state = solver.training_state()
    solver.restore_training_state({name: tensor.clone() for name, tensor in state.items()})
    restored = solver.training_state()
    assert state.keys() == restored.keys()
    assert all(torch.equal(state[name], restored[name]) for name in state)
    for preset in type(solver).presets.values():
        assert preset(task.answer).source


TASKS = [Add(size=3), Negate(size=5), Add(size=1)]
ENERGIES = [
    (MLPEnergy, {"width": 6, "depth": 1}),
    (MLPEnergy, {"width": 6, "depth": 3}),
    (ScratchpadMLPEnergy, {"scratchpad": 2, "width": 6, "depth": 2}),
]


@pytest.mark.parametrize(("kind", "settings"), ENERGIES)
@pytest.mark.parametrize("task", TASKS[:2], ids=lambda task: type(task).__name__)
def test_energies(kind, settings, task):
    check_energy(kind, task, **settings)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_tasks(task):
    check_task(task)


def irem(kind, **settings):
    energy = kind.for_task(TASKS[0], width=8, depth=2)
    return IREM(energy, steps=2, descent=GradientDescent(step_size=1.0), **settings)


SOLVERS = {
    "irem": lambda: irem(MLPEnergy, replay=20),
    "irem-without-replay": lambda: irem(MLPEnergy, replay=0),
    "irem-every": lambda: irem(MLPEnergy, supervise="every"),
    "irem-scratchpad": lambda: irem(ScratchpadMLPEnergy),
    "feedforward": lambda: Feedforward.for_task(TASKS[0], width=8, depth=1),
}


@pytest.mark.parametrize("name", SOLVERS)
def test_solvers(name):
    check_solver(SOLVERS[name](), TASKS[0])
