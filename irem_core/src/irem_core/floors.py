"""Floors: what an answer without reasoning scores on a task's problems."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement

import torch
from jaxtyping import Float
from torch import Tensor

from irem_core.task import Difficulty, Floor, Task

_PROBLEMS = 2000
_DEGREE = 5
# Entries of one group that are fitted and scored at most: plenty for 21 coefficients.
_ENTRIES = 100_000


def measure(task: Task, difficulty: Difficulty) -> Floor:
    """Fit the best constant and the best entrywise answer on training draws and score both.

    The entrywise answer is a polynomial in an entry's own inputs, of that degree up to 5 which
    scores best: a floor is meant to be hard to beat, and high degrees extrapolate badly. Matrices
    get a constant and a polynomial of their own on the diagonal.

    Args:
        task: the task, whose `own_input` says what an entry's inputs are.
        difficulty: what to score on; fitting is always on "train".

    Returns:
        Mean squared errors over the entries of 2,000 problems, of 100,000 entries at most.
    """
    generator = torch.Generator().manual_seed(0)
    train, fitted = task.sample(_PROBLEMS, "train", generator=generator)
    test, wanted = task.sample(_PROBLEMS, difficulty, generator=generator)
    constant = _score(None, fitted, None, wanted)
    inputs, inputs_test = task.own_input(train), task.own_input(test)
    if inputs is None or inputs_test is None:
        return Floor(constant=constant)
    return Floor(constant=constant, entrywise=_score(inputs, fitted, inputs_test, wanted))


def _score(
    inputs: Tensor | None, fitted: Tensor, inputs_test: Tensor | None, wanted: Tensor
) -> float:
    error = 0.0
    for on_train, on_test in zip(_groups(fitted), _groups(wanted), strict=True):
        answers = fitted[on_train][:_ENTRIES].double()[:, None]
        scored = wanted[on_test][:_ENTRIES].double()[:, None]
        degrees = zip(_features(inputs, on_train), _features(inputs_test, on_test), strict=True)
        best = min(
            float((features @ torch.linalg.lstsq(basis, answers).solution - scored).square().mean())
            for basis, features in degrees
        )
        error += best * float(on_test.double().mean())
    return error


def _groups(answers: Tensor) -> list[Tensor]:
    """Masks of the entries that share one fitted function: the diagonal of a square is apart."""
    everything = torch.ones_like(answers, dtype=torch.bool)
    if answers.ndim != 3 or answers.shape[1] != answers.shape[2]:
        return [everything]
    diagonal = torch.eye(answers.shape[1], dtype=torch.bool).expand_as(answers)
    return [everything & diagonal, everything & ~diagonal]


def _features(
    inputs: Tensor | None, chosen: Tensor
) -> Iterator[Float[Tensor, "entries monomials"]]:
    """Yield the monomials up to each degree, from 0 where there are no inputs, else from 1."""
    count = min(int(chosen.sum()), _ENTRIES)
    features = torch.ones(count, 1, dtype=torch.float64, device=chosen.device)
    if inputs is None:
        yield features
        return
    own = inputs[chosen][:_ENTRIES].double()
    for degree in range(1, _DEGREE + 1):
        monomials = [
            own[:, list(factors)].prod(1, keepdim=True)
            for factors in combinations_with_replacement(range(own.shape[1]), degree)
        ]
        features = torch.cat([features, *monomials], 1)
        yield features
