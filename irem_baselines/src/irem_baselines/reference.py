"""Reference solvers: two that reason about nothing, and the textbook algorithm.

`fit` sets their weights in closed form, from training problems alone.
"""

from __future__ import annotations

import math
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from irem_baselines.one_shot import OneShot
from irem_core import (
    Entries,
    Problem,
    SettingError,
    ShapeError,
    Task,
    checks,
    fit_polynomials,
    monomials,
    squared_errors,
)

# Training problems that show which groups of entries a task has.
_SHOWN = 20


class _Reference(OneShot):
    """A solver that asks its task about each problem."""

    closed_form = True

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task
        self.question = task.question
        self.answer = task.answer


class _Polynomial(_Reference):
    """A polynomial in an entry's own inputs for each group of entries (`Task.group`)."""

    degree: int

    def __init__(self, task: Task, groups: int, inputs: int) -> None:
        super().__init__(task)
        coefficients = math.comb(inputs + self.degree, self.degree)
        self.coefficients = nn.Parameter(torch.zeros(groups, coefficients))

    @classmethod
    def shown(cls, task: Task, seed: int) -> Entries:
        """Draw entries of training problems, which tell how many weights a task needs."""
        generator = torch.Generator().manual_seed(seed)
        return Entries.draw(task, generator=generator, problems=_SHOWN)

    def answers(self, problem: Problem) -> Float[Tensor, "rows *entries"]:
        """Return the answers of problems of any size.

        Raises:
            ShapeError: entries belong to a group that training problems do not have.
        """
        space = problem.answer or self.task.answer
        empty = torch.zeros(
            problem.layout.rows, *space.shape, dtype=problem.dtype, device=problem.device
        )
        entries = Entries.of(self.task, problem, empty)
        known = self.coefficients.shape[0]
        if int(entries.groups.max()) >= known:
            raise ShapeError(
                f"{type(self).__name__} was fitted to {known} groups of entries and these problems "
                f"have {int(entries.groups.max()) + 1}; fit it to problems that have all of them."
            )
        basis = monomials(entries.inputs, self.degree)
        return space.project((basis * self.coefficients.to(basis)[entries.groups]).sum(-1))

    def fit_once(self, task: Task, generator: torch.Generator) -> None:
        """Fit to 8,000 training problems, and choose degrees by 8,000 others.

        Args:
            task: draws the problems.
            generator: the only source of randomness.
        """
        train = Entries.draw(task, generator=generator)
        validation = Entries.draw(task, generator=generator)
        for group in train.groups.unique().tolist():
            fitted = fit_polynomials(*train.group(group), self.degree)
            chosen = _degree(fitted, *validation.group(group))
            self.coefficients[group] = fitted[chosen]


class Constant(_Polynomial):
    """The best constant answer, one for each group of entries that the task tells apart.

    Args:
        task: what to answer.
        groups: how many groups its answers have; `for_task` finds out.

    Raises:
        SettingError: there are fewer than 1.
    """

    degree = 0

    def __init__(self, task: Task, *, groups: int = 1) -> None:
        """Set all answers to 0."""
        checks.check(checks.count, "Constant", groups=groups)
        super().__init__(task, groups, inputs=0)

    @classmethod
    def for_task(cls, task: Task, *, seed: int = 0, **settings: Any) -> Self:
        """Build the solver for a task (see `Recorded.for_task`), with as many groups as it has."""
        groups = int(cls.shown(task, seed).groups.max()) + 1
        return super().for_task(task, seed=seed, **{"groups": groups, **settings})


class Entrywise(_Polynomial):
    """The best function of an entry's own inputs (`Task.own_input`), for each group of entries.

    It is a polynomial of degree 5 at most. High degrees extrapolate badly, so each group has the
    lowest degree whose error on validation problems, from the training distribution too, is within
    one standard error of the lowest error (Breiman et al., 1984). The floors that the tables show
    have the degree that is best on the test problems instead, and so are a little lower.

    Args:
        task: what to answer.
        groups: how many groups its answers have; `for_task` finds out.
        inputs: how many inputs each entry has; `for_task` finds out.

    Raises:
        SettingError: a number is below 1, or the task's entries have no inputs of their own.
    """

    degree = 5

    def __init__(self, task: Task, *, groups: int = 1, inputs: int = 1) -> None:
        """Set all answers to 0."""
        checks.check(checks.count, "Entrywise", groups=groups, inputs=inputs)
        super().__init__(task, groups, inputs)

    @classmethod
    def for_task(cls, task: Task, *, seed: int = 0, **settings: Any) -> Self:
        """Build the solver for a task (see `Recorded.for_task`), with the numbers it needs.

        Raises:
            SettingError: the task's entries have no inputs of their own.
        """
        shown = cls.shown(task, seed)
        inputs = shown.inputs.shape[-1]
        if not inputs:
            raise SettingError(
                f"The entries of {type(task).__name__}'s answers have no inputs of their own, so "
                "there is no entrywise answer; the solver constant needs none."
            )
        found = {"groups": int(shown.groups.max()) + 1, "inputs": inputs}
        return super().for_task(task, seed=seed, **found | settings)


class Classical(_Reference):
    """The task's own textbook algorithm (`Task.classical`), which has nothing to learn.

    Args:
        task: what to answer.
    """

    @classmethod
    def for_task(cls, task: Task, *, seed: int = 0, **settings: Any) -> Self:
        """Build the solver for a task.

        Raises:
            SettingError: the task names no textbook algorithm.
        """
        if type(task).classical is Task.classical:
            raise SettingError(
                f"{type(task).__name__} names no textbook algorithm; give it a method `classical`."
            )
        return super().for_task(task, seed=seed, **settings)

    def answers(self, problem: Problem) -> Float[Tensor, "rows *entries"]:
        """Return what the algorithm answers.

        Raises:
            NonFiniteError: a problem has no answer, such as the inverse of a singular matrix.
            NotImplementedError: the task names no algorithm.
        """
        return self.task.classical(problem)


def _degree(
    fitted: Float[Tensor, "degrees monomials"],
    inputs: Float[Tensor, "entries inputs"],
    answers: Float[Tensor, " entries"],
) -> int:
    """Choose the lowest degree whose error is within one standard error of the lowest error."""
    squared = squared_errors(fitted, inputs, answers)
    errors = squared.mean(0)
    best = int(errors.argmin())
    chance = squared[:, best].std() / math.sqrt(len(squared))
    return int((errors <= errors[best] + chance).int().argmax())
