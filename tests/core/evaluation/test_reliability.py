"""Expected errors against real ones, of energies whose expected errors are known."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor

from irem_baselines import Feedforward
from irem_core import (
    IREM,
    Calibrated,
    DescentError,
    EnergyFn,
    EnsembleEnergy,
    GradientDescent,
    Outcome,
    Problem,
    Reliability,
    SettingError,
    Solution,
    Solver,
    Standardized,
    Task,
    Trust,
    VectorSpace,
    WeightedObjectives,
    evaluate,
)

SIZE = 16


class Noisy(Task):
    """The answer is -x but for noise whose spread is the first entry of x."""

    difficulties: ClassVar = {"train": {}, "same": {}}

    def __init__(self) -> None:
        self.question = self.answer = VectorSpace(SIZE)

    def draw(
        self, count: int, generator: torch.Generator, device: torch.device
    ) -> tuple[Problem, Tensor]:
        x = torch.rand(count, SIZE, generator=generator)
        noise = torch.randn(count, SIZE, generator=generator)
        return Problem(x, self.answer), x[:, :1] * noise - x


class Knowing(EnergyFn):
    """E = |y + x|^2 / 2 + n v / 2 for noise of variance v, which is what an answer is wrong by."""

    def __init__(self, *, calibrated: bool = True) -> None:
        super().__init__()
        self.answer, self.calibrated = VectorSpace(SIZE), calibrated

    def energy(self, context: Tensor, y: Tensor) -> Tensor:
        return ((y + context).square().sum(1) + SIZE * context[:, 0].square()) / 2


def knowing(*, calibrated: bool = True) -> IREM:
    return IREM(Knowing(calibrated=calibrated), descent=GradientDescent(step_size=1.0))


@pytest.fixture(scope="module")
def scores() -> Any:
    return evaluate(knowing(), Noisy(), problems=2000, trust=0.25)


def test_real_errors_are_those_expected_in_every_bin(scores: Any) -> None:
    bins = scores.reliability.bins()
    assert [each.problems for each in bins] == [200] * 10
    # A bin has 3,200 squares of normal errors: 2.5 % is their standard deviation.
    assert [each.ratio for each in bins] == pytest.approx([1.0] * 10, rel=0.12)
    # The spread is uniform on (0, 1), so the variance at its middle decile is known.
    assert bins[4].expected == pytest.approx(0.45**2, rel=0.1)
    assert scores.reliability.relative is False
    assert scores.reliability.real.equal(scores.errors)


def test_bins_are_those_of_numpy() -> None:
    draw = np.random.default_rng(0)
    expected, real = draw.exponential(size=(2, 47))
    expected[3] = np.inf
    known = np.delete(np.arange(47), 3)
    order = known[np.argsort(expected[known])]
    bins = Reliability(expected=torch.from_numpy(expected), real=torch.from_numpy(real)).bins(5)
    for each, rows in zip(bins, np.array_split(order, 5), strict=True):
        assert each.problems == len(rows)
        assert each.expected == pytest.approx(expected[rows].mean())
        assert each.real == pytest.approx(real[rows].mean())
        assert each.ratio == pytest.approx(real[rows].mean() / expected[rows].mean())


@pytest.mark.parametrize("count", [0, 1, 3])
def test_few_problems_make_few_bins(count: int) -> None:
    same = torch.zeros(count)
    bins = Reliability(expected=same, real=same).bins()
    assert [(each.problems, each.ratio) for each in bins] == [(1, None)] * count


def test_trusted_answers_are_those_expected_to_be_good(scores: Any) -> None:
    trust = scores.trust
    assert trust.trusted.equal(scores.reliability.expected <= 0.25)
    # Spreads up to a half.
    assert trust.share == pytest.approx(0.5, abs=0.04)
    assert trust.error_trusted == pytest.approx(1 / 12, rel=0.1)
    assert trust.error_others == pytest.approx((1 / 3 - 1 / 24) * 2, rel=0.1)
    assert set(scores.to_dict()["trust"]) == {"error", "share", "error_trusted", "error_others"}
    nothing = Trust(error=1.0, trusted=torch.ones(3, dtype=torch.bool), real=torch.ones(3))
    assert (nothing.error_trusted, nothing.error_others) == (1.0, None)


def test_all_else_is_as_without_expected_errors(scores: Any) -> None:
    plain = evaluate(knowing(calibrated=False), Noisy(), problems=2000).to_dict()
    told = scores.to_dict()
    assert told.keys() - plain.keys() == {"reliability", "trust"}
    assert {name: told[name] for name in plain} == plain
    assert plain["worst_tenth_auroc"] > 0.8


def solved(solver: Solver) -> tuple[Tensor, Solution]:
    x = torch.rand(40, SIZE, generator=torch.Generator().manual_seed(3))
    return x, solver.solve(x)


def test_an_energy_says_which_answers_to_trust() -> None:
    solver = knowing()
    x, solution = solved(solver)
    assert torch.allclose(solver.expected_error(solution), x[:, 0].square(), rtol=1e-3, atol=1e-6)
    assert solver.trust(solution, error=0.3**2).equal(x[:, 0] <= 0.3)


def test_what_is_not_finite_is_never_trusted_and_what_was_checked_as_it_came_out() -> None:
    solver = knowing()
    _, solution = solved(solver)
    outcome, energy = solution.outcome.clone(), solution.energy.clone()
    outcome[0], outcome[1], energy[2] = Outcome.NONFINITE, Outcome.BUDGET_SPENT, torch.nan
    ends = attrs.evolve(solution, outcome=outcome, energy=energy)
    assert solver.trust(ends, error=9.0).tolist() == [False, True, False] + [True] * 37
    holds = torch.arange(40) < 5
    wanted = [False] + [True] * 4 + [False] * 35
    for each in (solver, knowing(calibrated=False)):
        assert each.trust(attrs.evolve(ends, verified=holds), error=1e-9).tolist() == wanted


@pytest.mark.parametrize("error", [0, -1, float("nan"), float("inf"), "much"])
def test_an_error_to_put_up_with_is_above_0(error: Any) -> None:
    solver = knowing()
    with pytest.raises(SettingError, match=r"trust got error=.*above 0"):
        solver.trust(solved(solver)[1], error=error)


@pytest.mark.parametrize(
    "solver",
    [
        knowing(calibrated=False),
        IREM.for_task(Noisy(), energy=EnsembleEnergy.for_task(Noisy(), width=8, members=2)),
        Feedforward.for_task(Noisy(), width=8, depth=1),
        Standardized(
            Feedforward.for_task(Noisy(), width=8, depth=1),
            question=VectorSpace(SIZE),
            answer=VectorSpace(SIZE),
        ),
    ],
    ids=["descent", "ensemble", "one shot", "pairs"],
)
def test_solvers_whose_energies_say_nothing_of_errors_refuse(solver: Solver) -> None:
    assert not solver.calibrated
    with pytest.raises(SettingError, match=r"(IREM|Feedforward) does not say how wrong"):
        solver.trust(solved(solver)[1], error=0.1)
    with pytest.raises(SettingError, match="does not say how wrong"):
        evaluate(solver, Noisy(), problems=3, trust=0.1)


@pytest.mark.parametrize(
    ("objective", "calibrated"),
    [
        (DescentError(), False),
        (Calibrated(), True),
        (DescentError() + 0.1 * Calibrated(), True),
        (DescentError() + 0.0 * Calibrated(), False),
        (WeightedObjectives(objectives=(DescentError() + Calibrated(), DescentError())), True),
    ],
)
def test_training_by_calibrated_makes_energies_mean_errors(
    objective: Any, calibrated: bool
) -> None:
    solver = IREM(Knowing(calibrated=False), objective=objective)
    assert objective.calibrates == calibrated == solver.calibrated


def test_an_ensemble_means_errors_once_it_was_calibrated() -> None:
    energy = EnsembleEnergy.for_task(Noisy(), width=8, members=2)
    problem, y = Noisy().sample(30, "same", generator=torch.Generator().manual_seed(0))
    energy.calibrate(problem, y)
    assert IREM(energy).calibrated


@pytest.mark.parametrize(
    ("scale", "relative", "factor"),
    [([5.0] * SIZE, False, 25.0), ([5.0] * 8 + [0.0] * 8, False, 25.0), ([5.0, 0.1] * 8, True, 1)],
    ids=["one spread", "some constant", "several spreads"],
)
def test_expected_and_real_errors_of_pairs_are_in_one_unit(
    scale: list[float], relative: bool, factor: float
) -> None:
    solver = Standardized(knowing(), question=VectorSpace(SIZE), answer=VectorSpace(SIZE))
    solver.answer_units.scale.copy_(torch.tensor(scale))
    x, solution = solved(solver)
    expected = solver.expected_error(solution)
    assert torch.allclose(expected, factor * x[:, 0].square(), rtol=1e-3, atol=1e-5)

    told = evaluate(solver, Noisy(), problems=50).reliability
    assert told.relative == relative
    plain = evaluate(solver, Noisy(), problems=50)
    assert told.real.equal(plain.errors) != relative
    if relative:
        # The noise is in the user's units here: the mean of (s n)^2 over the spreads is larger.
        assert float(told.real.mean()) > float(plain.errors.mean())
