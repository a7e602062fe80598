"""Baselines that answer step by step: what they show, keep and draw."""

import pytest
import torch

from hand_gine import complete
from irem_baselines import IterativeFeedforward, Ponder, Recurrent
from irem_baselines.iterated import Iterated, Output
from irem_core import (
    EdgeSpace,
    Iterate,
    Outcome,
    Problem,
    SettingError,
    ShapeError,
    VectorSpace,
    evaluate,
    fit,
)
from irem_tasks import Add, Negate
from irem_tasks.graphs import EdgeCopy

THREE, EDGES = VectorSpace(3), EdgeSpace()
KINDS = [Recurrent, Ponder, IterativeFeedforward]
X = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))


def small(kind, space=THREE, **settings):
    torch.manual_seed(0)
    return kind(space, space, width=6, **settings)


def shown(solver, x, **settings):
    """Return the steps that an observer sees, their answers, and the solution."""
    seen = []

    def observe(step, problems, evaluation):
        assert problems.tolist() == list(range(evaluation.iterate.layout.count))
        assert evaluation.energy.isnan().all()
        seen.append((step, evaluation.iterate.y))

    solution = solver.solve(x, observer=observe, **settings)
    return [step for step, _ in seen], [y for _, y in seen], solution


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("edges", [False, True])
def test_more_steps_give_more_outputs_and_leave_earlier_ones(kind, edges):
    solver = small(kind, EDGES if edges else THREE)
    x = complete([3, 2], dtype=torch.float32)[0] if edges else X
    steps, outputs, _ = shown(solver, x, max_steps=7)

    assert steps == list(range(solver.first, 8))
    for most in (1, 3, 7):
        solution = solver.solve(x, max_steps=most)
        assert torch.equal(solution.last, outputs[steps.index(most)])
        assert solution.evaluations.tolist() == [most] * len(solution.steps)
        assert solution.check() is solution
        assert solution.energy is None
        if kind is not Ponder:
            assert torch.equal(solution.y, solution.last)
            assert solution.steps.tolist() == [most] * len(solution.steps)
    assert not torch.equal(outputs[0], outputs[1])


def test_no_steps_are_the_start_where_there_is_one():
    start = torch.ones(5, 3)

    for given in (start, Iterate(start, Problem(X).layout)):
        steps, _, solution = shown(small(IterativeFeedforward), X, max_steps=0, start=given)
        assert steps == [0]
        assert torch.equal(solution.y, start)
        assert solution.steps.tolist() == solution.evaluations.tolist() == [0] * 5
    for kind in (Recurrent, Ponder):
        assert shown(small(kind), X, max_steps=0)[0] == [1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", [Add(size=2), EdgeCopy()])
def test_evaluation_scores_every_output(kind, task):
    solver = kind.for_task(task, width=6)
    scores = evaluate(solver, task, problems=20, max_steps=6)

    assert list(scores.mse_by_step) == list(range(solver.first, 7))
    assert scores.mse_by_step[6] == pytest.approx(scores.mse_last)
    assert scores.outcomes == {Outcome.ANSWERED.name: 20}
    assert scores.energies is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_generator_decides_and_the_global_state_does_not(kind):
    solver = small(kind)
    found = [
        solver.solve(X, max_steps=3, generator=torch.Generator().manual_seed(seed)).last
        for seed in (0, 0, 1)
    ]

    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], solver.solve(X, max_steps=3).last)
    assert torch.equal(found[0], found[2]) == (kind is Recurrent)


def test_outputs_are_kept_where_asked_for():
    solver = small(Recurrent)
    _, outputs, solution = shown(solver, X, max_steps=4, record=["y"])

    mine = solution.trace.of(2)
    assert mine.step.tolist() == [1, 2, 3, 4]
    assert torch.equal(mine.y, torch.stack([y[2] for y in outputs]))
    for x, record in ((X, "energy"), (complete([2], dtype=torch.float32)[0], "y")):
        with pytest.raises(SettingError, match=r"record=.*; expected 'y', and dense answers"):
            small(Recurrent, THREE if x is X else EDGES).solve(x, record=record)


def test_what_a_solve_cannot_take_is_refused():
    solver = small(IterativeFeedforward)
    with pytest.raises(SettingError, match="max_steps=-1; expected a whole number"):
        solver.solve(X, max_steps=-1)
    with pytest.raises(ShapeError, match=r"start has shape \(4, 3\)"):
        solver.solve(X, start=torch.zeros(4, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_answers_and_what_is_shown_stay_within_bounds(kind):
    solver = kind(THREE, VectorSpace(9, low=0.0, high=0.1), width=6)
    _, outputs, solution = shown(solver, X, max_steps=3)

    for y in (*outputs, solution.y, solution.last):
        assert y.min() == 0
        assert 0 < y.max() <= torch.tensor(0.1)


class Growing(Iterated):
    """x, x^2, x^4, ... with a weight."""

    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def outputs(self, problem, start, generator):
        y = problem.x
        while True:
            weight = torch.full((problem.layout.count,), self.weight)
            yield Output(y, None if self.weight == 1 else weight)
            y = y.square()

    def loss(self, problem, target, generator):
        raise NotImplementedError


@pytest.mark.parametrize("weight", [1, 0.5])
def test_a_problem_that_overflows_keeps_its_last_finite_output(weight):
    x = torch.tensor([[1e10, 2.0], [1.0, 0.5]])
    _, outputs, solution = shown(Growing(weight), x, max_steps=4)

    large = torch.tensor([1e20, 4.0])
    assert all(torch.equal(y[0], large) for y in outputs[1:])
    assert torch.equal(solution.last, torch.stack([large, torch.tensor([1.0, 0.5**8])]))
    assert solution.outcome.tolist() == [Outcome.NONFINITE, Outcome.ANSWERED]
    if weight == 1:
        assert torch.equal(solution.y, solution.last)
        assert solution.steps.tolist() == [2, 4]
    else:
        torch.testing.assert_close(solution.y[0], (x[0] + large) / 2)


@pytest.mark.parametrize("kind", KINDS)
def test_learns_to_negate(kind):
    task = Negate(size=4)
    solver = kind.for_task(task, width=32)
    fit(solver, task, iterations=200, batch_size=32, learning_rate=5e-3, seed=0)
    scores = evaluate(solver, task, problems=200, max_steps=5)

    # A start of pure noise has an error of about 1 + 1/3.
    noisy = scores.mse_by_step.get(0)
    assert scores.mse < (task.floor().constant / 3 if noisy is None else noisy / 10)
