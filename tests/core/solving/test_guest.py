"""Solving as a guest in programs of others: their modes, types, transforms and tensors."""

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from operator import methodcaller

import pytest
import torch
from torch.utils.data import DataLoader

from irem_baselines import Classical
from irem_core import (
    IREM,
    BarzilaiBorwein,
    GradientDescent,
    Implicit,
    MLPEnergy,
    PairsTask,
    SettingError,
    ShapeError,
    VectorSpace,
    evaluate,
    fit,
    load_task,
    minimize,
    recipe,
    solver_for,
)
from irem_core.problems import trees
from irem_core.solving.streaming import starts_of
from irem_core.testing.zoo import Quadratic

STEP = GradientDescent(step_size=0.6)
X = torch.tensor([[0.3, -0.6], [1.2, 0.1], [-0.4, 0.9]])
SPACE = VectorSpace(2)


def answer(x=X, **options):
    return minimize(Quadratic(), x, start=torch.zeros_like(x), descent=STEP, **options).y


def solver(dtype=torch.float32):
    return IREM(MLPEnergy.for_task(load_task("add", size=2), width=4, depth=1)).to(dtype)


def test_inside_a_compiled_function_of_the_caller():
    compiled = torch.compile(lambda x: 2 * answer(x + 0), backend="eager")
    torch.testing.assert_close(compiled(X), 2 * answer())


@pytest.mark.parametrize("transform", [torch.func.vmap, torch.func.jacrev])
def test_transforms_are_refused_in_a_sentence(transform):
    with pytest.raises(SettingError, match="leads with problems"):
        transform(lambda x: answer(x[None]))(X)


def test_inside_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        inside = answer()
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, answer())


def test_with_deterministic_algorithms():
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.equal(answer(), answer())
    finally:
        torch.use_deterministic_algorithms(False)


# An energy each: of vectors, matrices, graphs, problems made of parts, and pairs.
@pytest.mark.parametrize(
    "name",
    [
        *("add", "sort", "parity", "matrix-completion", "square", "connected-components"),
        *("sudoku(size=4)", "pairs"),
    ],
)
def test_under_float64_by_default(name):
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        pairs = torch.rand(20, 3), torch.rand(20, 2)
        task = PairsTask.of(*pairs) if name == "pairs" else load_task(name)
        made = recipe(task)
        fit(made.solver, task, **{**made.training, "iterations": 1, "batch_size": 2})
        assert all(weight.dtype == torch.float64 for weight in made.solver.parameters())
        problem, target = task.sample(2, generator=torch.Generator().manual_seed(0))
        assert target.dtype == torch.float64
        assert made.solver.solve(problem, max_steps=2).y.dtype == torch.float64
    finally:
        torch.set_default_dtype(before)


def test_views_are_questions_like_others_and_stay_as_they_were():
    strided = torch.stack([X, X + 1], -1)[..., 0]
    expanded = X[:1].expand(3, 2)
    wanted = X.clone().requires_grad_()
    assert torch.equal(answer(strided), answer())
    assert torch.equal(answer(expanded), answer(X[:1].repeat(3, 1)))
    assert torch.equal(answer(wanted), answer())
    assert wanted.grad is None
    assert not answer(wanted).requires_grad
    assert torch.equal(strided, X)


def test_starts_that_are_no_numbers_to_descend_from():
    with pytest.raises(ShapeError, match=r"torch.int64; expected floating-point"):
        minimize(Quadratic(), X, start=torch.zeros(3, 2, dtype=torch.int64), descent=STEP)


def test_restarts_need_no_space_where_a_start_is_given():
    solution = minimize(
        Quadratic(), X, start=torch.full_like(X, 5.0), descent=BarzilaiBorwein(), restarts=2
    )
    torch.testing.assert_close(solution.y, X)


def test_inference_tensors_of_the_caller():
    with torch.inference_mode():
        x = X.clone()
        inside = answer(x)
    torch.testing.assert_close(inside, answer())
    torch.testing.assert_close(answer(x, differentiable=Implicit()), answer())


class Counting(Quadratic):
    """Says how many problems it was asked about."""

    def energy(self, context, y):
        assert len(y), "an energy was asked about no problems"
        return super().energy(context, y)


def test_no_problems_have_an_empty_solution_that_asks_nothing_of_the_energy():
    seen = []
    x = torch.zeros(0, 2, requires_grad=True)
    solution = minimize(
        Counting(),
        x,
        start=torch.zeros(0, 2),
        descent=STEP,
        restarts=1,
        record="energy",
        observer=lambda step, problems, evaluation: seen.append(problems.tolist()),
        differentiable=Implicit(),
    )
    solution.check().y.sum().backward()
    assert seen == [[]]
    assert solution.y.shape == (0, 2)
    sizes = (solution.energy, solution.steps, solution.products, solution.trace.energy)
    assert [tuple(each.shape) for each in sizes] == [(0,)] * 4


@pytest.mark.parametrize("name", ["add", "connected-components", "sat"])
@pytest.mark.parametrize("kind", [None, Classical])
def test_batches_of_none_and_of_one(name, kind):
    task = load_task(name)
    solver = kind.for_task(task) if kind else solver_for(task) or recipe(task).solver
    problem, _ = task.sample(2, generator=torch.Generator().manual_seed(0))
    parts = [
        trees.select(problem, problem.layout, torch.tensor(chosen, dtype=torch.int64))
        for chosen in ([], [0, 1], [], [1], [])
    ]
    found = list(solver.solve_many(parts, max_steps=3))
    assert [len(each.outcome) for each in found] == [0, 2, 0, 1, 0]
    assert found[0].y.shape == (0, *(problem.answer or task.answer).shape)
    alone = solver.solve(parts[3], max_steps=3, generator=starts_of(3, 0, torch.device("cpu")))
    torch.testing.assert_close(found[3].y, alone.y)
    assert solver.solve(parts[0]).y.shape == found[0].y.shape
    assert evaluate(solver, task, problems=1, max_steps=3).problems == 1


def test_copies_and_pickles_of_solvers_solve_alike():
    made, x = solver(), torch.rand(2, 4)
    for twin in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert torch.equal(twin.solve(x, max_steps=3).y, made.solve(x, max_steps=3).y)


@pytest.mark.parametrize("way", ["spawn", "fork"])
def test_in_other_processes(way):
    made, x = solver(), torch.rand(2, 4)
    solve = methodcaller("solve", x, max_steps=3)
    # A pool of this kind says so where its process dies; multiprocessing's own would wait for ever.
    # Threads of a forked process would wait for those of its parent.
    context = multiprocessing.get_context(way)
    one = {"initializer": torch.set_num_threads, "initargs": (1,)}
    with ProcessPoolExecutor(1, mp_context=context, **one) as pool:
        found = pool.submit(solve, made).result()
    torch.testing.assert_close(found.y, solve(made).y)


class Solving(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, place):
        torch.set_num_threads(1)
        return answer(X[place : place + 1])[0]


def test_in_forked_data_loaders():
    (batch,) = DataLoader(Solving(), batch_size=2, num_workers=1, multiprocessing_context="fork")
    torch.testing.assert_close(batch, answer()[:2])
