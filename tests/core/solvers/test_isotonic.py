"""Expected errors of energies that rank answers and mean no errors, fitted to unseen problems."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import isotonic_regression
from torch import Tensor

from irem_core import (
    IREM,
    EnergyFn,
    GradientDescent,
    Problem,
    SettingError,
    VectorSpace,
    fit_pairs,
    load,
)
from irem_core.solvers.isotonic import as_curve, fitted_curve, read_off

SIZE = 16
SOLVER, ENERGY = "irem(objective=descent())", "distance(width=8, depth=1)"


class Ranking(EnergyFn):
    """Answers are -x; how low the energy is there ranks them by the first entry of x."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = VectorSpace(SIZE)

    def energy(self, context: Tensor, y: Tensor) -> Tensor:
        return (y + context).square().sum(1) / 2 + SIZE * (5 * context[:, 0].sqrt() - 2)


def drawn(count: int, seed: int) -> tuple[Problem, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(count, SIZE, generator=generator)
    noise = torch.randn(count, SIZE, generator=generator)
    return Problem(x, VectorSpace(SIZE)), x[:, :1] * noise - x


def test_the_curve_is_that_of_scipy() -> None:
    draw = np.random.default_rng(0)
    energies = draw.normal(size=400)
    errors = energies + draw.normal(size=400) + 5
    parts = np.array_split(np.argsort(energies), 20)
    wanted = isotonic_regression([errors[rows].mean() for rows in parts]).x
    curve = fitted_curve(torch.from_numpy(energies), torch.from_numpy(errors))
    assert [error for _, error in curve[:-1]] == pytest.approx(wanted.tolist())
    assert curve[-1] == pytest.approx((energies.max(), wanted[-1]))
    assert len(set(wanted)) < 20, "some neighbours are pooled"

    asked = np.concatenate([energies, [energies.min() - 9, energies.max()]])
    read = read_off(curve, torch.from_numpy(asked)).numpy()
    assert read == pytest.approx(np.interp(asked, *np.array(curve).T))
    beyond = torch.tensor([float(energies.max()) + 1e-3, torch.nan])
    assert read_off(curve, beyond).tolist() == [torch.inf, torch.inf]


def test_energies_of_few_answers_or_all_the_same_tell_nothing() -> None:
    assert fitted_curve(torch.arange(19.0), torch.ones(19)) == ()
    assert fitted_curve(torch.ones(40), torch.arange(40.0)) == ()
    unknown = torch.full((30,), torch.nan)
    assert fitted_curve(torch.arange(30.0), unknown) == ()


def test_of_answers_of_one_energy_the_worst_is_expected() -> None:
    energies = torch.cat([torch.zeros(20), torch.ones(20)])
    curve = fitted_curve(energies, torch.arange(40.0))
    read = read_off(curve, torch.tensor([0.0, 1.0]))
    assert read.tolist() == pytest.approx([14.5, 34.5])


def test_calibrating_learns_what_answers_are_wrong_by() -> None:
    solver = IREM(Ranking(), descent=GradientDescent(step_size=1.0))
    assert not solver.calibrated
    solver.calibrate(*drawn(2000, 0), torch.Generator().manual_seed(0))
    assert solver.calibrated

    problem, _ = drawn(1000, 1)
    variance = problem.x[:, 0].square()
    expected = solver.expected_error(solver.solve(problem))
    inside = (variance > 0.05) & (variance < 0.85)
    assert torch.allclose(expected[inside], variance[inside], rtol=0.15, atol=0.02)
    again = IREM(Ranking(), expected_errors=json.loads(json.dumps(solver.expected_errors)))
    assert again.expected_error(solver.solve(problem)).equal(expected)


def test_a_run_of_pairs_keeps_the_curve(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(300, 2))
    done = fit_pairs(x, x, solver=SOLVER, energy=ENERGY, iterations=5, out=tmp_path / "run")
    asked = torch.from_numpy(x[:20]).float()
    told: Any = done.solver.expected_error(done.solver.solve(asked))
    kept = load(tmp_path / "run")
    assert kept.calibrated
    assert kept.expected_error(kept.solve(asked)).equal(told)


@pytest.mark.parametrize(
    "knots", [[(0, 1)], [(0, 1), (1, 0)], [(1, 0), (0, 1)], [(0, 1), (1,)], [(0, 0), (1, np.inf)]]
)
def test_a_curve_rises(knots: Any) -> None:
    with pytest.raises(SettingError, match="at least two knots"):
        IREM(Ranking(), expected_errors=knots)
    assert as_curve([]) == ()
