"""What `irem reproduce` measures on a trained solver, against closed forms and scipy."""

import itertools
from functools import partial

import pytest
import torch

from irem_baselines.reproduce import measures
from irem_core import IREM, EnergyFn, EnergyPlateau, GradientDescent, evaluate
from irem_tasks import Add


class Sum(EnergyFn):
    """A hundred times the squared distance to the sum: steps of 0.01 oscillate, smaller fall."""

    def energy(self, context, y):
        first, second = context.chunk(2, 1)
        return 100 * (y - first - second).square().sum(-1)


TASK = Add(size=5)


def solver(step_size):
    return IREM(Sum.for_task(TASK), descent=GradientDescent(step_size=step_size))


@pytest.mark.parametrize(
    ("energies", "expected"),
    [([3.0, 2, 1, 1], True), ([3.0, 1, 2], False), ([3.0, 1, 1 + 1e-5], True), ([1.0, 2], False)],
)
def test_energies_fall_but_for_rounding(energies, expected):
    assert measures.falls(torch.tensor(energies)) is expected


def test_the_largest_step_at_which_the_energy_never_rises_is_chosen(monkeypatch):
    monkeypatch.setattr(measures, "evaluate", partial(evaluate, problems=20))
    # E = 100 d²: a step s multiplies d by 1 - 200 s, so that the energy falls below s = 0.01.
    for size, expected in ((0.008, 0.008), (0.015, 0.0075), (0.03, 0.0075), (0.07, 0.00875)):
        found = measures.steps(solver(size), TASK, {})
        assert found["same"]["step_size"] == pytest.approx(expected)
        assert found["same"]["falls"]
    found = measures.steps(solver(0.2), TASK, {})
    assert found["same"]["step_size"] == pytest.approx(0.025)
    assert not found["same"]["falls"]


def test_halting_is_compared_with_the_best_step():
    at = {"mse_by_step": {"0": 1.0, "3": 0.25, "80": 0.5}}
    made = IREM(
        Sum.for_task(TASK),
        descent=GradientDescent(step_size=0.004),
        halting=EnergyPlateau(tolerance=1e-6),
    )
    found = measures.halting(made, TASK, {"same": at, "harder": at})["same"]
    assert (found["best_step"], found["best_step_mse"]) == (3, 0.25)
    assert found["steps_mean"] < 80
    assert found["mse"] < 1e-6
    # Here the energy is the error, in other units.
    assert found["auroc"] == pytest.approx(1)


def test_the_landscape_of_a_squared_distance_ranks_all_candidates():
    found = measures.landscape(solver(0.004), TASK, {})
    errors, energies = (torch.tensor(found[key]) for key in ("errors", "energies"))
    torch.testing.assert_close(energies, 100 * 5 * errors, rtol=1e-3, atol=1e-4)
    assert found["rank_correlation"] > 0.999
    assert (errors[:, 0] == 0).all()


def test_descents_spend_what_their_steps_cost():
    found = measures.descents(solver(0.004), TASK, {})
    assert found["gradient"]["evaluations_per_step"] == pytest.approx(1)
    assert found["backtracking"]["evaluations_per_step"] > 1
    for each in found.values():
        assert each["mse"] <= each["mse_by_step"]["0"]


def test_pictures_of_an_exact_solver_show_exact_sums():
    task = Add(size=9)
    made = IREM(Sum.for_task(task), descent=GradientDescent(step_size=0.004))
    nested = measures.nested(made, task, {})
    partial = list(itertools.accumulate(torch.tensor(nested["operands"])))
    predictions, exact = torch.tensor(nested["predictions"]), torch.stack(partial[1:])
    torch.testing.assert_close(predictions, exact, rtol=0, atol=1e-3)
    torch.testing.assert_close(torch.tensor(nested["sum"]), partial[-1])
    elements = torch.tensor(measures.elements(made, task, {})["squared_errors"])
    assert elements.shape == (9, 41)
    # d shrinks by 1 - 200 * 0.004 = 0.2 a step.
    torch.testing.assert_close(elements[:, 1], 0.04 * elements[:, 0], rtol=1e-3, atol=1e-7)
    drawn = measures.contours(made, task, {})
    grid = torch.tensor(drawn["energies"])
    second, first = (torch.tensor(drawn[key]) for key in ("second", "first"))
    at = torch.tensor(drawn["solution"])
    expected = 100 * ((second[:, None] - at[1]) ** 2 + (first - at[0]) ** 2)
    torch.testing.assert_close(grid, expected, rtol=1e-3, atol=1e-3)
