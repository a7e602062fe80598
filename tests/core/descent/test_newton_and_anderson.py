"""Newton's method by conjugate gradients, and Anderson's acceleration."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize as scipy_minimize

from curved import Given, beale, descend, rosenbrock, valley
from irem_core import (
    Anderson,
    EnergyError,
    EnergyFn,
    GradientDescent,
    Iterate,
    Layout,
    NewtonCG,
    Outcome,
    Probe,
    differentiate,
    minimize,
)
from irem_core.descent.conjugate import steihaug

F64 = torch.float64
DESCENTS = [NewtonCG(), Anderson()]


@pytest.mark.parametrize("descent", DESCENTS, ids=["newton-cg", "anderson"])
@pytest.mark.parametrize(
    ("function", "start", "expected"),
    [
        (rosenbrock, [-1.2, 1.0], [1.0, 1.0]),
        (beale, [0.0, 0.0], [3.0, 0.5]),
        (valley, [0.0] * 6, [1.0] * 6),
    ],
)
def test_finds_known_minima(descent, function, start, expected):
    solution = descend(function, torch.tensor([start], dtype=F64), descent)

    assert solution.outcome.item() == Outcome.CONVERGED
    np.testing.assert_allclose(solution.y[0].numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("descent", DESCENTS, ids=["newton-cg", "anderson"])
def test_finds_the_bounded_minimum_that_scipy_finds(descent):
    start, box = [-1.2, 0.5], (-2.0, 0.5)
    found = scipy_minimize(
        lambda at: rosenbrock(torch.tensor(at[None])).item(), start, bounds=[box] * 2, tol=1e-14
    )
    solution = descend(
        rosenbrock, torch.tensor([start], dtype=F64), descent, low=-2.0, high=0.5, max_steps=100
    )

    np.testing.assert_allclose(solution.y[0].numpy(), found.x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("descent", DESCENTS, ids=["newton-cg", "anderson"])
def test_each_problem_of_a_batch_goes_its_own_way(descent):
    start = torch.tensor([[-1.2, 1.0], [0.3, 0.1], [1.5, -0.7]], dtype=F64)
    together = descend(rosenbrock, start, descent)
    alone = [descend(rosenbrock, each[None], descent) for each in start]

    assert len(set(together.steps.tolist())) > 1
    assert together.steps.tolist() == [each.steps.item() for each in alone]
    assert together.evaluations.tolist() == [each.evaluations.item() for each in alone]
    torch.testing.assert_close(together.y, torch.cat([each.y for each in alone]))


def test_newton_solves_quadratics_in_a_few_steps_and_anderson_in_as_many_as_entries():
    start = torch.zeros(1, 4, dtype=F64)
    assert descend(valley, start, NewtonCG(radius=100.0), tolerance=1e-6).steps.item() <= 3
    assert descend(valley, start, Anderson(history=5), tolerance=1e-6).steps.item() <= 10


def test_newton_leaves_a_saddle_along_its_negative_curvature():
    def saddle(y):
        return y[:, 0] ** 2 - y[:, 1] ** 2 + y[:, 1] ** 4

    solution = descend(saddle, torch.tensor([[1.0, 1e-6]], dtype=F64), NewtonCG())
    assert solution.y[0, 1].item() == pytest.approx(0.5**0.5, abs=1e-6)


def test_steihaug_solves_inside_the_region_and_stops_at_its_edge():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(3, 5, 5, generator=generator, dtype=F64)
    matrix = root @ root.mT + torch.eye(5, dtype=F64)
    matrix[2] = -matrix[2]
    slope = Iterate(torch.randn(3, 5, generator=generator, dtype=F64), Layout(3))

    def product(direction):
        return direction.map(lambda leaf: (matrix @ leaf[..., None])[..., 0])

    solved = steihaug(
        product,
        slope,
        radius=torch.tensor([1e9, 0.1, 2.0], dtype=F64),
        tolerance=torch.full((3,), 1e-12, dtype=F64),
        steps=20,
    )
    step = solved.step
    torch.testing.assert_close(step.y[0], -torch.linalg.solve(matrix[0], slope.y[0]))
    torch.testing.assert_close(step.norm()[1:], torch.tensor([0.1, 2.0], dtype=F64))
    torch.testing.assert_close(solved.bent.y, product(step).y)
    # The same iterations on the same gradient, and linear in it.
    torch.testing.assert_close(solved.again(product, slope).y, step.y)
    torch.testing.assert_close(solved.again(product, 3.0 * slope).y, 3 * step.y)


class Once(torch.autograd.Function):
    """The square, whose derivative is hidden from autograd or refused by it."""

    @staticmethod
    def forward(ctx, y, refused):
        ctx.save_for_backward(y)
        ctx.refused = refused
        return y.square()

    @staticmethod
    def backward(ctx, along):
        (y,) = ctx.saved_tensors
        return 2 * (Refused.apply(y) if ctx.refused else y.detach()) * along, None


class Refused(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y):
        return y.clone()

    @staticmethod
    def backward(ctx, along):
        raise RuntimeError("no derivative of this")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda y: Once.apply(y, False).sum(1), "of Given cannot .* since the energy is linear"),
        (lambda y: Once.apply(y, True).sum(1), r"differentiated again \(no derivative of this\)"),
        (lambda y: y.sum(1), "of Given cannot be differentiated again"),
    ],
)
def test_newton_says_before_its_first_step_that_there_are_no_second_derivatives(function, said):
    start, seen = torch.ones(1, 2, dtype=F64), []
    with pytest.raises(EnergyError, match=rf"{said}.* such as lbfgs\.$"):
        minimize(
            Given(function),
            start,
            start=start,
            descent=NewtonCG(),
            observer=lambda step, *_: seen.append(step),
        )
    assert seen == [0]


def test_newton_says_that_a_probe_of_energies_alone_does_not_serve_it():
    energy = Given(rosenbrock)
    at = Iterate(torch.zeros(1, 2, dtype=F64), Layout(1))
    evaluation = differentiate(energy, None, at)
    probe = Probe(lambda trial: differentiate(energy, None, trial, gradient=False).energy)
    descent = NewtonCG()
    with pytest.raises(EnergyError, match=r"make the probe by Probe\.of"):
        descent.step(evaluation, descent.init(evaluation), probe)


def test_solutions_count_products_of_each_problem():
    # Conjugate gradients take a product for each curvature that there is.
    context = torch.tensor([[1.0, 1.0, 1.0], [1.0, 2.0, 2.0], [1.0, 2.0, 4.0]], dtype=torch.float64)
    start = torch.tensor([[0.3, 0.4, 0.5]], dtype=torch.float64).repeat(3, 1)

    class Bowls(EnergyFn):
        def energy(self, context, y):
            return (context * y.square()).sum(-1) / 2

    def spent(rows, descent):
        found = minimize(Bowls(), context[rows], start=start[rows], descent=descent, max_steps=1)
        return found.products.tolist()

    descent = NewtonCG(radius=100.0, tolerance=1e-6)
    alone = [spent([row], descent) for row in range(3)]
    assert alone == [[1], [2], [3]]
    assert spent([0, 1, 2], GradientDescent(step_size=0.1)) == [0, 0, 0]
