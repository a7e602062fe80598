"""Tasks on matrices: what all of them keep to, and completion, inverse, square and determinant."""

from functools import partial
from itertools import product

import pytest
import torch

from irem_core import MatrixSpace, NonFiniteError, Problem, SettingError, UnknownNameError
from irem_tasks.factorizations import LU, QR, Eigenvector, LinearSystem
from irem_tasks.matrices import Determinant, MatrixCompletion, MatrixInverse, Square

KINDS = {
    "completion": MatrixCompletion,
    "inverse": MatrixInverse,
    "paper-inverse": partial(MatrixInverse, variant="paper"),
    "square": Square,
    "determinant": Determinant,
    "lu": LU,
    "qr": QR,
    "eigenvector": Eigenvector,
    "linear-system": LinearSystem,
}
# Completion has no oracle; float32 does not fix linear systems as well, see test_factorizations.py.
EXACT = sorted(set(KINDS) - {"completion", "linear-system"})


def sample(task, difficulty="same", count=2000, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return task.sample(count, difficulty, generator=generator)


@pytest.mark.parametrize(
    ("name", "difficulty"),
    [*product(EXACT, ["same", "harder", "size=7"]), ("inverse", "ridge=0.02,scale=0.5")],
)
def test_the_oracle_and_the_classical_algorithm_agree_with_the_answers(name, difficulty):
    task = KINDS[name]()
    problem, y = sample(task, difficulty)

    problem.answer.check("y", y, rows=2000)
    assert y.dtype == torch.float32
    # Answers are those of x as rounded to float32, rounded in turn. The paper's inverses have
    # entries up to 10^5, where an iteration in double precision is right to 9 digits.
    scale = max(1.0, float(y.abs().max()))
    torch.testing.assert_close(task.oracle(problem), y, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(task.classical(problem), y, rtol=1e-6, atol=1e-6 * scale)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("size", [1, 2, 30])
def test_problems_of_another_size_know_their_answer_space(name, size):
    problem, y = sample(KINDS[name](), f"size={size}", count=5)
    own = KINDS[name](size=size)

    assert problem.answer == own.answer
    own.question.check("x", problem.x, rows=5)
    own.answer.check("y", y, rows=5)
    if name != "completion":
        torch.testing.assert_close(own.classical(problem), own.oracle(problem))


@pytest.mark.parametrize("name", KINDS)
def test_draws_come_from_the_generator_alone(name):
    task = KINDS[name](size=3)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, again, other = (sample(task, count=5, seed=seed) for seed in (0, 0, 1))

    assert torch.equal(first[0].x, again[0].x)
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0].x, other[0].x)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", KINDS)
def test_own_inputs_and_groups_are_one_an_entry(name):
    task = KINDS[name](size=4)
    problem, y = sample(task, count=3)
    inputs, groups = task.own_input(problem), task.group(problem, y)

    assert inputs is None or inputs.shape[:-1] == y.shape
    assert groups is None or groups.shape == y.shape


BAD = [
    (Square, "scale=0", SettingError, "scale got 0.0; expected above 0"),
    (Determinant, "scale=-1", SettingError, "scale got -1.0; expected above 0"),
    (MatrixInverse, "ridge=-0.1", SettingError, "ridge got -0.1; expected at least 0"),
    (MatrixInverse, "ridge=", SettingError, "ridge got ''"),
    (MatrixCompletion, "rank=0", SettingError, "rank got 0; expected a whole number of at least 1"),
    (MatrixCompletion, "rank=1.5", SettingError, "rank got '1.5'; expected a whole number"),
    (MatrixCompletion, "hidden=1.1", SettingError, "hidden got 1.1; expected from 0 to 1"),
    (MatrixCompletion, "noise=-1", SettingError, "noise got -1.0; expected at least 0"),
    (LU, "scale=nan", SettingError, "expected a finite number"),
    (QR, "nodes=3", UnknownNameError, "names the parameter 'nodes' of QR"),
    (Eigenvector, "gap=0", SettingError, "gap got 0.0; expected above 0"),
    (Eigenvector, "scale=1e30", SettingError, "entries overflow; give a smaller scale or gap"),
    (LinearSystem, "ridge=-1", SettingError, "ridge got -1.0; expected at least 0"),
    (LinearSystem, "hard", UnknownNameError, "Did you mean 'harder'"),
    # The products of such entries are 0 in float32.
    (MatrixInverse, "ridge=0,scale=1e-30", NonFiniteError, "The matrix of problem 0 is singular"),
    *((kind, "size=0", SettingError, "size got 0") for kind in (Square, LU, LinearSystem)),
]


@pytest.mark.parametrize(("kind", "text", "error", "message"), BAD)
def test_a_bad_difficulty_is_explained(kind, text, error, message):
    with pytest.raises(error, match=message):
        sample(kind(size=3), text, count=2)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("size", [0, -20, 1.5])
def test_matrices_without_entries_are_refused(name, size):
    with pytest.raises(SettingError, match="expected a whole number of at least 1"):
        KINDS[name](size=size)


def test_another_variant_of_the_inverse_is_refused():
    with pytest.raises(SettingError, match="variant='ours'; expected 'release' or 'paper'"):
        MatrixInverse(variant="ours")


SINGULAR = {
    "zeros": [[0.0, 0.0], [0.0, 0.0]],
    "equal-rows": [[1.0, 2.0], [1.0, 2.0]],
    # No pivot of this one is exactly 0 in floating point.
    "hidden": [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]],
}
SOLVED = list(product([MatrixInverse, LinearSystem], ["oracle", "classical"], SINGULAR))


@pytest.mark.parametrize(("kind", "method", "name"), SOLVED)
def test_a_singular_matrix_is_named(kind, method, name):
    singular = torch.tensor(SINGULAR[name], dtype=torch.float64)
    regular = torch.eye(len(singular), dtype=torch.float64) * 2
    x = torch.stack([regular, singular, regular, singular])
    if kind is LinearSystem:
        x = torch.cat([x.flatten(1), x[:, 0]], 1)

    with pytest.raises(NonFiniteError, match="matrix of problem 1 is singular to working prec"):
        getattr(kind(size=len(singular)), method)(Problem(x))


def moments(values):
    return float(values.mean()), float(values.double().var())


@pytest.mark.parametrize(
    ("difficulty", "variance"),
    # The variance of an entry is scale^2 rank + noise^2.
    [
        ("same", 10 / 400 + 0.01),
        ("harder", 10 / 25 + 0.01),
        ("scale=0.0484", 10 * 0.22**4 + 0.01),
        ("rank=3,noise=0.2,scale=0.5", 3 / 4 + 0.04),
        ("hidden=0.2", 0.035),
    ],
)
def test_matrices_to_complete_have_the_variance_of_their_factors(difficulty, variance):
    task = MatrixCompletion()
    problem, y = sample(task, difficulty)
    hidden = task.difficulty(difficulty).parameters.get("hidden", 0.5)
    shown = problem.x != 0

    # Entries of a matrix go together, so that standard errors are up to 0.5% of the variance.
    mean, found = moments(y)
    assert abs(mean) < 0.01 * variance**0.5
    assert found == pytest.approx(variance, rel=0.02)
    assert torch.equal(problem.x[shown], y[shown])
    # The standard error of the share is 0.0006, and that of an entry or a matrix 0.011 and 0.025.
    assert float(shown.double().mean()) == pytest.approx(1 - hidden, abs=0.003)
    assert (shown.double().mean(0) - 1 + hidden).abs().max() < 0.06
    assert (shown.double().mean((1, 2)) - 1 + hidden).abs().max() < 0.13


def test_matrices_to_complete_have_the_rank_of_their_factors():
    _, y = sample(MatrixCompletion(), "rank=3,noise=0", count=20)
    values = torch.linalg.svdvals(y)

    assert (values[:, 2] > 0.1).all()
    assert (values[:, 3:] < 1e-5).all()


def test_completion_has_no_oracle_and_says_why():
    problem, _ = sample(MatrixCompletion(), count=1)

    with pytest.raises(NotImplementedError, match="do not determine the hidden ones"):
        MatrixCompletion().oracle(problem)


@pytest.mark.parametrize(("difficulty", "most"), [("same", 0.96), ("harder", 0.84)])
def test_soft_impute_completes_better_than_copying(difficulty, most):
    problem, y = sample(MatrixCompletion(), difficulty, count=200)
    shown = problem.x != 0
    completed = MatrixCompletion().classical(problem)

    assert torch.equal(completed[shown], problem.x[shown])
    copying = (problem.x - y).square().mean()
    assert (completed - y).square().mean() < most * copying


@pytest.mark.parametrize("hidden", [0, 1])
def test_soft_impute_bears_matrices_without_hidden_or_without_shown_entries(hidden):
    problem, _ = sample(MatrixCompletion(), f"hidden={hidden}", count=3)

    assert torch.equal(MatrixCompletion().classical(problem), problem.x)


@pytest.mark.parametrize("difficulty", ["same", "harder"])
def test_soft_impute_ends_where_shrinking_the_singular_values_changes_nothing(difficulty):
    problem, _ = sample(MatrixCompletion(), difficulty, count=50)
    x = problem.x.double()
    completed = MatrixCompletion().classical(problem).double()
    left, values, right = torch.linalg.svd(completed)
    shrunk = (values - 0.3 * torch.linalg.matrix_norm(x, 2)[:, None]).clamp(min=0)

    filled = torch.where(x != 0, x, left * shrunk[:, None] @ right)
    torch.testing.assert_close(completed, filled, rtol=0, atol=5e-3 * float(x.std()))


@pytest.mark.parametrize(("difficulty", "ridge"), [("same", 0.5), ("harder", 0.1)])
def test_matrices_to_invert_are_twice_a_gram_matrix_and_a_ridge(difficulty, ridge):
    problem, y = sample(MatrixInverse(), difficulty)
    x = problem.x
    diagonal, others = x.diagonal(dim1=1, dim2=2), x[:, ~torch.eye(20, dtype=torch.bool)]

    # Sums of 20 products: 2 sum r^2 on the diagonal, 2 sum r s off it. Standard errors: 0.013 and
    # 0.2% for the diagonal, 0.003 and 0.3% for the others.
    mean, variance = moments(diagonal)
    assert mean == pytest.approx(2 * 20 / 3 + ridge, abs=0.05)
    assert variance == pytest.approx(4 * 20 * (1 / 5 - 1 / 9), rel=0.03)
    mean, variance = moments(others)
    assert abs(mean) < 0.02
    assert variance == pytest.approx(4 * 20 / 9, rel=0.02)
    assert torch.equal(x, x.mT)
    assert (torch.linalg.eigvalsh(x.double()) > ridge - 1e-5).all()
    identity = torch.eye(20, dtype=torch.float64).expand(2000, 20, 20)
    torch.testing.assert_close(x.double() @ y.double(), identity, rtol=0, atol=1e-4)


def test_the_papers_matrices_to_invert_are_a_symmetric_sum_and_a_ridge():
    x = sample(MatrixInverse(variant="paper"), "ridge=0.25")[0].x
    diagonal, others = x.diagonal(dim1=1, dim2=2), x[:, ~torch.eye(20, dtype=torch.bool)]

    # Standard errors: 0.006 and 0.5%, 0.001 and 0.2%.
    mean, variance = moments(diagonal)
    assert mean == pytest.approx(0.25, abs=0.02)
    assert variance == pytest.approx(4 / 3, rel=0.02)
    mean, variance = moments(others)
    assert abs(mean) < 0.005
    assert variance == pytest.approx(2 / 3, rel=0.01)
    assert torch.equal(x, x.mT)


@pytest.mark.parametrize(("difficulty", "scale"), [("same", 1.0), ("harder", 1.5)])
def test_squares_have_the_moments_of_sums_of_products(difficulty, scale):
    problem, y = sample(Square(), difficulty)
    y = 5 * y.double() / scale**2
    mean, variance = moments(problem.x / scale)
    assert abs(mean) < 0.004
    assert variance == pytest.approx(1 / 3, rel=0.01)

    # Standard errors: 0.007 and 0.8%, 0.002 and 0.3%.
    mean, variance = moments(y.diagonal(dim1=1, dim2=2))
    assert mean == pytest.approx(1 / 3, abs=0.03)
    assert variance == pytest.approx(4 / 45 + 19 / 9, rel=0.03)
    mean, variance = moments(y[:, ~torch.eye(20, dtype=torch.bool)])
    assert abs(mean) < 0.01
    assert variance == pytest.approx(20 / 9, rel=0.02)


@pytest.mark.parametrize(("difficulty", "scale"), [("same", 1.0), ("scale=2", 2.0)])
def test_determinants_of_small_matrices_have_mean_0_and_their_variance(difficulty, scale):
    problem, y = sample(Determinant(size=3), difficulty, count=20_000)

    assert 0 <= problem.x.min() < 0.001 * scale
    assert 0.999 * scale < problem.x.max() <= scale
    # E det^2 = n! s^n (1 + n m^2 / s) for entries of mean m and variance s; standard error 1%.
    mean, variance = moments(y / scale**3)
    assert abs(mean) < 0.06
    assert variance == pytest.approx(100 * 6 * (1 / 12) ** 3 * (1 + 3 * 3), rel=0.05)


def test_answers_are_worked_by_hand():
    x = Problem(torch.tensor([[[0.0, 2.0], [4.0, 6.0]]]))
    for method in ("oracle", "classical"):
        inverse, square, determinant = (
            getattr(kind(size=2), method)(x) for kind in (MatrixInverse, Square, Determinant)
        )
        torch.testing.assert_close(inverse, torch.tensor([[[-0.75, 0.25], [0.5, 0.0]]]))
        torch.testing.assert_close(square, torch.tensor([[[1.6, 2.4], [4.8, 8.8]]]))
        torch.testing.assert_close(determinant, torch.tensor([[-80.0]]))
    assert MatrixInverse(size=2).own_input(x)[0, 1, 0].tolist() == [4.0]


@pytest.mark.parametrize(("x", "determinant"), [([[0, 1], [0, 2]], 0), ([[1, 2], [2, 4]], 0)])
def test_the_determinant_of_a_singular_matrix_is_0(x, determinant):
    problem = Problem(torch.tensor([x], dtype=torch.float32))

    assert Determinant(size=2).oracle(problem).tolist() == [[determinant]]
    assert Determinant(size=2).classical(problem).tolist() == [[determinant]]


FLOORS = [
    # In closed form, but for the inverse: its floors were measured with NumPy, on other problems.
    ("completion", "same", 0.035, 0.0175),
    ("completion", "harder", 0.41, 0.205),
    ("inverse", "same", 0.0142, 0.0096),
    ("inverse", "harder", 0.2155, 0.18),
    ("square", "same", (0.95 * 20 / 9 + 0.05 * (4 / 45 + 19 / 9)) / 25, None),
]


@pytest.mark.parametrize(("name", "difficulty", "constant", "entrywise"), FLOORS)
def test_floors_are_those_of_the_distribution(name, difficulty, constant, entrywise):
    floor = KINDS[name]().floor(difficulty)

    assert floor.constant == pytest.approx(constant, rel=0.03)
    if entrywise is not None:
        assert floor.entrywise == pytest.approx(entrywise, rel=0.03)


def test_published_figures_are_those_of_the_paper_at_its_distribution_alone():
    figures = {
        (kind, f.method, f.difficulty): f.value
        for kind in (MatrixCompletion, MatrixInverse)
        for f in kind().published
    }

    assert figures[MatrixCompletion, "irem", "same"] == 0.0183
    assert figures[MatrixCompletion, "iterative-feedforward", "harder"] == 0.2102
    assert figures[MatrixInverse, "irem", "harder"] == 0.2083
    assert figures[MatrixInverse, "recurrent", "same"] == 0.0109
    assert len(figures) == 20
    assert MatrixInverse().question == MatrixSpace(20, 20)
    others = (MatrixCompletion(size=10), MatrixInverse(size=10), MatrixInverse(variant="paper"))
    assert all(task.published == () for task in others)


def test_inverses_are_scored_by_their_residual_too():
    task = MatrixInverse(size=3)
    problem, y = sample(task, "same")
    wrong = y + 0.1
    for answers in (y, wrong):
        expected = [
            ((x @ answer - torch.eye(3)) ** 2).sum() ** 0.5
            for x, answer in zip(problem.x, answers, strict=True)
        ]
        found = task.measures(problem, answers, y)["residual"]
        torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-5)
    assert task.measures(problem, y, y)["residual"].max() < 1e-4
