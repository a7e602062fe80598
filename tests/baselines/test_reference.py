"""Reference solvers: the best constant, the best function of an own input, and the textbook."""

import pytest
import torch

from irem_baselines import Classical, Constant, Entrywise, compose
from irem_core import (
    Between,
    EdgeSpace,
    MatrixSpace,
    Problem,
    SettingError,
    ShapeError,
    Task,
    VectorSpace,
    evaluate,
    fit,
    graphs,
    load,
    load_task,
)


class Diagonal(Task):
    """Matrices from U(0, 1), and y = x squared, with 5 added on the diagonal."""

    def __init__(self):
        self.question = self.answer = MatrixSpace(3, 3)

    def draw(self, count, generator, device, *, size: int = 3, scale: float = 1.0):
        x = scale * torch.rand(count, size, size, generator=generator)
        y = x.square() + 5 * torch.eye(size)
        return Problem(x, MatrixSpace(size, size)), y

    def own_input(self, problem):
        return problem.x[..., None]


class Cubes(Task):
    """Complete graphs with values from U(-1, 1), and y = the cube of an edge's value."""

    def __init__(self):
        self.question = self.answer = EdgeSpace()

    def draw(
        self,
        count,
        generator,
        device,
        *,
        nodes: int | Between[int] = Between(2, 5),  # noqa: B008 (frozen)
    ):
        sizes = Between.of(nodes).draw(count, generator, device)
        values = 2 * torch.rand(int(sizes.square().sum()), 1, generator=generator) - 1
        return Problem(graphs.complete(sizes, values), self.answer), values**3

    def own_input(self, problem):
        return problem.x.edge_attr[:, :, None]


class Unknown(Task):
    """A task that says nothing about itself."""

    def __init__(self):
        self.question = self.answer = VectorSpace(2)

    def draw(self, count, generator, device, *, offset: float = 1.0):
        x = torch.rand(count, 2, generator=generator)
        return x, torch.full_like(x, offset)


def fitted(kind, task, seed=0, **options):
    solver = kind.for_task(task)
    fit(solver, task, seed=seed, **options)
    return solver


def sample(task, difficulty="train", count=4):
    return task.sample(count, difficulty, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("size", [1, 3, 6])
def test_constants_are_means_of_training_answers_with_the_diagonal_apart(size):
    task = Diagonal()
    y = fitted(Constant, task).solve(sample(task, f"size={size}")[0]).y

    # The mean of a squared U(0, 1) is 1/3; that of 6,000 or more of them is off by 0.004.
    torch.testing.assert_close(
        y, (1 / 3 + 5 * torch.eye(size)).expand(4, size, size), rtol=0, atol=0.02
    )
    assert len(y.unique()) == (1 if size == 1 else 2)


@pytest.mark.parametrize(
    ("task", "difficulty"),
    [
        (Diagonal(), "scale=3"),
        (Diagonal(), "size=7"),
        (Cubes(), "nodes=9"),
        (load_task("add(size=5)"), "harder"),
    ],
)
def test_entrywise_is_exact_where_an_entrys_own_input_decides(task, difficulty):
    problem, y = sample(task, difficulty)
    solution = fitted(Entrywise, task).solve(problem)

    torch.testing.assert_close(solution.y, y, rtol=1e-5, atol=1e-5)
    assert solution.energy is None
    assert solution.steps.tolist() == [1] * 4


def test_the_lowest_degree_that_does_is_chosen():
    solver = fitted(Entrywise, Diagonal())

    # Of 1, x, x^2, ... the first three do: higher degrees only chase rounding.
    assert torch.equal(solver.coefficients[:, 3:], torch.zeros(2, 3))
    torch.testing.assert_close(
        solver.coefficients[:, :3],
        torch.tensor([[0.0, 0.0, 1.0], [5.0, 0.0, 1.0]]),
        rtol=0,
        atol=1e-5,
    )


@pytest.mark.parametrize("seed", range(4))
def test_higher_degrees_do_not_chase_chance(seed):
    solver = fitted(Entrywise, load_task("matrix_completion(size=3)"), seed=seed)

    # What is hidden is not in an entry's own input, so nothing is better than copying that.
    assert torch.equal(solver.coefficients[:, 2:], torch.zeros(2, 4))
    torch.testing.assert_close(
        solver.coefficients[:, :2], torch.tensor([[0.0, 1.0]]).expand(2, 2), rtol=0, atol=0.02
    )


def test_fitting_is_on_the_training_distribution_and_from_the_seed():
    task = Diagonal()
    first, again, other = (fitted(Constant, task, seed=seed) for seed in (1, 1, 2))

    # y is 16 u^2 for u from U(0, 1), of mean 16/3 and variance 256 * 4/45, where 1/3 is answered.
    error = evaluate(first, task, difficulty="scale=4", problems=1000).mse
    assert error == pytest.approx(5**2 + 256 * 4 / 45, rel=0.05)
    assert torch.equal(first.coefficients, again.coefficients)
    assert not torch.equal(first.coefficients, other.coefficients)


@pytest.mark.parametrize(
    ("name", "kind", "column"),
    [
        ("matrix_inverse(size=4)", Constant, "constant"),
        ("matrix_inverse(size=4)", Entrywise, "entrywise"),
        ("connected_components()", Entrywise, "entrywise"),
    ],
)
def test_errors_are_those_of_the_floors(name, kind, column):
    task = load_task(name)
    score = evaluate(fitted(kind, task), task, difficulty="same", problems=2000).mse

    # Two samples of 2,000 problems; the floor's polynomial is the best of its test problems.
    assert score == pytest.approx(getattr(task.floor("same"), column), rel=0.08)


def test_textbook_answers_are_the_tasks_own():
    task = load_task("matrix_inverse(size=4)")
    problem, y = sample(task)

    torch.testing.assert_close(Classical.for_task(task).solve(problem).y, y, rtol=1e-4, atol=1e-4)
    ragged = load_task("shortest_path()")
    assert evaluate(Classical.for_task(ragged), ragged, problems=20).mse < 1e-10


@pytest.mark.parametrize("kind", [Classical, Constant, Entrywise])
def test_a_run_is_written_resumed_and_loaded(kind, tmp_path):
    task = load_task("add(size=3)")
    solver = fitted(kind, task, out=tmp_path, iterations=500)
    problem, _ = sample(task)
    saved = load(tmp_path)

    assert type(saved) is kind
    assert torch.equal(saved.solve(problem).y, solver.solve(problem).y)
    progress = fit(kind.for_task(task), task, out=tmp_path, resume=True)
    assert progress.iteration == 1
    assert [record["iteration"] for record in progress.records] == [1]
    assert progress.records[0]["loss"] == pytest.approx({Constant: 2 / 3}.get(kind, 0), abs=0.1)
    again = progress.solver.solve(problem).y
    assert torch.equal(again, solver.solve(problem).y)


@pytest.mark.parametrize("kind", [Classical, Entrywise])
def test_composed_addition_is_exact(kind):
    task = load_task("add(size=3)")
    given = list(torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(0)))

    torch.testing.assert_close(compose(fitted(kind, task), 5).solve(given).y, sum(given))


def test_what_a_task_does_not_know_is_said():
    with pytest.raises(SettingError, match="Unknown's answers have no inputs of their own"):
        Entrywise.for_task(Unknown())
    with pytest.raises(SettingError, match="Unknown names no textbook algorithm"):
        Classical.for_task(Unknown())
    assert torch.equal(fitted(Constant, Unknown()).solve(torch.rand(3, 2)).y, torch.ones(3, 2))


def test_entries_of_groups_that_training_lacks_are_refused():
    task = load_task("lu(size=1)")
    problem, _ = sample(task, "size=4")

    with pytest.raises(ShapeError, match=r"fitted to 5 groups of entries .* have 6"):
        fitted(Constant, task).solve(problem)
