"""Factorisations, the leading eigenvector and linear systems."""

import pytest
import torch

from irem_core import Problem, ShapeError
from irem_tasks.factorizations import LU, QR, Eigenvector, LinearSystem

FACTORED = [("same", 1.0), ("harder", 2.5), ("scale=0.1", 0.1)]


def sample(task, difficulty="same", count=2000, seed=0):
    generator = torch.Generator().manual_seed(seed)
    problem, y = task.sample(count, difficulty, generator=generator)
    return problem, y.double()


@pytest.mark.parametrize("kind", [LU, QR])
@pytest.mark.parametrize(("difficulty", "scale"), FACTORED)
def test_matrices_to_factorise_are_uniform(kind, difficulty, scale):
    x = sample(kind(), difficulty)[0].x / scale

    # Standard errors from 800,000 draws: 0.0006 and 0.0003.
    assert abs(x.mean()) < 0.003
    assert abs(x.square().mean() - 1 / 3) < 0.0015
    assert abs(x.pow(4).mean() - 1 / 5) < 0.0015
    assert 0.999 < x.abs().max() <= 1


@pytest.mark.parametrize(("difficulty", "scale"), FACTORED)
def test_l_and_u_multiply_to_the_matrix_with_its_rows_in_another_order(difficulty, scale):
    problem, y = sample(LU(), difficulty, count=200)
    lower, upper = y.chunk(2, 1)
    x = problem.x.double()
    order = torch.cdist(lower @ upper, x).argmin(2)

    assert torch.equal(lower.triu(), torch.eye(20, dtype=torch.float64).expand_as(lower))
    assert torch.equal(upper.tril(-1), torch.zeros_like(upper))
    # Partial pivoting divides by the largest entry.
    assert lower.abs().max() == 1
    assert torch.equal(order.sort(1).values, torch.arange(20).expand(200, 20))
    permuted = x.gather(1, order[..., None].expand_as(x))
    torch.testing.assert_close(lower @ upper, permuted, rtol=0, atol=2e-6 * scale)


@pytest.mark.parametrize(("difficulty", "scale"), FACTORED)
def test_q_is_orthogonal_and_r_triangular_with_the_signs_of_reflections(difficulty, scale):
    problem, y = sample(QR(), difficulty)
    left, right = y.chunk(2, 1)
    identity = torch.eye(20, dtype=torch.float64).expand_as(left)

    torch.testing.assert_close(left.mT @ left, identity, rtol=0, atol=1e-6)
    assert torch.equal(right.tril(-1), torch.zeros_like(right))
    torch.testing.assert_close(left @ right, problem.x.double(), rtol=0, atol=2e-6 * scale)
    # The first column is reflected to a multiple of the first unit vector, away from its sign.
    assert torch.equal(right[:, 0, 0].sign(), -problem.x[:, 0, 0].double().sign())
    lengths = torch.linalg.vector_norm(problem.x.double(), dim=1)[:, 0]
    torch.testing.assert_close(right[:, 0, 0].abs(), lengths, rtol=1e-6, atol=0)
    # 19 reflections have the determinant -1.
    assert torch.linalg.det(left).mean() == pytest.approx(-1, abs=1e-6)


SPECIAL = {
    "identity": [[1.0, 0, 0], [0, 1, 0], [0, 0, 1]],
    "negative": [[-1.0, 0, 0], [0, -1, 0], [0, 0, -1]],
    "zeros": [[0.0, 0, 0], [0, 0, 0], [0, 0, 0]],
    "triangular": [[1.0, 2, 3], [0, -4, 5], [0, 0, 6]],
    "permutation": [[0.0, 1, 0], [0, 0, 1], [1, 0, 0]],
    "singular": [[0.0, 1, 2], [0, 2, 5], [0, 3, 6]],
    "general": [[2.0, 1, 1], [4, 3, 3], [8, 7, 9]],
}


@pytest.mark.parametrize("kind", [LU, QR])
@pytest.mark.parametrize("name", SPECIAL)
def test_special_matrices_are_factorised_as_lapack_does(kind, name):
    problem = Problem(torch.tensor([SPECIAL[name]]))
    task = kind(size=3)

    torch.testing.assert_close(task.classical(problem), task.oracle(problem), rtol=0, atol=1e-6)


def test_factors_are_worked_by_hand():
    # Rows are taken in the order 8 7 9, 2 1 1, 4 3 3, by their pivots 8, 3/4 and then 2/3.
    problem = Problem(torch.tensor([SPECIAL["general"]]))
    lower = [[1, 0, 0], [1 / 4, 1, 0], [1 / 2, 2 / 3, 1]]
    upper = [[8, 7, 9], [0, -3 / 4, -5 / 4], [0, 0, -2 / 3]]
    torch.testing.assert_close(LU(size=3).oracle(problem), torch.tensor([lower + upper]))

    # The column (3, 4) has length 5 and becomes (-5, 0).
    problem = Problem(torch.tensor([[[3.0, 1.0], [4.0, 2.0]]]))
    left, right = [[-0.6, -0.8], [-0.8, 0.6]], [[-5.0, -2.2], [0.0, 0.4]]
    torch.testing.assert_close(QR(size=2).oracle(problem), torch.tensor([left + right]))


def test_floors_know_which_entries_of_the_factors_never_change():
    groups = LU(size=2).group(*sample(LU(size=2), count=1))
    assert groups[0].tolist() == [[1, 2], [0, 1], [4, 5], [3, 4]]
    groups = QR(size=2).group(*sample(QR(size=2), count=1))
    assert groups[0].tolist() == [[3, 3], [3, 3], [1, 2], [0, 1]]
    # A matrix of one entry: L = 1 and Q = 1 are certain, U = R = x is not.
    for kind in (LU, QR):
        assert kind(size=1).floor().constant == pytest.approx(1 / 3 / 2, rel=0.05)
        assert kind(size=1).floor().entrywise == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("difficulty", ["same", "harder", "gap=0.5,scale=3"])
def test_eigenvectors_are_of_length_one_and_lead(difficulty):
    problem, y = sample(Eigenvector(), difficulty)
    x = problem.x.double()
    image = (x @ y[..., None])[..., 0]
    value = (image * y).sum(1)

    torch.testing.assert_close(torch.linalg.vector_norm(y, dim=1), value.new_ones(2000))
    assert (y[:, 0] >= 0).all()
    # Rounding y to float32 moves its image by some 1e-7 of the eigenvalue.
    torch.testing.assert_close(image / value[:, None], y, rtol=0, atol=1e-6)
    torch.testing.assert_close(value, torch.linalg.matrix_norm(x, 2), rtol=1e-6, atol=0)


def test_the_first_entry_is_positive_and_the_others_have_either_sign():
    y = sample(Eigenvector())[1]

    # The entries of a unit vector have mean square 1/20; standard errors are below 0.005.
    assert (y.square().mean(0) - 1 / 20).abs().max() < 0.02
    assert (y.mean(0)[1:]).abs().max() < 0.03
    assert y[:, 0].mean() > 0.15


def test_matrices_of_eigenvectors_are_gram_matrices_of_symmetric_ones():
    x = sample(Eigenvector())[0].x.double()

    torch.testing.assert_close(x, x.mT, rtol=1e-6, atol=1e-6)
    assert (torch.linalg.eigvalsh(x) > -1e-5).all()
    # E tr S S' is 380 entries of variance 1/6 and 20 of 1/3; its standard error is 0.08.
    trace = x.diagonal(dim1=1, dim2=2).sum(1)
    assert trace.mean() == pytest.approx(380 / 6 + 20 / 3, abs=0.4)


def test_harder_eigenvectors_have_a_quarter_of_the_gap_and_are_the_same():
    problem, y = sample(Eigenvector())
    harder, y_harder = sample(Eigenvector(), "harder")
    gaps = [
        torch.linalg.eigvalsh(each.x.double())[:, -2:].diff(dim=1) for each in (problem, harder)
    ]

    torch.testing.assert_close(gaps[1], gaps[0] / 4, rtol=1e-4, atol=1e-5)
    # Close eigenvalues magnify the rounding of x.
    apart = gaps[0].squeeze(1) > 0.1
    torch.testing.assert_close(y_harder[apart], y[apart], rtol=0, atol=1e-4)


def test_an_eigenvector_is_worked_by_hand():
    problem = Problem(torch.tensor([[[2.0, -1.0], [-1.0, 2.0]]]))
    expected = torch.tensor([[0.5**0.5, -(0.5**0.5)]])

    torch.testing.assert_close(Eigenvector(size=2).oracle(problem), expected)
    torch.testing.assert_close(Eigenvector(size=2).classical(problem), expected)
    assert Eigenvector(size=2).own_input(problem).tolist() == [[[2.0], [-1.0]]]


def system_of(x):
    return x[:, :400].reshape(-1, 20, 20).double(), x[:, 400:].double()


@pytest.mark.parametrize("method", ["oracle", "classical"])
@pytest.mark.parametrize("difficulty", ["same", "harder", "ridge=0.5"])
def test_solutions_are_as_near_as_the_condition_of_the_system_allows(method, difficulty):
    problem, y = sample(LinearSystem(), difficulty)
    matrix, product = system_of(problem.x)
    solution = getattr(LinearSystem(), method)(problem).double()

    # Float32 rounds the product by at most 2^-24 of its length, and then the solution.
    unit = 2.0**-24
    allowed = unit * (1 + torch.linalg.cond(matrix)) * torch.linalg.vector_norm(y, dim=1)
    away = torch.linalg.vector_norm(solution - y, dim=1)
    assert (away <= 1.1 * allowed).all()
    assert away.median() < 2e-4
    torch.testing.assert_close((matrix @ y[..., None])[..., 0], product, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(("difficulty", "scale"), [("same", 1), ("harder", 2.5)])
def test_systems_are_squares_of_symmetric_matrices_and_solutions_uniform(difficulty, scale):
    problem, y = sample(LinearSystem(), difficulty)
    matrix, _ = system_of(problem.x)

    # E tr B B' is 380 entries of variance 2/3 and 20 of 4/3; its standard error is 0.33.
    trace = matrix.diagonal(dim1=1, dim2=2).sum(1)
    assert trace.mean() == pytest.approx(380 * 2 / 3 + 20 * 4 / 3, abs=1.5)
    torch.testing.assert_close(matrix, matrix.mT, rtol=1e-6, atol=1e-6)
    # Standard errors from 40,000 draws: 0.003 and 0.0015.
    assert abs(y.mean() / scale) < 0.012
    assert abs(y.square().mean() / scale**2 - 1 / 3) < 0.006
    assert 0.999 < y.abs().max() / scale <= 1


def test_a_ridge_bounds_the_eigenvalues_of_a_system():
    matrix, _ = system_of(sample(LinearSystem(), "ridge=0.5")[0].x)

    assert (torch.linalg.eigvalsh(matrix) > 0.5 - 1e-4).all()


def test_a_system_is_worked_by_hand():
    # 0 v + 2 w = 4 and 1 v + 1 w = 5.
    problem = Problem(torch.tensor([[0.0, 2.0, 1.0, 1.0, 4.0, 5.0]]))

    assert LinearSystem(size=2).oracle(problem).tolist() == [[3.0, 2.0]]
    assert LinearSystem(size=2).classical(problem).tolist() == [[3.0, 2.0]]
    assert LinearSystem(size=2).own_input(problem).tolist() == [[[0.0, 4.0], [1.0, 5.0]]]


@pytest.mark.parametrize("method", ["oracle", "classical"])
@pytest.mark.parametrize("numbers", [1, 5, 421])
def test_numbers_that_make_no_system_are_refused(method, numbers):
    with pytest.raises(ShapeError, match=f"x holds {numbers} numbers a problem; expected size"):
        getattr(LinearSystem(), method)(Problem(torch.ones(2, numbers)))


@pytest.mark.parametrize(("difficulty", "scale"), [("same", 1), ("harder", 2.5)])
def test_floors_of_systems_are_the_variance_of_their_solutions(difficulty, scale):
    floor = LinearSystem().floor(difficulty)

    assert floor.constant == pytest.approx(scale**2 / 3, rel=0.03)
    # A row's own right side and diagonal tell something of its unknown.
    assert floor.entrywise < 0.6 * floor.constant
