"""Levenberg-Marquardt, against scipy's (MINPACK's)."""

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares

from curved import Given, beale, descend
from irem_core import (
    ElementwiseEnergy,
    EnergyError,
    EnergyFn,
    FixedSteps,
    GradientNorm,
    IremError,
    Iterate,
    Layout,
    LevenbergMarquardt,
    Outcome,
    PairwiseEnergy,
    Probe,
    Problem,
    ShapeError,
    differentiate,
    load_task,
    minimize,
)
from irem_core.energies.derivatives import linearized

F64 = torch.float64
BARD = torch.tensor(
    [0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39]
).double()


def rosenbrock(y):
    return torch.cat([10 * (y[:, 1:] - y[:, :-1] ** 2), 1 - y[:, :-1]], 1)


def powell(y):
    """Powell's singular function (1962), whose Jacobian is singular at the minimiser 0."""
    a, b, c, d = y.unbind(1)
    return torch.stack([a + 10 * b, 5**0.5 * (c - d), (b - 2 * c) ** 2, 10**0.5 * (a - d) ** 2], 1)


def bard(y):
    """Bard (1970): residuals that do not vanish, of single precision data."""
    u = torch.arange(1, 16, dtype=y.dtype)
    v = 16 - u
    a, b, c = y[:, :, None].unbind(1)
    return BARD.to(y.dtype) - (a + u / (v * b + torch.minimum(u, v) * c))


def broyden(y):
    """Broyden's tridiagonal function (1965)."""
    wide = torch.nn.functional.pad(y, (1, 1))
    return (3 - 2 * y) * y - wide[:, :-2] - 2 * wide[:, 2:] + 1


CASES = {
    "rosenbrock": (rosenbrock, [-1.2, 1.0, 0.5]),
    "powell": (powell, [3.0, -1.0, 0.0, 1.0]),
    "bard": (bard, [1.0, 1.0, 1.0]),
    "broyden": (broyden, [-1.0] * 8),
}


class Squares(Given):
    """The sum of squares of given residuals."""

    def energy(self, context, y):
        return super().energy(context, y).square().sum(1)

    def residuals(self, context, y):
        return self.function(y)


def by_scipy(function, start, **options):
    def residuals(at):
        return function(torch.tensor(at[None]))[0].numpy()

    def jacobian(at):
        y = torch.tensor(at[None])
        return torch.autograd.functional.jacobian(function, y)[0, :, 0].numpy()

    return least_squares(
        residuals, np.array(start), jac=jacobian, xtol=1e-12, ftol=1e-12, gtol=1e-9, **options
    )


@pytest.mark.parametrize("dense", [64, 0])
@pytest.mark.parametrize("name", CASES)
def test_finds_what_minpack_finds_for_about_as_many_evaluations(name, dense):
    function, start = CASES[name]
    energy = Squares(function)
    solution = descend(
        energy, torch.tensor([start], dtype=F64), LevenbergMarquardt(dense=dense), tolerance=1e-9
    )
    expected = by_scipy(function, start, method="lm")

    assert solution.outcome.item() == Outcome.CONVERGED
    np.testing.assert_allclose(solution.y[0].numpy(), expected.x, rtol=1e-4, atol=2e-3)
    assert solution.energy.item() <= 2 * expected.cost + 1e-12
    assert solution.evaluations.item() == energy.calls
    assert energy.calls <= (1.5 if dense else 3) * expected.nfev


@pytest.mark.parametrize("dense", [64, 0])
def test_finds_the_bounded_minimum_that_scipy_finds(dense):
    start = [-1.2, 0.4, 0.2]
    expected = by_scipy(rosenbrock, start, bounds=(-2.0, 0.5))
    solution = descend(
        Squares(rosenbrock),
        torch.tensor([start], dtype=F64),
        LevenbergMarquardt(dense=dense),
        low=-2.0,
        high=0.5,
        max_steps=40,
    )

    np.testing.assert_allclose(solution.y[0].numpy(), expected.x, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dense", [64, 0])
def test_each_problem_is_damped_by_itself(dense):
    generator = torch.Generator().manual_seed(0)
    start = torch.rand(5, 3, generator=generator, dtype=F64) * 3 - 1.5
    descent = LevenbergMarquardt(dense=dense, tolerance=1e-6)
    together = descend(Squares(rosenbrock), start, descent)
    alone = [descend(Squares(rosenbrock), each[None], descent) for each in start]

    assert len(set(together.steps.tolist())) > 2
    assert together.steps.tolist() == [each.steps.item() for each in alone]
    assert together.evaluations.tolist() == [each.evaluations.item() for each in alone]
    torch.testing.assert_close(together.y, torch.ones_like(start))


def test_single_precision_comes_as_near_as_its_digits_allow():
    start = torch.tensor([[-1.2, 1.0], [2.0, -1.0]])
    solution = descend(Squares(rosenbrock), start, LevenbergMarquardt(), tolerance=1e-4)

    assert solution.y.dtype == torch.float32
    assert (solution.y - 1).abs().max() < 1e-3


def test_solves_linear_problems_in_a_step_or_two():
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(12, 5, generator=generator, dtype=F64)
    wanted = torch.randn(12, generator=generator, dtype=F64)
    start = torch.zeros(1, 5, dtype=F64)
    solution = descend(Squares(lambda y: y @ matrix.T - wanted), start, LevenbergMarquardt())

    expected = torch.linalg.lstsq(matrix, wanted[:, None]).solution[:, 0]
    assert solution.steps.item() <= 3
    torch.testing.assert_close(solution.y[0], expected)


def test_products_are_those_of_the_jacobian_and_the_hessian_and_are_counted():
    generator = torch.Generator().manual_seed(0)
    y, along = torch.randn(2, 3, 4, generator=generator, dtype=F64)
    iterate, layout = Iterate(y, Layout(3)), Layout(3)
    probe = Probe.of(Squares(powell), torch.zeros(3, 1), None)
    residuals, product = probe.linearized(iterate), probe.hessian_at(iterate)
    weights = torch.randn(3, 4, generator=generator, dtype=F64)
    forward = residuals.times(Iterate(along, layout))
    back = residuals.transposed(weights)
    bent = product(Iterate(along, layout))

    for i in range(3):
        jacobian = torch.autograd.functional.jacobian(lambda at: powell(at[None])[0], y[i])
        hessian = torch.autograd.functional.hessian(
            lambda at: powell(at[None]).square().sum(), y[i]
        )
        torch.testing.assert_close(forward[i], jacobian @ along[i])
        torch.testing.assert_close(back.y[i], jacobian.T @ weights[i])
        torch.testing.assert_close(bent.y[i], hessian @ along[i])
    assert (probe.spent.jacobian_products, probe.spent.hessian_products) == (2, 1)
    assert probe.spent.evaluations == 0


def test_an_energy_without_residuals_is_refused_before_the_first_step():
    with pytest.raises(EnergyError, match="Given has no residuals, so levenberg-marquardt"):
        descend(beale, [[1.0, 1.0]], LevenbergMarquardt())


@pytest.mark.parametrize(
    ("residuals", "error", "said"),
    [
        (lambda y: y[:1], ShapeError, r"residuals of shape \(1, 2\) .* expected .* \(2, m\) with"),
        (lambda y: y.sum(1), ShapeError, r"residuals of shape \(2,\)"),
        (lambda y: y[:, :0], ShapeError, r"residuals of shape \(2, 0\)"),
        (lambda y: [y], ShapeError, "Wrong returned residuals of a list for 2 problems"),
        (lambda y: torch.ones_like(y), EnergyError, "do not depend on y"),
    ],
)
def test_residuals_that_are_none_are_refused(residuals, error, said):
    class Wrong(Squares):
        def energy(self, context, y):
            return y.square().sum(1)

    with pytest.raises(error, match=said) as raised:
        descend(Wrong(residuals), [[1.0, 1.0], [2.0, 0.0]], LevenbergMarquardt())
    assert isinstance(raised.value, IremError)


@pytest.mark.parametrize("task", ["add", "connected-components"])
def test_library_energies_are_descended_in_fewer_steps(task):
    made = load_task(task, **({"size": 5} if task == "add" else {}))
    kind = ElementwiseEnergy if task == "add" else PairwiseEnergy
    energy = kind.for_task(made).double()
    difficulty = "same" if task == "add" else "nodes=4"
    problem, _ = made.sample(3, difficulty, generator=torch.Generator().manual_seed(0))
    x = (
        problem.x.double()
        if task == "add"
        else problem.x.apply(lambda t: t.double() if t.is_floating_point() else t)
    )
    problem = Problem(x, problem.answer, problem.layout)
    settings = {"halting": FixedSteps(steps=6), "generator": torch.Generator().manual_seed(1)}
    solution = minimize(energy, problem, descent=LevenbergMarquardt(), **settings)
    start = minimize(energy, problem, descent=LevenbergMarquardt(), max_steps=0)

    with torch.no_grad():
        context = energy.encode(problem)
    slope = differentiate(energy, context, Iterate(solution.y, problem.layout)).slope
    assert (solution.energy < start.energy).all()
    if task == "add":
        assert slope.norm().max() < 1e-9


def test_weighted_energies_have_the_residuals_of_all():
    energy = 2.0 * Squares(powell) + Squares(broyden)
    at = Iterate(torch.tensor([[3.0, -1.0, 0.0, 1.0]], dtype=F64), Layout(1))
    context = (None, None)
    found = linearized(energy, context, at)
    expected = differentiate(energy, context, at)
    torch.testing.assert_close(found.square(found.residuals), expected.energy)
    torch.testing.assert_close(2 * found.transposed(found.residuals).y, expected.slope.y)
    assert (energy + -1.0 * Squares(broyden)).misfits((None,) * 3, at) is None


def test_conjugate_gradients_pass_a_gradient_on_as_a_factorization_does():
    class Weighted(EnergyFn):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor([0.7, 1.3], dtype=F64))

        def energy(self, context, y):
            return self.residuals(context, y).square().sum(1)

        def residuals(self, context, y):
            return torch.stack([10 * (y[:, 1] - y[:, 0]), self.weight[0] - y[:, 0]], 1)

    slopes = []
    for dense in (64, 0):
        energy = Weighted()
        at = Iterate(torch.tensor([[-0.5, 0.2]], dtype=F64), Layout(1))
        evaluation = differentiate(energy, None, at, create_graph=True)
        descent = LevenbergMarquardt(dense=dense, tolerance=1e-9, damping=1e-12)
        probe = Probe.of(energy, torch.zeros(1, 1), None)
        after, _ = descent.step(evaluation, descent.init(evaluation), probe)
        after.y.square().sum().backward()
        slopes.append(energy.weight.grad)
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-6, atol=1e-9)
    assert slopes[0][0] != 0


def test_halts_where_the_gradient_is_small_on_many_problems_of_many_lengths():
    start = torch.linspace(-2, 2, 40, dtype=F64)[:, None].repeat(1, 2)
    solution = minimize(
        Squares(rosenbrock),
        torch.zeros(40, 1),
        start=start,
        descent=LevenbergMarquardt(),
        halting=GradientNorm(tolerance=1e-8),
    )
    assert solution.check() is solution
    torch.testing.assert_close(solution.y, torch.ones_like(start))
