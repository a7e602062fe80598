"""Floors: what an answer without reasoning scores on a task's problems.

Such an answer is a polynomial in an entry's own inputs; that of degree 0 is a constant.
"""

from __future__ import annotations

from itertools import combinations_with_replacement
from math import comb
from typing import Self

import attrs
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from irem_core.problems.problem import Problem
from irem_core.tasks.difficulty import Difficulty
from irem_core.tasks.task import Floor, Task

_PROBLEMS = 8000
_DEGREE = 5
# Entries of one group that are fitted and scored at most: plenty for 21 coefficients.
_ENTRIES = 100_000


@attrs.frozen(eq=False, kw_only=True)
class Entries:
    """The entries of a batch of answers, and what an answer without reasoning knows of them.

    Args:
        answers: `(rows, ...)` the right answers.
        inputs: `(rows, ..., inputs)` each entry's own inputs, of which there may be none.
        groups: `(rows, ...)` which entries share one fitted function (`Task.group`).
    """

    answers: Float[Tensor, "rows *entries"]
    inputs: Float[Tensor, "rows *entries inputs"]
    groups: Int[Tensor, "rows *entries"]

    @classmethod
    def draw(
        cls,
        task: Task,
        difficulty: str | Difficulty = "train",
        *,
        generator: torch.Generator,
        problems: int = _PROBLEMS,
    ) -> Self:
        """Draw problems of a task and take the entries of their answers.

        Args:
            task: says what an entry's inputs and its group are.
            difficulty: of the problems.
            generator: lives where the entries will.
            problems: how many.
        """
        problem, answers = task.sample(
            problems, difficulty, generator=generator, device=generator.device
        )
        return cls.of(task, problem, answers)

    @classmethod
    def of(cls, task: Task, problem: Problem, answers: Tensor) -> Self:
        """Take the entries of a batch of answers `(rows, ...)`."""
        inputs, groups = task.own_input(problem), task.group(problem, answers)
        return cls(
            answers=answers,
            inputs=answers.new_empty(*answers.shape, 0) if inputs is None else inputs,
            groups=torch.zeros_like(answers, dtype=torch.int64) if groups is None else groups,
        )

    def group(self, number: int) -> tuple[Float[Tensor, "kept inputs"], Float[Tensor, " kept"]]:
        """Return inputs and answers of a group in double precision, of 100,000 entries at most."""
        chosen = self.groups == number
        return _thinned(self.inputs[chosen]), _thinned(self.answers[chosen])


def measure(task: Task, difficulty: Difficulty) -> Floor:
    """Fit the best constant and the best entrywise answer on training draws and score both.

    The entrywise answer is a polynomial in an entry's own inputs, of that degree up to 5 which
    scores best: a floor is meant to be hard to beat, and high degrees extrapolate badly. Entries
    that the task's `group` tells apart, such as the diagonal, are fitted apart.

    Args:
        task: the task, whose `own_input` says what an entry's inputs are.
        difficulty: what to score on; fitting is always on "train".

    Returns:
        Mean squared errors over the entries of 8,000 problems, of 100,000 entries at most.
    """
    generator = torch.Generator().manual_seed(0)
    train = Entries.draw(task, generator=generator)
    test = Entries.draw(task, difficulty, generator=generator)
    constant = _score(train, test, degree=0)
    if not train.inputs.shape[-1]:
        return Floor(constant=constant)
    return Floor(constant=constant, entrywise=_score(train, test, degree=_DEGREE))


def _score(train: Entries, test: Entries, degree: int) -> float:
    error = 0.0
    for group in test.groups.unique().tolist():
        fitted = fit_polynomials(*train.group(group), degree)
        best = squared_errors(fitted, *test.group(group)).mean(0).min()
        error += float(best) * float((test.groups == group).double().mean())
    return error


def monomials(
    inputs: Shaped[Tensor, "*entries inputs"], degree: int
) -> Shaped[Tensor, "*entries monomials"]:
    """Return the products of up to `degree` of an entry's inputs, those of lower degree first."""
    chosen = [
        factors
        for size in range(degree + 1)
        for factors in combinations_with_replacement(range(inputs.shape[-1]), size)
    ]
    return torch.stack([inputs[..., list(factors)].prod(-1) for factors in chosen], -1)


def fit_polynomials(
    inputs: Float[Tensor, "entries inputs"], answers: Float[Tensor, " entries"], degree: int
) -> Float[Tensor, "degrees monomials"]:
    """Fit the polynomial of each degree from 0 to `degree` by least squares.

    Returns:
        The coefficients of `monomials`, one row a degree; those of higher degree are 0.
    """
    basis = monomials(inputs, degree)
    fitted = basis.new_zeros(degree + 1, basis.shape[1])
    for highest, row in enumerate(fitted):
        count = comb(inputs.shape[1] + highest, highest)
        # By singular values, since inputs that are 0 or 1 make monomials that depend on each other.
        row[:count] = torch.linalg.lstsq(
            basis[:, :count], answers[:, None], driver="gelsd"
        ).solution[:, 0]
    return fitted


def squared_errors(
    fitted: Float[Tensor, "degrees monomials"],
    inputs: Float[Tensor, "entries inputs"],
    answers: Float[Tensor, " entries"],
) -> Float[Tensor, "entries degrees"]:
    """Return how far each polynomial of `fit_polynomials` is off at each entry, squared."""
    basis = monomials(inputs, fitted.shape[0] - 1)
    return (basis @ fitted.mT - answers[:, None]).square()


def _thinned(entries: Tensor) -> Tensor:
    """Keep the most entries allowed, evenly over all problems: those of one problem are alike.

    On the host, where least squares by singular values are.
    """
    return entries[:: -(-entries.shape[0] // _ENTRIES)].cpu().double()
