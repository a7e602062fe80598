"""L-BFGS and its line search, against scipy's."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize as scipy_minimize

from curved import Given, beale, descend, rosenbrock, valley
from irem_core import (
    LBFGS,
    EnergyFn,
    FixedSteps,
    GradientNorm,
    Iterate,
    Layout,
    Outcome,
    Probe,
    Problem,
    VectorSpace,
    differentiate,
    minimize,
)
from irem_core.descent.ray_search import Search

F64 = torch.float64
CASES = {
    "rosenbrock": (rosenbrock, [-1.2, 1.0, 0.0]),
    "beale": (beale, [0.0, 0.0]),
    "valley": (valley, [0.0] * 8),
}


def by_scipy(function, start, goal, **options):
    """Return scipy's answer, and the evaluations until the energy was below a goal."""
    seen = []

    def both(at):
        y = torch.tensor(at[None], requires_grad=True)
        energy = function(y)
        energy.sum().backward()
        seen.append(energy.item())
        return energy.item(), y.grad[0].numpy()

    found = scipy_minimize(
        both,
        np.array(start),
        jac=True,
        method="L-BFGS-B",
        tol=1e-14,
        options={"maxiter": 999},
        **options,
    )
    return found.x, next(i for i, energy in enumerate(seen, 1) if energy <= goal)


def by_lbfgs(function, start, goal, **box):
    """Return our answer, and the evaluations until the energy was below a goal."""
    seen = []

    def watched(y):
        seen.append(function(y).item())
        return function(y)

    solution = descend(watched, torch.tensor([start], dtype=F64), LBFGS(), max_steps=50, **box)
    assert solution.evaluations.item() == len(seen)
    return solution.y[0].numpy(), next(i for i, energy in enumerate(seen, 1) if energy <= goal)


@pytest.mark.parametrize("name", CASES)
def test_finds_what_scipy_finds_for_as_many_evaluations(name):
    function, start = CASES[name]
    expected, evaluations = by_scipy(function, start, 1e-12)
    y, ours = by_lbfgs(function, start, 1e-12)

    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6)
    assert ours <= 1.2 * evaluations


@pytest.mark.parametrize(
    ("name", "box"),
    [
        ("rosenbrock", (-2.0, 0.5)),
        ("rosenbrock", (1.5, None)),
        ("valley", (None, 0.8)),
        ("valley", (-0.4, 0.4)),
    ],
)
def test_finds_the_bounded_minima_that_scipy_finds(name, box):
    function, start = CASES[name]
    expected, _ = by_scipy(function, start, np.inf, bounds=[box] * len(start))
    goal = function(torch.tensor(expected[None])).item() * (1 + 1e-9)
    y, evaluations = by_lbfgs(function, start, goal, low=box[0], high=box[1])

    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6)
    assert evaluations < 40


class BoxQuadratic(EnergyFn):
    def energy(self, context, y):
        bent = (context["matrix"] @ y[:, :, None])[:, :, 0]
        return ((bent / 2 - context["pull"]) * y).sum(1)


def test_finds_the_minima_of_quadratics_in_boxes_that_scipy_finds_for_about_as_many_evaluations():
    count, size, tolerance = 12, 15, 1e-7
    random = np.random.default_rng(0)
    turn, _ = np.linalg.qr(random.normal(size=(count, size, size)))
    matrix = turn * np.logspace(0, 3, size) @ turn.transpose(0, 2, 1)
    pull = matrix @ random.normal(size=(count, size, 1))
    bounds, theirs, spent = [(-0.5, 0.5)] * size, [], 0
    for h, b in zip(matrix, pull[:, :, 0], strict=True):
        found = scipy_minimize(
            lambda at, h=h, b=b: (at @ h @ at / 2 - b @ at, h @ at - b),
            np.zeros(size),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"ftol": 0.0, "gtol": tolerance},
        )
        theirs.append(found.x)
        spent += found.nfev
    x = {"matrix": torch.tensor(matrix), "pull": torch.tensor(pull[:, :, 0])}
    solution = minimize(
        BoxQuadratic(),
        Problem(x, VectorSpace(size, low=-0.5, high=0.5)),
        start=torch.zeros(count, size, dtype=F64),
        descent=LBFGS(),
        halting=GradientNorm(tolerance=tolerance),
    )

    held = np.abs(theirs) == 0.5
    assert 0.2 < held.mean() < 0.9
    np.testing.assert_allclose(solution.check().y.numpy(), theirs, rtol=0, atol=1e-6)
    assert (solution.y.abs().numpy()[held] == 0.5).all()
    assert solution.evaluations.sum().item() <= 1.25 * spent


def test_each_problem_of_a_batch_goes_its_own_way_and_pays_for_it_alone():
    generator = torch.Generator().manual_seed(0)
    start = torch.rand(5, 3, generator=generator, dtype=F64) * 3 - 1.5
    together = descend(rosenbrock, start, LBFGS())
    alone = [descend(rosenbrock, each[None], LBFGS()) for each in start]

    assert (together.outcome == Outcome.CONVERGED).all()
    assert len(set(together.steps.tolist())) > 3
    assert together.steps.tolist() == [each.steps.item() for each in alone]
    assert together.evaluations.tolist() == [each.evaluations.item() for each in alone]
    torch.testing.assert_close(together.y, torch.cat([each.y for each in alone]))


class Chain(EnergyFn):
    """Rosenbrock's function of each problem's rows, dense `(B, n)` or ragged `(rows, 1)`."""

    def encode(self, problem):
        return problem.layout

    def energy(self, layout, y):
        if layout.owner is None:
            return rosenbrock(y)
        inside = layout.owner[1:] == layout.owner[:-1]
        terms = 100 * (y[1:] - y[:-1] ** 2) ** 2 + (1 - y[:-1]) ** 2
        return layout.sum(torch.cat([terms * inside[:, None], terms[:1] * 0]))


def test_ragged_answers_take_the_steps_of_dense_ones():
    starts = [torch.tensor([-1.2, 1.0, 0.5], dtype=F64), torch.tensor([0.3, -0.7], dtype=F64)]
    owner = torch.tensor([0, 0, 0, 1, 1])
    settings = {"descent": LBFGS(), "halting": GradientNorm(tolerance=1e-8), "max_steps": 200}
    problem = Problem(torch.zeros(5, 1, dtype=F64), owner=owner)
    ragged = minimize(Chain(), problem, start=torch.cat(starts)[:, None], **settings)

    x = torch.zeros(1, 1, dtype=F64)
    dense = [minimize(Chain(), x, start=each[None], **settings) for each in starts]
    assert ragged.steps.tolist() == [each.steps.item() for each in dense]
    torch.testing.assert_close(ragged.y, torch.cat([each.y[0] for each in dense])[:, None])
    torch.testing.assert_close(ragged.y, torch.ones_like(ragged.y))


def test_single_precision_comes_as_near_as_its_digits_allow():
    start = torch.tensor([[-1.2, 1.0], [2.0, -1.0]])
    solution = descend(rosenbrock, start, LBFGS(), tolerance=1e-3)

    assert solution.y.dtype == torch.float32
    assert (solution.y - 1).abs().max() < 1e-2


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_does_not_mind_the_scale_of_the_energy(scale):
    start = torch.tensor([[-1.2, 1.0]], dtype=F64)
    solution = descend(lambda y: scale * rosenbrock(y), start, LBFGS(), tolerance=scale * 1e-9)

    assert solution.steps.item() < 60
    torch.testing.assert_close(solution.y, torch.ones_like(start))


RAYS = {
    # Functions 1 and 2 of More and Thuente (1994), and one with a wall.
    "long": lambda t: -t / (t**2 + 2),
    "late": lambda t: (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4,
    "wall": lambda t: t.exp() - 3 * t,
}


@pytest.mark.parametrize("curvature", [0.1, 0.9])
@pytest.mark.parametrize("name", RAYS)
def test_steps_meet_the_strong_wolfe_conditions(name, curvature):
    first = torch.logspace(-4, 3, 8, dtype=F64)
    function, decrease = RAYS[name], 0.001
    energy = Given(lambda y: function(y).sum(1))
    start = Iterate(torch.zeros(8, 1, dtype=F64), Layout(8))
    evaluation = differentiate(energy, None, start)
    direction = evaluation.slope * (-1 / evaluation.slope.norm())
    search = Search(decrease, curvature, 40)
    probe = Probe.of(energy, torch.zeros(8, 1), None)
    found, taken = search.along(evaluation, direction, first, probe)

    at = taken.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(function(at).sum(), at)
    slope = evaluation.slope.dot(direction)
    assert (taken > 0).all()
    assert (function(at) <= evaluation.energy + decrease * taken * slope + 1e-15).all()
    assert (slopes.abs() <= curvature * slope.abs() + 1e-12).all()
    torch.testing.assert_close(found.iterate.y[:, 0], taken * direction.y[:, 0])
    torch.testing.assert_close(found.energy, function(at).detach())
    # From 1e-4 to 1,000 some have to be lengthened, and some to be shortened.
    assert (taken[:2] > first[:2]).all()
    assert (taken[-2:] < first[-2:]).all()
    assert energy.calls == probe.spent.evaluations.max() + 1


@pytest.mark.parametrize("name", RAYS)
def test_without_a_bound_on_the_slope_steps_shorten_until_the_energy_falls_by_armijo(name):
    first = torch.logspace(-4, 3, 8, dtype=F64)
    function, decrease = RAYS[name], 0.3
    energy = Given(lambda y: function(y).sum(1))
    start = Iterate(torch.zeros(8, 1, dtype=F64), Layout(8))
    evaluation = differentiate(energy, None, start)
    direction = evaluation.slope * (-1 / evaluation.slope.norm())
    probe = Probe.of(energy, torch.zeros(8, 1), None)
    _, taken = Search(decrease, None, 40).along(evaluation, direction, first, probe)

    slope = evaluation.slope.dot(direction)

    def falls(at):
        return function(at) <= evaluation.energy + decrease * at * slope

    assert falls(taken).all()
    assert torch.equal(taken == first, falls(first))
    assert (taken < first).any()
    assert (taken > 0).all()


def test_a_search_ends_once_its_trials_differ_by_rounding():
    # All energies are 1 in float32, and slopes as steep on either side.
    energy = Given(lambda y: 1 + 1e-8 * (y - 1.3).abs().sum(1))
    start = Iterate(torch.ones(1, 1), Layout(1))
    evaluation = differentiate(energy, None, start)
    probe = Probe.of(energy, torch.zeros(1, 1), None)
    ahead = Iterate(torch.ones(1, 1), Layout(1))
    Search(1e-3, 0.9, 50).along(evaluation, ahead, torch.ones(1), probe)

    # Halves of 1, down to where float32 ends.
    assert probe.spent.evaluations.item() < 26


def test_a_search_that_overflows_comes_back():
    start = torch.tensor([[0.1]], dtype=F64)
    solution = descend(lambda y: (y * 1e3).exp().sum(1) - y.sum(1), start, LBFGS())

    expected = -np.log(1e3) / 1e3
    assert solution.outcome.item() == Outcome.CONVERGED
    assert solution.y.item() == pytest.approx(expected, rel=1e-6)


def test_stays_where_nothing_is_lower():
    at = torch.tensor([[1.0, 1.0]], dtype=F64)
    solution = minimize(
        Given(rosenbrock), at, start=at, descent=LBFGS(), halting=FixedSteps(steps=3)
    )

    assert torch.equal(solution.last, at)
    assert solution.evaluations.item() == 1


def test_a_corner_that_the_bounds_hold_is_left_alone():
    start = torch.zeros(1, 3, dtype=F64)
    space = VectorSpace(3, low=0.0, high=1.0)
    solution = minimize(
        Given(lambda y: y.sum(1)),
        Problem(start, space),
        start=start,
        descent=LBFGS(),
        halting=FixedSteps(steps=2),
    )

    assert torch.equal(solution.last, start)
