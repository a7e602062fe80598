"""Energies, penalties and bounds of runs of pairs are in the user's units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from irem_core import (
    LBFGS,
    EnergyFn,
    InputFileError,
    PairsTask,
    SettingError,
    Solver,
    constrained,
    evaluate,
    fit_pairs,
    load,
    minimize,
    minimize_many,
    recipe,
)

MIDDLE, BOUND = 5e3, 5020.0


class Above(EnergyFn):
    """High where the first entry is below a bound, in the user's units."""

    def energy(self, context: Tensor, y: Tensor) -> Tensor:
        return 10 * (y[:, 0] - BOUND).clamp(max=0).square()


@pytest.fixture(scope="module")
def solver() -> Solver:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(300, 3)) * [1.0, 40.0, 1.0]
    y = np.stack([100 * x[:, 0] + MIDDLE, 1e-3 * x[:, 1]], 1)
    return fit_pairs(x, y, energy="distance(width=16, depth=2)", iterations=60).solver


@pytest.fixture(scope="module")
def asked() -> Tensor:
    return torch.randn(40, 3, generator=torch.Generator().manual_seed(1)) * torch.tensor(
        [1.0, 40.0, 1.0]
    )


def test_minimising_a_runs_energy_answers_as_the_run_does(solver: Solver, asked: Tensor) -> None:
    energy = solver.energy
    settings = {"descent": solver.descent, "halting": solver.halting}
    truth = solver.solve(asked, record="y")
    found = minimize(energy, asked, max_steps=solver.max_steps, record="y", **settings)
    assert torch.equal(found.y, truth.y)
    assert torch.equal(found.trace.y, truth.trace.y)
    # The energy is a function of the user's answers.
    torch.testing.assert_close(energy(asked, found.y), found.energy, atol=1e-4, rtol=1e-3)
    many = minimize_many(energy, [asked[:30], asked[30:]], **settings)
    for part, batch in zip(many, (slice(0, 30), slice(30, 40)), strict=True):
        start = minimize(energy, asked[batch], **settings, start=part.y, max_steps=0)
        torch.testing.assert_close(start.energy, part.energy, atol=1e-4, rtol=1e-3)


def test_penalties_act_in_the_users_units(solver: Solver, asked: Tensor) -> None:
    asked, settings = asked[:4], {"descent": LBFGS(), "max_steps": 15}
    free = minimize(solver.energy, asked, **settings).y[:, 0]
    assert free.min() < MIDDLE - 20
    held = minimize(solver.energy + Above(), asked, **settings).y[:, 0]
    torch.testing.assert_close(held, free.clamp(min=BOUND), atol=0.5, rtol=0)
    problem = constrained(solver.energy, at_most=lambda x, y: BOUND - y[:, 0], tolerance=0.1)
    tied = problem.minimize(asked, **settings, max_rounds=3).y[:, 0]
    torch.testing.assert_close(tied, free.clamp(min=BOUND), atol=0.5, rtol=0)


def test_no_answer_leaves_its_bounds(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(200, 2))
    y = np.stack([np.clip(x[:, 0], -0.3, 0.7), 1e3 * x[:, 1]], 1)
    low, high = np.array([-0.3, -np.inf]), np.array([0.7, 500.0])
    y[:, 1] = y[:, 1].clip(max=500)
    settings = {"energy": "distance(width=8, depth=2)", "iterations": 5, "out": tmp_path}
    done = fit_pairs(x, y, low=low, high=high, **settings)
    far = torch.tensor(10 * x, dtype=torch.float32)
    again = load(tmp_path)
    assert again.answer.high == (0.7, 500.0)
    answers = [
        done.solver.solve(far).y,
        done.solver.solve(far, restarts=1).last,
        again.solve(far, start=1e4 + 0 * far, max_steps=0).y,
        next(iter(again.solve_many([far]))).y,
        minimize(again.energy, far, descent=LBFGS(), max_steps=5).y,
    ]
    for found in answers:
        assert torch.equal(found, found.clamp(*map(found.new_tensor, (low, high))))
    assert answers[0][:, 0].max() == np.float32(0.7)
    assert evaluate(done.solver, done.task).mse < 1e6


def test_answers_of_the_pairs_keep_to_the_bounds() -> None:
    x = np.arange(20.0)[:, None]
    with pytest.raises(InputFileError, match="row 0, counted from 0, is below low"):
        PairsTask.of(x, x, low=0.5)
    with pytest.raises(InputFileError, match="row 16, counted from 0, is above high"):
        PairsTask.of(x, x, high=[15.5])
    PairsTask.of(x, x, low=1e-6)  # rounding of what made them


def test_a_solver_that_descends_nothing_has_no_energy() -> None:
    x = np.arange(20.0)[:, None]
    solver = recipe(PairsTask.of(x, x), "feedforward(width=4)").solver
    with pytest.raises(SettingError, match="descends no energy"):
        _ = solver.energy
