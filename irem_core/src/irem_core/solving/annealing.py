"""Annealing: descend one landscape after the other, from smooth to sharp (IRED, Algorithm 2)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from irem_core.descent.base import Descent
from irem_core.energies.landscape import Evaluation, Landscape, check_problem, differentiate
from irem_core.problems.iterate import Iterate, project
from irem_core.problems.problem import Problem
from irem_core.solving.descending import context_of, descend, ordinary, restart, solving
from irem_core.solving.halting import HaltingCriterion
from irem_core.solving.minimization import by_itself, recorder_of
from irem_core.solving.outcome import Outcome
from irem_core.solving.solution import Observer, Solution, total


@attrs.frozen(eq=False, kw_only=True)
class Stage:
    """One landscape of several.

    Args:
        pose: makes the questions of this landscape of those asked, with the space of candidates.
        signal: what an answer is multiplied by there, above 0.
        descent: how to step.
        max_steps: the most steps there.
    """

    pose: Callable[[Problem], Problem]
    signal: float
    descent: Descent
    max_steps: int


@by_itself
def anneal(
    energy: Landscape,
    problem: Problem,
    stages: Sequence[Stage],
    *,
    halting: HaltingCriterion,
    draw: Callable[[Problem], Iterate],
    start: Iterate | None = None,
    restarts: int = 0,
    record: Sequence[str] = (),
    observer: Observer | None = None,
) -> Solution:
    """Descend the landscapes in their order, from the answer of each to the next.

    Between two, answers are rescaled by the ratio of their signals. Problems halt one by one in
    each landscape, as in `minimize`. What is shown and returned is in the units of answers.

    Args:
        energy: what poses its landscapes by the questions.
        problem: the questions.
        stages: the landscapes, at least one.
        halting: when a problem has arrived in a landscape.
        draw: returns a start of problems, in the units of the first landscape.
        start: the first start, likewise; drawn if None.
        restarts: how often each problem is descended again (see `minimize`).
        record: what to keep of every step (see `minimize`).
        observer: called after the start and after every step of the first descent.

    Returns:
        The lowest-energy iterates of the last landscape, with their energies and outcomes. Steps
        and energy evaluations are of all landscapes.

    Raises:
        NonFiniteError: x holds NaN or infinity.
        ShapeError: x has the wrong shape.
    """
    with solving():
        problem = ordinary(problem)
        posed = tuple(stage.pose(problem) for stage in stages)
        for each in posed:
            check_problem(energy, each)
        recorder = recorder_of(record, problem)
        watch = [each for each in (recorder, observer) if each is not None]
        landscapes = (posed, tuple(context_of(energy, each) for each in posed))
        parts: dict[str, Any] = {"stages": stages, "halting": halting}
        first = draw(problem) if start is None else start
        solution = _descend(energy, problem, landscapes, first, **parts, watch=watch)
        solution = attrs.evolve(solution, restarts=torch.zeros_like(solution.steps))
        again = functools.partial(_descend, energy, **parts)
        restart(restarts, (problem, landscapes, solution), draw, again)
        return attrs.evolve(solution, trace=recorder.trace()) if recorder else solution


def _descend(
    energy: Landscape,
    problem: Problem,
    landscapes: tuple[Sequence[Problem], Sequence[Any]],
    start: Iterate,
    *,
    stages: Sequence[Stage],
    halting: HaltingCriterion,
    watch: Sequence[Observer] = (),
) -> Solution:
    """Descend all landscapes from one start of each problem."""
    found: list[Solution] = []
    shown = 0
    for number, (stage, posed, context) in enumerate(zip(stages, *landscapes, strict=True)):
        told = [_shown(each, shown, stage.signal, again=number > 0) for each in watch]
        found.append(
            descend(
                energy,
                posed,
                context,
                project(posed.answer, start),
                descent=stage.descent,
                halting=halting,
                max_steps=stage.max_steps,
                watch=told,
            )
        )
        shown += int(found[-1].steps.max()) if problem.layout.count else 0
        later = stages[len(found) :]
        start = Iterate(found[-1].y, problem.layout)
        if later:
            start = start * (later[0].signal / stage.signal)
    last, scale = found[-1], 1 / stages[-1].signal
    outcomes = torch.stack([each.outcome for each in found])
    broke = (outcomes == Outcome.NONFINITE).any(0)
    answer = project(problem.answer, start * scale)
    value, more = last.energy, 0
    if problem.layout.count and not torch.equal(answer.y, (start * scale).y):
        # What the bounds moved has another energy.
        at = answer * stages[-1].signal
        value, more = differentiate(energy, landscapes[1][-1], at, gradient=False).energy, 1
    return Solution(
        y=answer.y,
        last=project(problem.answer, Iterate(last.last, problem.layout) * scale).y,
        energy=value,
        steps=torch.stack([each.steps for each in found]).sum(0),
        evaluations=torch.stack([each.evaluations for each in found]).sum(0) + more,
        outcome=torch.where(broke, int(Outcome.NONFINITE), last.outcome),
        layout=problem.layout,
        products=total([each.products for each in found]),
    ).checked(problem)


def _shown(observer: Observer, before: int, signal: float, *, again: bool) -> Observer:
    """Return an observer of a landscape that tells one of all.

    Args:
        observer: of all.
        before: steps that were taken in earlier landscapes, whose last iterates begin this one.
        signal: what answers are multiplied by in this one.
        again: whether its start was shown before, as the last iterate of another.
    """

    def show(step: int, problems: Tensor, evaluation: Evaluation) -> None:
        if again and not step:
            return
        slope = evaluation.gradient
        told = Evaluation(
            evaluation.iterate * (1 / signal),
            evaluation.energy,
            None if slope is None else slope * signal,
        )
        observer(before + step, problems, told)

    return show
