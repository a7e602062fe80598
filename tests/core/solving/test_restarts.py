"""Restarts: the lowest of several minima, found from several starts."""

import pytest
import torch

from irem_core import (
    BarzilaiBorwein,
    EnergyError,
    EnergyFn,
    EnergyPlateau,
    FixedSteps,
    GINEEnergy,
    GradientDescent,
    Outcome,
    Problem,
    SettingError,
    Solution,
    VectorSpace,
    minimize,
)
from irem_tasks.graphs import ShortestPath


class Waves(EnergyFn):
    """E = 1 - cos(8 y) + (y - x)^2: several minima in (-1, 1), the lowest near x."""

    answer = VectorSpace(1)

    def energy(self, context, y):
        return (1 - (8 * y).cos() + (y - context).square()).sum(1)


def questions(count):
    generator = torch.Generator().manual_seed(3)
    return torch.rand(count, 1, generator=generator, dtype=torch.float64) * 2 - 1


def solve(x, **options):
    return minimize(
        Waves(),
        x,
        descent=GradientDescent(step_size=0.01),
        halting=EnergyPlateau(tolerance=1e-12),
        generator=torch.Generator().manual_seed(0),
        **options,
    )


def test_restarts_find_the_lowest_minimum():
    x = questions(200)
    grid = torch.linspace(-1.5, 1.5, 30_001, dtype=torch.float64)
    energies = 1 - (8 * grid).cos() + (grid - x).square()
    lowest, where = energies.min(1)
    once, often = solve(x), solve(x, restarts=20)
    assert int((once.energy < lowest + 1e-6).sum()) < 150
    assert bool((often.energy < lowest + 1e-6).all())
    torch.testing.assert_close(often.y[:, 0], grid[where], rtol=0, atol=2e-4)


def test_the_answer_is_the_best_of_descents_one_by_one():
    """Starts are drawn in turn; what is not the energy's count is of the descent that won."""
    x = questions(50)
    generator = torch.Generator().manual_seed(0)
    alone = []
    for _ in range(4):
        start = Waves().start(Waves().problem(x), generator)
        alone.append(solve(x, start=start))
    together = solve(x, restarts=3)
    energies = torch.stack([each.energy for each in alone])
    best = energies.argmin(0)
    assert len(best.unique()) > 1
    rows = torch.arange(50)
    assert torch.equal(together.energy, energies[best, rows])
    for name in ("y", "last", "steps", "outcome"):
        values = torch.stack([getattr(each, name) for each in alone])
        assert torch.equal(getattr(together, name), values[best, rows]), name
    assert torch.equal(together.evaluations, sum(each.evaluations for each in alone))


def test_a_given_start_is_where_the_first_descent_begins():
    x = questions(20)
    given = solve(x, start=x.clone(), restarts=5)
    assert bool((given.energy <= solve(x, start=x.clone()).energy).all())
    assert torch.equal(solve(x, start=x.clone(), restarts=0).y, solve(x, start=x.clone()).y)


def test_graphs_are_answered_by_whole_descents():
    task = ShortestPath()
    energy = GINEEnergy.for_task(task, width=8, seed=0)
    problem, _ = task.sample(6, "train", generator=torch.Generator().manual_seed(0))
    options = {"descent": BarzilaiBorwein(), "halting": FixedSteps(steps=5), "max_steps": 5}
    often = minimize(energy, problem, restarts=3, **options)
    with torch.no_grad():
        again = energy(problem, often.y)
    torch.testing.assert_close(often.energy, again, rtol=1e-5, atol=1e-5)
    once = minimize(energy, problem, **options)
    assert bool((often.energy <= once.energy).all())
    assert bool((often.energy < once.energy).any())


def test_a_descent_that_leaves_the_finite_numbers_gives_way_to_one_that_does_not():
    class Cliff(EnergyFn):
        """E = y^2, and infinite for y below 0."""

        answer = VectorSpace(1)

        def energy(self, context, y):
            return torch.where(y < 0, torch.inf, y.square()).sum(1)

    x = torch.zeros(40, 1, dtype=torch.float64)
    options = {"descent": GradientDescent(step_size=0.1), "max_steps": 300}
    once, often = (minimize(Cliff(), x, restarts=n, **options) for n in (0, 12))
    assert int((once.outcome == Outcome.NONFINITE).sum()) > 10
    assert bool((often.outcome == Outcome.CONVERGED).all())
    assert bool(often.energy.isfinite().all())


def test_what_is_recorded_is_the_first_descent():
    x, seen = questions(5), []
    recorded = solve(x, restarts=3, record=["energy"], observer=lambda *step: seen.append(step))
    alone = solve(x, record=["energy"])
    assert torch.equal(recorded.trace.energy, alone.trace.energy)
    assert [step for step, *_ in seen] == list(range(int(alone.steps.max()) + 1))


@pytest.mark.parametrize("restarts", [-1, 1.5, True])
def test_restarts_are_counted(restarts):
    with pytest.raises(SettingError, match="restarts="):
        solve(questions(2), restarts=restarts)


def test_solutions_without_energies_are_not_compared():
    answered = Solution.answered(torch.zeros(2, 1), Problem(torch.zeros(2, 1)).layout)
    with pytest.raises(EnergyError, match="without energies"):
        answered.or_better(answered)
