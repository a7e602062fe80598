"""The rational energy: against eigenvalues and singular values, and what inverse it learns."""

import numpy as np
import pytest
import torch
from numpy.polynomial.chebyshev import chebval
from numpy.polynomial.polynomial import polyval

from irem_core import (
    BarzilaiBorwein,
    EnergyPlateau,
    MatrixSpace,
    Problem,
    RationalEnergy,
    SettingError,
    VectorSpace,
    evaluate,
    fit,
    minimize,
    recipe,
)
from irem_tasks.matrices import MatrixInverse, Square


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def energy(size, degree=5, **settings):
    space = MatrixSpace(size, size)
    made = RationalEnergy(space, space, degree=degree, **settings).double()
    with torch.no_grad():
        for seed, weight in enumerate(made.parameters()):
            weight += draw(*weight.shape, seed=seed) / 2
    return made


def inverting(size):
    """An energy whose weights say x y = 1."""
    space = MatrixSpace(size, size)
    made = RationalEnergy(space, space, degree=1).double()
    with torch.no_grad():
        made.denominator.copy_(torch.tensor([0.0, 1.0]))
        made.numerator.copy_(torch.tensor([1.0, 0.0]))
        made.exponent.fill_(-1.0)
    return made


@pytest.mark.parametrize("spectrum", ["positive", "real", "any"])
@pytest.mark.parametrize(("size", "degree"), [(1, 1), (4, 1), (5, 6)])
def test_the_energy_is_that_of_eigenvalues(size, degree, spectrum):
    made = energy(size, degree, spectrum=spectrum, reference=2.5)
    half, y = draw(7, size, size), draw(7, size, size, seed=1)
    x = half + half.mT
    values, vectors = np.linalg.eigh(x.numpy())
    norm = (values**8).sum(1) ** (1 / 8)
    weights = {name: weight.detach().numpy() for name, weight in made.named_parameters()}
    wanted = []
    for of_one, basis, c, answer in zip(values, vectors, norm, y.numpy(), strict=True):
        at = 2 * of_one / c - 1 if spectrum == "positive" else of_one / c
        value = polyval if spectrum == "any" else chebval
        q = basis * value(at, weights["denominator"]) @ basis.T
        p = basis * value(at, weights["numerator"]) @ basis.T
        residual = q @ answer - (c / 2.5) ** weights["exponent"] * p
        wanted.append(np.exp(weights["log_scale"]) / 2 * (residual**2).sum())
    torch.testing.assert_close(made(x, y), torch.tensor(np.array(wanted)))


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_matrices_of_any_size_and_shape_of_spectrum_are_taken(scale):
    made = inverting(6)
    x = scale * draw(9, 6, 6)
    singular = torch.linalg.svdvals(x)
    context = made.encode(made.problem(x))
    # q(x) = x / c, so its singular values tell c.
    c = singular[:, 0] / torch.linalg.svdvals(context.denominator)[:, 0]
    torch.testing.assert_close(c / scale, (singular / scale).pow(8).sum(1).pow(1 / 8))
    assert (c >= singular[:, 0]).all()
    assert (c <= 6 ** (1 / 8) * singular[:, 0] * (1 + 1e-9)).all()


def test_the_minimum_is_the_rational_function():
    made = inverting(5)
    x = draw(8, 5, 5) + 4 * torch.eye(5, dtype=torch.float64)
    inverse = torch.linalg.inv(x)
    assert made(x, inverse).abs().max() < 1e-25
    solution = minimize(
        made,
        x,
        start=draw(8, 5, 5, seed=1),
        descent=BarzilaiBorwein(),
        halting=EnergyPlateau(tolerance=1e-14),
        max_steps=2000,
    )
    torch.testing.assert_close(solution.y, inverse, rtol=1e-5, atol=1e-6)


def test_the_basis_does_not_matter():
    made = energy(5)
    x, y = draw(6, 5, 5), draw(6, 5, 5, seed=1)
    basis = torch.linalg.qr(draw(5, 5, seed=2))[0]
    torch.testing.assert_close(made(basis @ x @ basis.T, basis @ y @ basis.T), made(x, y))


def test_a_matrix_of_zeros_has_an_energy_and_derivatives():
    made = energy(3)
    x = torch.zeros(1, 3, 3, dtype=torch.float64)
    value = made(x, draw(1, 3, 3)).sum()
    slopes = torch.autograd.grad(value, list(made.parameters()))
    assert value.isfinite()
    assert all(each.isfinite().all() for each in slopes)


def test_inverses_are_learned_in_seconds_and_on_harder_and_larger_matrices_too():
    task = MatrixInverse(size=14)
    made = recipe(task)
    assert type(made.solver.energy) is RationalEnergy
    settings = {"iterations": 300, "batch_size": 32, "learning_rate": 0.05}
    fit(made.solver, task, **made.training | settings)
    # The rational function is fitted to spectra of training, and harder ones reach beyond them.
    for difficulty, share in {"same": 0.01, "size=20": 0.01, "harder": 0.3}.items():
        found = evaluate(made.solver, task, difficulty=difficulty, problems=100)
        assert found.mse < share * task.floor(difficulty).constant
        assert found.outcomes == {"CONVERGED": 100}


def test_squares_of_matrices_with_complex_eigenvalues_are_learned():
    task = Square(size=4)
    energy = RationalEnergy.for_task(task, degree=4)
    made = recipe(task, energy=energy)
    fit(made.solver, task, **made.training | {"iterations": 300, "batch_size": 32})
    for difficulty in ("same", "harder"):
        found = evaluate(made.solver, task, difficulty=difficulty, problems=100, max_steps=40)
        assert found.mse < 0.1 * task.floor(difficulty).constant


class Negative(MatrixInverse):
    """Invert matrices with negative eigenvalues alone."""

    def draw(self, *arguments, **parameters):
        problem, y = super().draw(*arguments, **parameters)
        return Problem(-problem.x, problem.answer), -y


@pytest.mark.parametrize(
    ("task", "spectrum"),
    [
        (MatrixInverse(size=5), "positive"),
        (MatrixInverse(size=5, variant="paper"), "real"),
        (Negative(size=5), "real"),
        (Square(size=5), "any"),
    ],
)
def test_the_task_says_what_eigenvalues_there_are(task, spectrum):
    made = RationalEnergy.for_task(task)
    assert made.spectrum == spectrum
    x = task.sample(400, generator=torch.Generator().manual_seed(7))[0].x.double()
    norms = torch.linalg.svdvals(x).pow(8).sum(1).pow(1 / 8)
    assert made.reference == pytest.approx(float(norms.log().mean().exp()), rel=0.05)
    assert RationalEnergy.for_task(task, spectrum="any").spectrum == "any"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (MatrixSpace(2, 3), MatrixSpace(2, 3)),
        (MatrixSpace(2, 2), MatrixSpace(3, 3)),
        (VectorSpace(4), VectorSpace(4)),
    ],
)
def test_other_spaces_are_refused(question, answer):
    with pytest.raises(SettingError, match="two MatrixSpaces of one shape, as high as wide"):
        RationalEnergy(question, answer)
