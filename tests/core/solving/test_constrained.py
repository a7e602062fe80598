"""Answers under constraints: against scipy and closed forms, and where none can meet them."""

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import nn

from irem_core import (
    LBFGS,
    BarzilaiBorwein,
    CoordinateFlip,
    EnergyError,
    EnergyFn,
    Implicit,
    Iterate,
    LevenbergMarquardt,
    NewtonCG,
    NotConvergedError,
    Outcome,
    Problem,
    SettingError,
    ShapeError,
    Unrolled,
    VectorSpace,
    constrained,
    graphs,
)
from irem_core.testing.zoo import Quadratic, ScratchpadQuadratic

DOUBLE = torch.float64
DESCENTS = [BarzilaiBorwein(), LBFGS(), NewtonCG()]
X = torch.tensor([[2.0, 1.0, 0.0], [0.1, 0.2, 0.1], [3.0, 3.0, 3.0]], dtype=DOUBLE)


def total(x, y):
    return y.sum(-1) - 1


class Rosenbrock(EnergyFn):
    """Rosenbrock's function, moved by x."""

    def energy(self, context, y):
        y = y - context
        return 100 * (y[:, 1] - y[:, 0] ** 2) ** 2 + (1 - y[:, 0]) ** 2


def disc(x, y):
    return y.square().sum(-1, keepdim=True) - x[:, :1].square() - 0.5


def above(x, y):
    return torch.stack([y[:, 0] - y[:, 1].exp(), -1 - y[:, 0]], 1)


@pytest.mark.parametrize("descent", DESCENTS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize(
    "constraints", [{"equal": disc}, {"at_most": above}, {"equal": disc, "at_most": above}]
)
def test_answers_are_those_of_scipy(constraints, descent):
    x = torch.tensor([[0.3, -0.2], [-0.4, 0.6], [1.2, 0.1]], dtype=DOUBLE)
    solver = constrained(Rosenbrock(), **constraints, tolerance=1e-7, relative=1e-6)
    found = solver.minimize(x, start=torch.zeros_like(x), descent=descent).check()
    for place, row in enumerate(x):

        def wrapped(function, sign, row=row):
            return lambda y: sign * function(row[None], torch.tensor(y)[None])[0].numpy()

        given = [
            {"type": kind, "fun": wrapped(constraints[name], sign)}
            for kind, name, sign in (("eq", "equal", 1), ("ineq", "at_most", -1))
            if name in constraints
        ]
        wanted = optimize.minimize(
            wrapped(Rosenbrock().energy, 1),
            found.y[place].numpy() + 0.05,
            method="SLSQP",
            constraints=given,
            options={"ftol": 1e-14, "maxiter": 500},
        )
        assert wanted.success
        np.testing.assert_allclose(found.y[place].numpy(), wanted.x, atol=2e-5)
        np.testing.assert_allclose(found.energy[place], wanted.fun, rtol=1e-5, atol=1e-9)
    assert float(found.violation.max()) <= 1e-7


@pytest.mark.parametrize("dtype", [DOUBLE, torch.float32])
@pytest.mark.parametrize("descent", DESCENTS, ids=lambda each: type(each).__name__)
def test_projections_with_their_multipliers(descent, dtype):
    x = X.to(dtype)
    excess = (x.sum(-1) - 1) / 3
    for name, pull in (("equal", excess), ("at_most", excess.clamp(min=0))):
        solver = constrained(Quadratic(), **{name: total})
        found = solver.minimize(x, start=torch.zeros_like(x), descent=descent).check()
        torch.testing.assert_close(found.y, x - pull[:, None], rtol=0, atol=1e-3)
        torch.testing.assert_close(found.multipliers[:, 0], pull, rtol=1e-2, atol=1e-3)
        assert found.y.dtype == found.penalty.dtype == dtype
        assert float(found.violation.max()) <= 1e-4
    # What holds at the minimum of the energy costs nothing: one round is enough.
    assert found.rounds.tolist()[1] == 1
    assert found.rounds.tolist()[0] > 1


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_units_of_energy_and_constraints_do_not_matter(scale):
    start = torch.zeros_like(X)
    wanted = constrained(Quadratic(), equal=total).minimize(X, start=start, descent=LBFGS())
    for energy, unit in ((scale * Quadratic(), 1.0), (Quadratic(), scale)):
        solver = constrained(
            energy, equal=lambda x, y, unit=unit: unit * total(x, y), tolerance=1e-4 * unit
        )
        found = solver.minimize(X, start=start, descent=LBFGS()).check()
        torch.testing.assert_close(found.y, wanted.y, rtol=0, atol=1e-3)
        assert int(found.rounds.max()) <= int(wanted.rounds.max()) + 2


@pytest.mark.parametrize("off", [0.0, 1e-16, 1e-8, 1e-3])
def test_a_start_that_nearly_meets_the_constraints_is_a_good_one(off):
    x = torch.rand(5, 6, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    start = torch.full_like(x, 1 / 6) + off
    found = constrained(Quadratic(), equal=lambda x, y: y.sum(1) - 1).minimize(
        x, start=start, descent=LBFGS()
    )
    nearest = x + (1 - x.sum(1, keepdim=True)) / 6
    torch.testing.assert_close(found.check().y, nearest, rtol=0, atol=1e-4)


def test_bounds_hold_throughout_and_problems_end_one_by_one():
    problem = Problem(X, VectorSpace(3, low=0.0, high=1.5))
    solver = constrained(Quadratic(), equal=total, tolerance=1e-6, relative=1e-5)
    found = solver.minimize(problem, descent=BarzilaiBorwein()).check()
    # The simplex, whose nearest points are known: the largest entries less a common level.
    wanted = torch.tensor([[1.0, 0.0, 0.0], [0.3, 0.4, 0.3], [1 / 3, 1 / 3, 1 / 3]], dtype=DOUBLE)
    torch.testing.assert_close(found.y, wanted, rtol=0, atol=1e-5)
    for place in range(3):
        alone = solver.minimize(
            Problem(X[place : place + 1], problem.answer),
            start=torch.zeros(1, 3, dtype=DOUBLE),
            descent=BarzilaiBorwein(),
        )
        whole = solver.minimize(
            problem, start=torch.zeros(3, 3, dtype=DOUBLE), descent=BarzilaiBorwein()
        )
        for name in ("y", "steps", "evaluations", "rounds", "multipliers"):
            torch.testing.assert_close(getattr(alone, name)[0], getattr(whole, name)[place])


def test_what_cannot_be_met_is_infeasible_and_others_are_answered():
    def between(x, y):
        # Two values at once for the second problem.
        return torch.stack([y[:, 0] - x[:, 0], y[:, 0] - x[:, 0] - x[:, 1]], 1)

    x = torch.tensor([[1.0, 0.0], [1.0, 2.0], [float(3), 0.0]], dtype=DOUBLE)
    solver = constrained(Quadratic(), equal=between)
    found = solver.minimize(x, start=torch.zeros(3, 2, dtype=DOUBLE), descent=LBFGS())
    assert found.outcome.tolist() == [Outcome.CONVERGED, Outcome.INFEASIBLE, Outcome.CONVERGED]
    torch.testing.assert_close(found.violation[1].item(), 1.0, rtol=1e-3, atol=0)
    torch.testing.assert_close(found.y[:, 0].tolist(), [1.0, 2.0, 3.0], rtol=1e-3, atol=0)
    with pytest.raises(NotConvergedError, match=r"1 \(1\): ended where constraints are broken"):
        found.check()
    # Bounds that leave no room for a constraint.
    problem = Problem(X, VectorSpace(3, high=0.2))
    found = constrained(Quadratic(), equal=total).minimize(problem, descent=BarzilaiBorwein())
    assert found.outcome.tolist() == [Outcome.INFEASIBLE] * 3
    torch.testing.assert_close(found.violation, torch.full_like(found.violation, 0.4))


def test_one_problem_that_is_not_a_number_leaves_the_others():
    class Spoilt(Quadratic):
        def energy(self, context, y):
            return super().energy(context, y) + context.sum(-1).sqrt()

    x = torch.tensor([[2.0, 1.0], [-2.0, 1.0]], dtype=DOUBLE)
    found = constrained(Spoilt(), equal=total).minimize(
        x, start=torch.zeros_like(x), descent=BarzilaiBorwein()
    )
    assert found.outcome.tolist() == [Outcome.CONVERGED, Outcome.NONFINITE]
    torch.testing.assert_close(found.y[0].tolist(), [1.0, 0.0], rtol=0, atol=1e-3)


def test_a_budget_that_is_spent_is_said_to_be():
    solver = constrained(Quadratic(), equal=total)
    found = solver.minimize(X, start=torch.zeros_like(X), descent=LBFGS(), max_rounds=1)
    assert found.outcome.tolist() == [Outcome.BUDGET_SPENT] * 3
    assert float(found.violation.min()) > 1e-4
    none = solver.minimize(X[:0], start=X[:0], descent=LBFGS())
    assert none.check().y.shape == (0, 3)


def test_in_the_modes_of_others():
    solver = constrained(Quadratic(), equal=total)
    options = {"descent": BarzilaiBorwein(), "differentiable": Implicit()}
    wanted = solver.minimize(X, start=torch.zeros_like(X), descent=BarzilaiBorwein()).y
    with torch.inference_mode():
        x = X.clone()
        inside = solver.minimize(x, start=torch.zeros_like(x), **options).y
    assert torch.equal(inside, wanted)
    outside = solver.minimize(x, start=torch.zeros_like(X), **options)
    assert torch.equal(outside.y, wanted)
    assert outside.carries.all()
    with pytest.raises(SettingError, match="leads with problems"):
        torch.func.vmap(lambda row: solver.minimize(row[None], **options).y)(X)


def test_least_squares_stay_least_squares():
    class Squares(Quadratic):
        def residuals(self, context, y):
            return (y - context) / 2**0.5

    solver = constrained(
        Squares(), equal=lambda x, y: y.square().sum(-1) - 1, tolerance=1e-6, relative=1e-5
    )
    found = solver.minimize(X, start=torch.ones_like(X), descent=LevenbergMarquardt()).check()
    torch.testing.assert_close(found.y, X / X.norm(dim=-1, keepdim=True), rtol=0, atol=1e-4)
    assert int(found.products.min()) > 0


def test_graphs_and_scratchpads():
    def summed(x, values):
        return values.new_zeros(x.num_graphs).index_add(0, graphs.owner(x), values[:, 0])

    class Edges(EnergyFn):
        def energy(self, context, y):
            return summed(context, (y - context.edge_attr).square()) / 2

    values = torch.tensor([[0.3], [0.5], [-0.2], [0.1], [0.8], [0.7]], dtype=DOUBLE)
    x = graphs.complete(torch.tensor([1, 2, 1]), values)

    def whole(x, y):
        return summed(x, y) - 1

    found = constrained(Edges(), equal=whole).minimize(
        x, start=torch.zeros_like(values), descent=BarzilaiBorwein()
    )
    wanted = [1.0, 0.45, -0.25, 0.05, 0.75, 1.0]
    torch.testing.assert_close(found.check().y[:, 0].tolist(), wanted, rtol=0, atol=1e-3)

    start = Iterate(torch.zeros_like(X), Problem(X).layout, torch.zeros_like(X))
    found = constrained(ScratchpadQuadratic(), equal=total).minimize(
        X, start=start, descent=BarzilaiBorwein()
    )
    assert float(found.check().violation.max()) <= 1e-4
    assert found.z.shape == X.shape


class Pulled(EnergyFn):
    """E = |W y|^2 / 2 - x y + y^4 / 8."""

    def __init__(self):
        super().__init__()
        drawn = torch.randn(3, 3, generator=torch.Generator().manual_seed(3), dtype=DOUBLE)
        self.root = nn.Parameter(torch.eye(3, dtype=DOUBLE) + 0.3 * drawn)

    def energy(self, context, y):
        bowl = (y @ self.root).square().sum(-1) / 2 + y.pow(4).sum(-1) / 8
        return bowl - (context * y).sum(-1)


def test_gradients_of_answers_and_multipliers_are_those_of_the_whole_solve():
    energy, x = Pulled(), X.clone().requires_grad_()
    solver = constrained(
        energy,
        equal=lambda x, y: y[:, 0] + y[:, 1].square() - x[:, 2] / 4,
        at_most=lambda x, y: torch.stack([y[:, 2] - 0.3, y[:, 0] - 9], 1),
        tolerance=1e-9,
        relative=1e-8,
    )
    ahead = torch.tensor([[0.7, -1.2, 0.4], [0.5, -0.9, 1.6], [1.1, 0.2, -0.3]], dtype=DOUBLE)

    def solve(x, **options):
        problem = Problem(x, VectorSpace(3, low=-1.0))
        start = torch.zeros_like(x)
        return solver.minimize(problem, start=start, descent=NewtonCG(), **options).check()

    def loss(solution, ahead=ahead):
        return (solution.y * ahead).sum(-1) + solution.multipliers[:, 0]

    # Differences of the fourth order, since answers have fewer digits than energies.
    steps = torch.tensor([-2.0, -1.0, 1.0, 2.0], dtype=DOUBLE)
    weights = torch.tensor([1.0, -8.0, 8.0, -1.0], dtype=DOUBLE) / 12
    size = 4e-3

    solution = solve(x, differentiable=Implicit(tolerance=1e-12))
    held = solution.multipliers > 0
    assert held[:, 1].any()
    assert not held[:, 1].all()
    assert not held[:, 2].any()
    by_x, by_weight = torch.autograd.grad(loss(solution).sum(), [x, energy.root])

    moved = x.detach()[:, None, None] + size * steps[:, None, None] * torch.eye(3, dtype=DOUBLE)
    ends = loss(solve(moved.flatten(0, 2)), ahead.repeat_interleave(12, 0)).unflatten(0, (3, 4, 3))
    wanted = (weights[:, None] * ends).sum(1) / size
    assert float((by_x - wanted).norm() / wanted.norm()) < 1e-6

    kept, ends = energy.root[0, 1].item(), []
    with torch.no_grad():
        for step in steps:
            energy.root[0, 1] = kept + size * step
            ends.append(loss(solve(x.detach())).sum())
    wanted = (weights * torch.stack(ends)).sum() / size
    torch.testing.assert_close(by_weight[0, 1], wanted, rtol=1e-6, atol=1e-8)


def test_mistakes_are_sentences():
    start, descent = torch.zeros_like(X), LBFGS()
    with pytest.raises(SettingError, match="constrained got equal=None and at_most=None"):
        constrained(Quadratic())
    with pytest.raises(SettingError, match="functions of x and y"):
        constrained(Quadratic(), equal=3)
    with pytest.raises(SettingError, match="tolerance=0"):
        constrained(Quadratic(), equal=total, tolerance=0)
    with pytest.raises(ShapeError, match=r"at_most returned a tensor of shape \(\).*\(3, k\)"):
        constrained(Quadratic(), at_most=lambda x, y: y.sum()).minimize(
            X, start=start, descent=descent
        )
    with pytest.raises(ShapeError, match=r"equal returned a tensor of shape \(3, 0\)"):
        constrained(Quadratic(), equal=lambda x, y: y[:, :0]).minimize(
            X, start=start, descent=descent
        )
    with pytest.raises(SettingError, match="descent='lbfgs'; expected a Descent"):
        constrained(Quadratic(), equal=total).minimize(X, start=start, descent="lbfgs")
    with pytest.raises(EnergyError, match="do not depend on y"):
        constrained(Quadratic(), equal=lambda x, y: x.sum(-1)).minimize(
            X, start=start, descent=descent
        )
    solver = constrained(Quadratic(), equal=total)
    with pytest.raises(SettingError, match="max_rounds=0"):
        solver.minimize(X, start=start, descent=descent, max_rounds=0)
    with pytest.raises(SettingError, match=r"by Implicit\(\)"):
        solver.minimize(X, start=start, descent=descent, differentiable=Unrolled())
    with pytest.raises(SettingError, match="needs no gradient"):
        solver.minimize(X, start=start, descent=CoordinateFlip(), differentiable=Implicit())
    with pytest.raises(EnergyError, match="residuals"):
        solver.minimize(X, start=start, descent=LevenbergMarquardt())
