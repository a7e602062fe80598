"""Floors: what an answer without reasoning scores on a task's problems.

Such an answer is a polynomial in an entry's own inputs; that of degree 0 is a constant. It is
fitted to problems of the difficulty that it is scored on: answers spread more or less from one size
to the next, and beside the constant of other sizes every error would look small.
"""

from __future__ import annotations

from itertools import combinations_with_replacement
from math import comb
from typing import Protocol, Self

import attrs
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from irem_core.problems.problem import Problem
from irem_core.tasks.difficulty import Difficulty

_PROBLEMS = 8000
_DEGREE = 5
# Entries of one group that are fitted and scored at most: plenty for 21 coefficients.
_ENTRIES = 100_000
# Entries that are drawn about as many of. Those of one problem are alike, so more than are fitted.
_DRAWN = 2_000_000
_FIRST_BATCH, _LARGEST_BATCH = 8, 512
# A linear regression on more entries of x than these is left out.
_LARGEST_REGRESSION = 4096
# Among how many questions the nearest is looked for, for how many others, so many at a time.
_NEIGHBOURS, _NEIGHBOURED, _ROWS = 20_000, 2000, 250
# Of the mean square: what rounding leaves of the spread of answers that are all the same.
_ROUNDING = 1e-12


class Drawn(Protocol):
    """What floors ask of a task (see `Task`)."""

    def sample(
        self,
        count: int,
        difficulty: str | Difficulty = ...,
        *,
        generator: torch.Generator,
        device: torch.device | str = ...,
    ) -> tuple[Problem, Tensor]:
        """Draw problems and their answers."""

    def own_input(self, problem: Problem) -> Tensor | None:
        """Return each entry's own inputs."""

    def group(self, problem: Problem, y: Tensor) -> Tensor | None:
        """Say which entries share one fitted function."""


@attrs.frozen(kw_only=True)
class Floor:
    """What an answer without reasoning scores, as mean squared error over all entries.

    Args:
        constant: the best constant answer, fitted to other problems of the same difficulty.
        entrywise: the best function of an entry's own input, fitted likewise; None where an entry
            has no input of its own.
        linear: a linear regression on the whole question, where the task measures it.
        neighbour: the answer of the nearest question of training, likewise.
        problems: how many problems it was fitted to, and on how many others it was scored; None
            where the task has its own.
    """

    constant: float
    entrywise: float | None = None
    linear: float | None = None
    neighbour: float | None = None
    problems: int | None = None


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
        task: Drawn,
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
    def of(cls, task: Drawn, problem: Problem, answers: Tensor) -> Self:
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


def measure(task: Drawn, difficulty: Difficulty) -> Floor:
    """Fit the best constant and the best entrywise answer of a difficulty and score both.

    The entrywise answer is a polynomial in an entry's own inputs, of that degree up to 5 which
    scores best: a floor is meant to be hard to beat, and high degrees extrapolate badly. Entries
    that the task's `group` tells apart, such as the diagonal, are fitted apart.

    Args:
        task: the task, whose `own_input` says what an entry's inputs are.
        difficulty: of the problems to fit to and of the others to score on.

    Returns:
        Mean squared errors over the entries of 8,000 problems, or of fewer where they are large;
        of each group over 100,000 entries at most.
    """
    generator = torch.Generator().manual_seed(0)
    (train, problems), (test, _) = (_draw(task, difficulty, generator) for _ in range(2))
    has_inputs = train.inputs.shape[-1] > 0
    return Floor(
        constant=_score(train, test, degree=0),
        entrywise=_score(train, test, degree=_DEGREE) if has_inputs else None,
        problems=problems,
    )


def _draw(task: Drawn, difficulty: Difficulty, generator: torch.Generator) -> tuple[Entries, int]:
    """Draw problems in growing batches, since only drawing them shows how large they are."""
    batches: list[Entries] = []
    problems, size = 0, _FIRST_BATCH
    while problems < _PROBLEMS and sum(each.answers.numel() for each in batches) < _DRAWN:
        batches.append(Entries.draw(task, difficulty, generator=generator, problems=size))
        problems += size
        size = min(2 * size, _LARGEST_BATCH, max(_PROBLEMS - problems, 1))
    entries = Entries(
        answers=torch.cat([each.answers for each in batches]),
        inputs=torch.cat([each.inputs for each in batches]),
        groups=torch.cat([each.groups for each in batches]),
    )
    return entries, problems


def moments(
    answers: Shaped[Tensor, "rows *entries"], groups: Int[Tensor, "rows *entries"] | None
) -> Float[Tensor, "groups 3"]:
    """Return how many entries each group has, their sum and that of their squares, in float64.

    Those of several batches add up, and `constant_error` needs no more of the answers.

    Args:
        answers: `(rows, ...)` the right answers.
        groups: `(rows, ...)` which entries share one constant (`Task.group`); all, if None.
    """
    values = answers.double().flatten()
    numbers = torch.zeros_like(values) if groups is None else groups.flatten()
    powers = torch.stack([torch.ones_like(values), values, values.square()], 1)
    summed = powers.new_zeros(int(numbers.max()) + 1, 3)
    return summed.index_add_(0, numbers.long(), powers)


def constant_error(sums: Float[Tensor, "groups 3"]) -> float:
    """Return the mean squared error of the constants that suit answers best, one for each group.

    Args:
        sums: what `moments` returns of the answers, to which the constants are fitted.
    """
    count, total, squares = sums.unbind(1)
    left = float((squares - total.square() / count.clamp(min=1)).sum())
    return 0.0 if left <= _ROUNDING * float(squares.sum()) else left / float(count.sum())


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
    """Keep the most entries allowed, at random: every so many might be of the same few places.

    On the host, where least squares by singular values are.
    """
    if entries.shape[0] > _ENTRIES:
        generator = torch.Generator().manual_seed(0)
        kept = torch.randperm(entries.shape[0], generator=generator)[:_ENTRIES]
        entries = entries[kept.to(entries.device)]
    return entries.cpu().double()


def floor_of(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> Floor:
    """Return what answers without a network score: the mean, a regression, the nearest question's.

    Args:
        train: questions and answers, `(n, ...)` each, that all are fitted to.
        test: those that they are scored on.

    Returns:
        The regression is left out where x has more than 4,096 entries. Neighbours are looked for
        among 20,000 questions, for 2,000 of the others.
    """
    x, y = (tensor.flatten(1).double() for tensor in train)
    asked, target = (tensor.flatten(1).double() for tensor in test)
    linear = None
    if x.shape[1] <= _LARGEST_REGRESSION:
        centre, middle = x.mean(0), y.mean(0)
        slopes = torch.linalg.lstsq(x - centre, y - middle, driver="gelsd").solution
        linear = float(((asked - centre) @ slopes + middle - target).square().mean())
    constant = float((target - y.mean(0)).square().mean())
    near = _nearest(x[:_NEIGHBOURS], asked[:_NEIGHBOURED])
    neighbour = float((y[near] - target[:_NEIGHBOURED]).square().mean())
    return Floor(constant=constant, linear=linear, neighbour=neighbour)


def _nearest(
    x: Float[Tensor, "known entries"], asked: Float[Tensor, "asked entries"]
) -> Int[Tensor, " asked"]:
    """Return which question is the nearest, where entries spread alike."""
    scale = x.std(0, correction=0)
    weight = torch.where(scale > 0, 1 / scale, 0)
    rows = [torch.cdist(each * weight, x * weight).argmin(1) for each in asked.split(_ROWS)]
    return torch.cat(rows)
