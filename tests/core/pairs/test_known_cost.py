"""A cost that is known: answers are its minima, learned starts find the low ones."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear
from torch import Tensor

from irem_core import (
    EnergyFn,
    PairsTask,
    SettingError,
    VectorSpace,
    WarmStart,
    fit_pairs,
    load,
    recipe,
)

SMALL = {"energy": "distance(width=8, depth=2)", "iterations": 2, "batch_size": 8}
ROOT = np.random.default_rng(0).normal(size=(5, 3))
X = np.random.default_rng(1).normal(size=(40, 5)) * [1e3, 1, 1, 1, 1] + [5e4, 0, 0, 0, 0]


def misfit(x: Tensor, y: Tensor) -> Tensor:
    """Least squares, whose questions are in very different units."""
    scale = x.new_tensor([1e-3, 1, 1, 1, 1])
    return (y @ x.new_tensor(ROOT.T) - x * scale).square().sum(-1)


class Misfit(EnergyFn):
    def energy(self, context: Tensor, y: Tensor) -> Tensor:
        return misfit(context, y)


def two_wells(x: Tensor, y: Tensor) -> Tensor:
    """A deep minimum near 1 or -1, by the sign of x, and a shallow one on the other side."""
    return ((y.square() - 1).square() - 0.5 * x * y).sum(-1)


def exact(low: float, high: float) -> np.ndarray:
    scaled = X * [1e-3, 1, 1, 1, 1]
    found = [lsq_linear(ROOT, each, (low, high), method="bvls", tol=1e-14).x for each in scaled]
    return np.array(found)


@pytest.mark.parametrize(
    ("cost", "answered"),
    [
        (misfit, False),
        (Misfit(), True),
        ("known_costs:Misfit", True),
    ],
)
def test_answers_are_the_minima_within_bounds(
    cost, answered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "known_costs", sys.modules[__name__])
    low, high = -0.5, 0.8
    wanted = exact(low, high)
    given = {"y": wanted} if answered else {"entries": 3}
    done = fit_pairs(X, cost=cost, low=low, high=high, **given, **SMALL)
    asked = torch.from_numpy(X)
    for solution in (done.solver.solve(asked), next(done.solver.solve_many([asked]))):
        assert solution.y.dtype == torch.float64
        np.testing.assert_allclose(solution.y, wanted, rtol=0, atol=1e-7)
        assert (solution.y.min(), solution.y.max()) == (low, high)
        np.testing.assert_allclose(solution.energy, misfit(asked, solution.y))
    np.testing.assert_allclose(done.task.pairs.y, wanted, rtol=1e-5, atol=1e-6)


def test_learned_starts_lead_to_the_lower_minimum() -> None:
    draw = np.random.default_rng(0)
    x = draw.uniform(0.5, 1, (60, 1)) * draw.choice([-1.0, 1.0], (60, 1))
    settings = {"energy": "distance(width=16, depth=2)", "iterations": 40}
    done = fit_pairs(x, cost=two_wells, entries=1, **settings)
    asked = torch.from_numpy(x[:20])
    assert torch.equal(done.solver.solve(asked).y.sign(), asked.sign())
    # The other minimum is one too, from which restarts find away.
    wrong = done.solver.solve(asked, start=-asked)
    assert torch.equal(wrong.y.sign(), -asked.sign())
    again = done.solver.solve(asked, start=-asked, restarts=1)
    assert torch.equal(again.y.sign(), asked.sign())
    assert (again.evaluations > wrong.evaluations).all()
    assert again.restarts.eq(1).all()


def test_a_run_finds_its_cost_again_by_name(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "plain_cost.py").write_text(
        "import torch\nONE = torch.ones(2)\ndef cost(x, y):\n"
        "    return (y - x - ONE.to(y)).square().sum(-1)\n"
    )
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(20, 2))
    done = fit_pairs(x, cost="plain_cost:cost", entries=2, out="run", **SMALL)
    monkeypatch.delitem(sys.modules, "plain_cost")
    again = load("run")
    assert isinstance(again, WarmStart)
    np.testing.assert_allclose(again.solve(torch.from_numpy(x)).y, x + 1, rtol=1e-6)
    assert again.state_dict().keys() == done.solver.state_dict().keys()
    monkeypatch.delitem(sys.modules, "plain_cost")
    (tmp_path / "plain_cost.py").unlink()
    with pytest.raises(SettingError, match="'plain_cost' cannot be imported"):
        load("run")
    with pytest.raises(SettingError, match="cannot be found again by its name"):
        fit_pairs(x, cost=lambda x, y: y.sum(-1), entries=2, out="other", **SMALL)


def test_what_is_no_cost_is_refused() -> None:
    for cost, message in ((3, "expected a function of x and y"), ("torch:nix", "holds no nix")):
        with pytest.raises(SettingError, match=message):
            PairsTask.of(X, cost=cost, entries=2)
    with pytest.raises(SettingError, match="nothing says how many numbers"):
        PairsTask.of(X, cost=misfit)
    with pytest.raises(SettingError, match="leave entries out"):
        PairsTask.of(X, X, cost=misfit, entries=5)


def test_the_answers_size_comes_from_what_is_known() -> None:
    energy = Misfit()
    energy.answer = VectorSpace(3, low=-1.0)
    assert PairsTask.of(X[:10], cost=energy, high=2.0).answer == VectorSpace(3, low=-1.0, high=2.0)
    task = PairsTask.of(X[:10], cost=misfit, low=[-1.0, -2.0, -3.0])
    assert task.answer == VectorSpace(3, low=(-1.0, -2.0, -3.0))
    assert isinstance(recipe(task).solver, WarmStart)
