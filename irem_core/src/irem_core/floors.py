"""Floors: what an answer without reasoning scores on a task's problems."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement

import torch
from jaxtyping import Float
from torch import Tensor

from irem_core.difficulty import Difficulty
from irem_core.task import Floor, Task

_PROBLEMS = 2000
_DEGREE = 5
# Entries of one group that are fitted and scored at most: plenty for 21 coefficients.
_ENTRIES = 100_000


def measure(task: Task, difficulty: Difficulty) -> Floor:
    """Fit the best constant and the best entrywise answer on training draws and score both.

    The entrywise answer is a polynomial in an entry's own inputs, of that degree up to 5 which
    scores best: a floor is meant to be hard to beat, and high degrees extrapolate badly. Entries
    that the task's `group` tells apart, such as the diagonal, are fitted apart.

    Args:
        task: the task, whose `own_input` says what an entry's inputs are.
        difficulty: what to score on; fitting is always on "train".

    Returns:
        Mean squared errors over the entries of 2,000 problems, of 100,000 entries at most.
    """
    generator = torch.Generator().manual_seed(0)
    train, fitted = task.sample(_PROBLEMS, "train", generator=generator)
    test, wanted = task.sample(_PROBLEMS, difficulty, generator=generator)
    groups, groups_test = task.group(train, fitted), task.group(test, wanted)
    constant = _score(None, fitted, groups, None, wanted, groups_test)
    inputs, inputs_test = task.own_input(train), task.own_input(test)
    if inputs is None or inputs_test is None:
        return Floor(constant=constant)
    entrywise = _score(inputs, fitted, groups, inputs_test, wanted, groups_test)
    return Floor(constant=constant, entrywise=entrywise)


def _score(
    inputs: Tensor | None,
    fitted: Tensor,
    groups: Tensor | None,
    inputs_test: Tensor | None,
    wanted: Tensor,
    groups_test: Tensor | None,
) -> float:
    groups = torch.zeros_like(fitted, dtype=torch.int64) if groups is None else groups
    groups_test = (
        torch.zeros_like(wanted, dtype=torch.int64) if groups_test is None else groups_test
    )
    error = 0.0
    for group in groups_test.unique():
        on_train, on_test = groups == group, groups_test == group
        answers = _thinned(fitted[on_train])[:, None]
        scored = _thinned(wanted[on_test])[:, None]
        degrees = zip(_features(inputs, on_train), _features(inputs_test, on_test), strict=True)
        best = min(
            float((features @ _fit(basis, answers) - scored).square().mean())
            for basis, features in degrees
        )
        error += best * float(on_test.double().mean())
    return error


def _fit(basis: Tensor, answers: Tensor) -> Tensor:
    # By singular values, since inputs that are 0 or 1 make monomials that depend on each other.
    solution: Tensor = torch.linalg.lstsq(basis, answers, driver="gelsd").solution
    return solution


def _thinned(entries: Tensor) -> Tensor:
    """Keep the most entries allowed, evenly over all problems: those of one problem are alike."""
    return entries[:: -(-entries.shape[0] // _ENTRIES)].double()


def _features(
    inputs: Tensor | None, chosen: Tensor
) -> Iterator[Float[Tensor, "entries monomials"]]:
    """Yield the monomials up to each degree, from 0 on."""
    own = _thinned(chosen[chosen] if inputs is None else inputs[chosen])
    features = torch.ones(own.shape[0], 1, dtype=torch.float64, device=chosen.device)
    yield features
    if inputs is None:
        return
    for degree in range(1, _DEGREE + 1):
        monomials = [
            own[:, list(factors)].prod(1, keepdim=True)
            for factors in combinations_with_replacement(range(own.shape[1]), degree)
        ]
        features = torch.cat([features, *monomials], 1)
        yield features
