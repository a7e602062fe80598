"""Streams of problems: answers, order, memory and work of a batch that is refilled."""

import pytest
import torch

from irem_core import (
    BarzilaiBorwein,
    EnergyFn,
    EnergyPlateau,
    FactorEnergy,
    GINEEnergy,
    GradientDescent,
    MLPEnergy,
    Nesterov,
    Outcome,
    PairwiseEnergy,
    Problem,
    ScratchpadMLPEnergy,
    SettingError,
    ShapeError,
    VectorSpace,
    load_task,
    minimize,
    minimize_many,
    recipe,
)
from irem_core.solving.streaming import starts_of
from irem_core.testing.support import double
from irem_tasks.graphs import ShortestPath
from irem_tasks.puzzles.assignment import Assignment
from irem_tasks.vectors import Add

HALTING = EnergyPlateau(tolerance=1e-4, patience=2)


class Bowls(EnergyFn):
    """Bowls of a curvature of their own, x[:, -1]: the flat ones take long. Counts what it sees."""

    def __init__(self):
        super().__init__()
        self.answer = VectorSpace(2)
        self.rows, self.evaluated = [], 0

    def energy(self, context, y):
        self.rows.append(len(y))
        self.evaluated += len(y)
        return context[:, -1] / 2 * (y - context[:, :-1]).square().sum(-1)


def bowls(*sizes, seed=0):
    """Return batches of bowls, a tenth of which are flat."""
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for size in sizes:
        x = torch.rand((size, 3), generator=generator, dtype=torch.float64)
        x[:, -1] = torch.where(x[:, -1] < 0.1, 0.06, 0.7)
        batches.append(x)
    return batches


def one_by_one(energy, batches, seed=0, **options):
    """Solve every batch alone, from the starts that it has in a stream."""
    return [
        minimize(energy, each, generator=starts_of(number, seed, torch.device("cpu")), **options)
        for number, each in enumerate(batches)
    ]


def assert_same(found, expected, atol=1e-9, searches=False):
    assert len(found) == len(expected)
    # A batch searches along lines together, so that its problems share what that takes.
    counts = ("steps", "outcome") if searches else ("steps", "outcome", "evaluations")
    for one, other in zip(found, expected, strict=True):
        for name in counts:
            assert torch.equal(getattr(one, name), getattr(other, name)), name
        for name in ("y", "last", "energy"):
            torch.testing.assert_close(
                getattr(one, name), getattr(other, name), rtol=atol, atol=atol, equal_nan=True
            )
        assert one.layout.count == other.layout.count


@pytest.mark.parametrize(
    ("capacity", "descent"),
    [
        (1, GradientDescent(step_size=1.0)),
        (7, BarzilaiBorwein()),
        (16, Nesterov(step_size=0.5)),
        (1000, GradientDescent(step_size=1.0)),
    ],
)
def test_answers_are_those_of_each_batch_alone_and_in_order(capacity, descent):
    batches = bowls(5, 1, 12, 3, 8, 20, 2)
    options = {"descent": descent, "halting": HALTING, "max_steps": 60}
    found = list(minimize_many(Bowls(), iter(batches), capacity=capacity, seed=4, **options))
    expected = one_by_one(Bowls(), batches, seed=4, **options)
    searches = descent == BarzilaiBorwein()
    assert_same(found, expected, searches=searches)
    if not searches:
        outcomes = set(torch.cat([each.outcome for each in found]).tolist())
        assert outcomes == {int(Outcome.CONVERGED), int(Outcome.BUDGET_SPENT)}


def test_the_batch_is_refilled_and_never_larger_than_its_capacity():
    batches = bowls(*[10] * 40)
    options = {"descent": GradientDescent(step_size=1.0), "halting": HALTING, "max_steps": 500}
    energy = Bowls()
    found = list(minimize_many(energy, batches, capacity=40, **options))
    assert max(energy.rows) <= 40
    steps = torch.cat([each.steps for each in found])
    # Nearly all that is evaluated is of problems that are still descended.
    needed = int((steps + 1).sum())
    assert energy.evaluated <= 1.15 * needed
    # Batches of the same size that wait for their slowest are descended by themselves for long.
    waiting = Bowls()
    for each in torch.cat(batches).split(40):
        minimize(waiting, each, **options)
    assert len(energy.rows) < 0.7 * len(waiting.rows)


def test_batches_are_drawn_only_as_there_is_room_and_returned_as_they_are_done():
    batches, drawn = bowls(*[10] * 100), []
    for each in batches:
        each[:, -1] = 0.7
    # One problem of the first batch outlasts all others, which must not pile up behind it.
    batches[0][3, -1] = 0.01

    def source():
        for number, each in enumerate(batches):
            drawn.append(number)
            yield each

    options = {"descent": GradientDescent(step_size=1.0), "halting": HALTING, "max_steps": 400}
    stream = minimize_many(Bowls(), source(), capacity=40, **options)
    assert drawn == []
    first = next(stream)
    assert first.steps[3] > 10 * first.steps[0]
    # What waits is at most eight times the capacity, and a batch that may have been drawn.
    assert 20 <= len(drawn) <= 8 * 40 / 10 + 1
    assert sum(1 for _ in stream) == 99


ENERGIES = {
    "mlp": lambda: (Add(size=4), MLPEnergy.for_task(Add(size=4), width=8)),
    "scratchpad": lambda: (Add(size=4), ScratchpadMLPEnergy.for_task(Add(size=4), width=8)),
    "gine": lambda: (ShortestPath(), GINEEnergy.for_task(ShortestPath(), width=8)),
    "pairwise": lambda: (ShortestPath(), PairwiseEnergy.for_task(ShortestPath(), width=8)),
    "sparse": lambda: sparse(),
    "factor": lambda: (Assignment(), FactorEnergy.for_task(Assignment(), width=6)),
}


def sparse():
    task = load_task("sparse-shortest-path", every=True)
    return task, recipe(task, energy="sparse_pairwise(width=6)").solver.energy


@pytest.mark.parametrize("name", ENERGIES)
def test_energies_of_every_kind_are_descended_in_a_stream(name):
    task, energy = ENERGIES[name]()
    energy = energy.double()
    generator = torch.Generator().manual_seed(1)
    difficulties = ["same", "harder"] if name == "mlp" else ["nodes=3..6", "nodes=8"]
    if name == "scratchpad":
        difficulties = ["same"]
    if name == "factor":
        difficulties = ["size=3..5", "size=6"]
    batches = []
    for count in (3, 5, 2):
        for difficulty in difficulties:
            problem, _ = task.sample(count, difficulty, generator=generator)
            batches.append(double(problem))
    options = {"descent": GradientDescent(step_size=0.05), "halting": HALTING, "max_steps": 12}
    found = list(minimize_many(energy, batches, capacity=8, **options))
    assert_same(found, one_by_one(energy, batches, **options), atol=1e-7)


def test_batches_of_other_sizes_are_descended_by_themselves():
    task = load_task("sort", values=4)
    energy = recipe(task).solver.energy.double()
    generator = torch.Generator().manual_seed(0)
    batches = []
    for values in (4, 4, 6, 3, 3, 4):
        problem, _ = task.sample(3, f"values={values}", generator=generator)
        batches.append(Problem(problem.x.double(), problem.answer))
    options = {"descent": GradientDescent(step_size=0.5), "halting": HALTING, "max_steps": 15}
    found = list(minimize_many(energy, batches, capacity=8, **options))
    assert [each.y.shape[1] for each in found] == [4, 4, 6, 3, 3, 4]
    assert_same(found, one_by_one(energy, batches, **options), atol=1e-7)


def test_a_problem_that_fails_does_not_stop_the_others():
    batches = bowls(4, 4, 4)
    batches[1][2, -1] = -1e160  # descends without end, and beyond what floats hold
    options = {"descent": GradientDescent(step_size=1.0), "halting": HALTING, "max_steps": 50}
    found = list(minimize_many(Bowls(), batches, capacity=6, **options))
    assert found[1].outcome[2] == Outcome.NONFINITE
    assert_same(found, one_by_one(Bowls(), batches, **options))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_in_any_mode_and_leaves_the_callers_as_it_was(mode):
    batches = bowls(3, 3)
    options = {"descent": GradientDescent(step_size=1.0), "halting": HALTING}
    with mode():
        found = []
        for each in minimize_many(Bowls(), batches, **options):
            assert not torch.is_grad_enabled()
            assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
            found.append(each)
    assert_same(found, one_by_one(Bowls(), batches, **options))


def test_no_steps_and_no_problems():
    options = {"descent": GradientDescent(step_size=1.0)}
    (found,) = minimize_many(Bowls(), bowls(3), max_steps=0, **options)
    assert found.steps.tolist() == [0, 0, 0]
    assert (found.outcome == Outcome.BUDGET_SPENT).all()
    assert list(minimize_many(Bowls(), [], **options)) == []


def test_mistakes_are_explained():
    options = {"descent": GradientDescent(step_size=1.0)}
    with pytest.raises(SettingError, match="minimize_many got capacity=0"):
        minimize_many(Bowls(), [], capacity=0, **options)
    with pytest.raises(SettingError, match="minimize_many got max_steps=-1"):
        minimize_many(Bowls(), [], max_steps=-1, **options)
    with pytest.raises(ShapeError):
        list(minimize_many(Bowls(), [torch.zeros(())], **options))


@pytest.mark.parametrize("name", ["irem", "feedforward", "ponder(width=8)", "classical"])
def test_every_solver_answers_a_stream(name):
    task = Add(size=4)
    solver = recipe(task, name).solver
    generator = torch.Generator().manual_seed(0)
    batches = [task.sample(count, generator=generator)[0].x for count in (3, 2)]
    found = list(solver.solve_many(batches, max_steps=5, seed=2))
    for number, (x, each) in enumerate(zip(batches, found, strict=True)):
        expected = solver.solve(x, max_steps=5, generator=starts_of(number, 2, torch.device("cpu")))
        torch.testing.assert_close(each.y, expected.y)
