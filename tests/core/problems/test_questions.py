"""Whatever holds the numbers of a question, its answer is that to the tensor of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from irem_baselines import Feedforward
from irem_core import (
    IREM,
    ConvEnergy,
    GradientDescent,
    ImageSpace,
    IremError,
    MatrixSpace,
    MLPEnergy,
    NonFiniteError,
    PairsTask,
    ShapeError,
    Solver,
    VectorSpace,
    minimize,
    minimize_many,
    recipe,
    seeded,
)
from irem_core.testing.zoo import Quadratic

X = torch.tensor([[1.0, 2.0, -3.0], [0.0, 5.0, 7.0]])
HELD: dict[str, Callable[[torch.Tensor], Any]] = {
    "float32": lambda x: x.numpy(),
    "float64": lambda x: x.double().numpy(),
    "big-endian": lambda x: x.numpy().astype(">f8"),
    "half": lambda x: x.numpy().astype(np.float16),
    "integers": lambda x: x.numpy().astype(np.int32),
    "columns first": lambda x: np.asfortranarray(x.numpy()),
    "read-only": lambda x: np.broadcast_to(x.numpy(), x.shape),
    "lists": lambda x: x.tolist(),
    "arrays in a list": lambda x: list(x.numpy()),
    "tuples of integers": lambda x: tuple(tuple(map(int, row)) for row in x),
    "frame": lambda x: pd.DataFrame(x.numpy(), columns=["a", "b", "c"]),
    "double tensor": lambda x: x.double(),
    "whole tensor": lambda x: x.to(torch.int64),
}


def pairs_solver() -> Solver:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(40, 3)) * 3 + 2
    return recipe(PairsTask.of(x, x[:, :2] * 100), energy="mlp(width=8)").solver


@pytest.fixture(scope="module")
def solvers() -> dict[str, Solver]:
    spaces = (VectorSpace(3), VectorSpace(2))
    with seeded(0):
        return {
            "irem": IREM(MLPEnergy(*spaces, width=8, depth=1)),
            "pairs": pairs_solver(),
            "feedforward": Feedforward(*spaces, width=8),
        }


@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize("name", ["irem", "pairs", "feedforward"])
def test_numbers_however_held(name: str, held: str, solvers: dict[str, Solver]) -> None:
    solver, given = solvers[name], HELD[held](X)
    found = solver.solve(given, max_steps=3)
    wanted = solver.solve(X, max_steps=3)
    assert found.y.dtype == torch.float32
    torch.testing.assert_close(found.y, wanted.y, rtol=1e-5, atol=1e-5)
    (streamed,) = solver.solve_many([given], max_steps=3)
    (known,) = solver.solve_many([X], max_steps=3)
    torch.testing.assert_close(streamed.y, known.y, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["irem", "pairs", "feedforward"])
@pytest.mark.parametrize("row", [X[1], X[1].numpy(), X[1].tolist(), pd.Series(X[1].numpy())])
def test_one_row_is_a_batch_of_one(name: str, row: Any, solvers: dict[str, Solver]) -> None:
    found = solvers[name].solve(row, max_steps=3)
    assert found.y.shape == (1, 2)
    torch.testing.assert_close(found.y, solvers[name].solve(X[1:], max_steps=3).y)


def test_one_matrix_and_one_image_of_any_size() -> None:
    matrix, image = MatrixSpace(2, 3), ImageSpace(1, 4, 4)
    with seeded(0):
        by_matrix = IREM(MLPEnergy(matrix, matrix, width=4, depth=1))
        by_image = IREM(ConvEnergy(image, image, width=8))
    for solver, shape in ((by_matrix, (2, 3)), (by_image, (1, 4, 4)), (by_image, (1, 6, 5))):
        x = np.random.default_rng(0).random(shape)
        found = solver.solve(x, max_steps=1)
        assert found.y.shape == (1, *shape)
        torch.testing.assert_close(found.y, solver.solve(x[None], max_steps=1).y)


def test_numbers_are_questions_of_one_entry() -> None:
    with seeded(0):
        solver = IREM(MLPEnergy(VectorSpace(1), VectorSpace(1), width=4, depth=1))
    wanted = solver.solve(torch.tensor([[1.0], [2.0]]), max_steps=2).y
    for several in ([1, 2], np.array([1.0, 2.0]), torch.tensor([1, 2])):
        torch.testing.assert_close(solver.solve(several, max_steps=2).y, wanted)
    for one in (1, 1.0, np.float32(1), torch.tensor(1.0), [1]):
        torch.testing.assert_close(solver.solve(one, max_steps=2).y, wanted[:1])


def test_a_written_energy_gets_the_precision_that_it_is_given() -> None:
    given, descent = X.double().numpy(), GradientDescent(step_size=0.5)
    start = torch.zeros(2, 3, dtype=torch.float64)
    found = minimize(Quadratic(), given, start=start, descent=descent)
    assert found.y.dtype == torch.float64
    np.testing.assert_allclose(found.y, given, atol=1e-2)
    energy = MLPEnergy(VectorSpace(3), VectorSpace(2), width=4, depth=1).double()
    (many,) = minimize_many(energy, [X.tolist()], descent=descent, max_steps=1)
    assert many.y.dtype == torch.float64


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.array([["a", "b", "c"]]), "<U1 values; expected numbers"),
        (np.zeros((2, 3), complex), "complex128 values; expected numbers"),
        (torch.zeros(2, 3, dtype=torch.complex64), "torch.complex64; expected a floating-point"),
        (np.array([[None, 1, 2]]), "object values; expected numbers"),
        ([[1.0, 2.0], [3.0]], "rows differ in length"),
        (np.zeros((2, 4)), r"shape \(2, 4\)"),
        (np.zeros(4), r"shape \(4,\)"),
        ([[["a"]]], "expected numbers"),
        ([], "is a list"),
    ],
)
def test_what_holds_no_questions_is_told_in_a_sentence(
    given: Any, words: str, solvers: dict[str, Solver]
) -> None:
    for solver in solvers.values():
        with pytest.raises(ShapeError, match=words) as error:
            solver.solve(given)
        assert isinstance(error.value, IremError)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_arrays_must_be_finite_too(bad: float, solvers: dict[str, Solver]) -> None:
    for solver in solvers.values():
        with pytest.raises(NonFiniteError, match="x holds NaN or infinity, first in row 1"):
            solver.solve([[0.0] * 3, [0.0, bad, 0.0]])
