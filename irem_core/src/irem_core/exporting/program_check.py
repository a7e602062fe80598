"""Whether an exported program answers as its solver does, and how fast each is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from irem_core.errors import ExportError
from irem_core.problems.problem import Problem
from irem_core.solving.solution import Solution

Runnable = Callable[[Tensor, Tensor], tuple[Tensor, ...]]
"""A program: takes questions and starts, returns answers, energies, steps and outcomes."""


class Solves(Protocol):
    """What a program is compared with: a solver, or something that solves as one."""

    @property
    def solve(self) -> Callable[..., Solution]:
        """Answers questions from given starts (see `Solver.solve`)."""


_REPEATS = 3

# By how many units in the last place numbers are changed, and how many times the largest move of an
# answer that follows is put down to rounding.
_NUDGES = (1, -1, 2)
_MAGNIFIED = 10


@attrs.frozen(kw_only=True)
class Agreement:
    """How a program was compared with its solver.

    Args:
        compared: problems whose answers, energies, steps and outcomes agree.
        left_out: other problems, whose answers hang on rounding.
        difference: the largest between two answers or energies of those compared, in units of
            `1 + |y|`.
    """

    compared: int
    left_out: int
    difference: float


def agreement(
    program: Runnable,
    solver: Solves,
    problem: Problem,
    start: Float[Tensor, "problems ..."],
    truth: Solution,
    settings: Mapping[str, Any],
    tolerance: float,
) -> Agreement:
    """Compare a program with its solver, on one problem and on all others at a time.

    Program and solver round differently, and some descents magnify that. So a problem is left out
    where they halt at different steps, or where its answer differs by no more than ten times what
    it does when the last place of the solver's own numbers is changed.

    Args:
        program: what to check.
        solver: what it was made of.
        problem: questions, tensors.
        start: where both start.
        truth: what the solver found from there.
        settings: the arguments of `solver.solve` that the program was made with.
        tolerance: the largest difference allowed, in units of `1 + |y|`.

    Raises:
        ExportError: an answer differs by more, or more than half of the problems are left out.
    """
    parts = [_run(program, problem.x[rows], start[rows]) for rows in (slice(1), slice(1, None))]
    pairs = zip(*parts, strict=True)
    y, energy, steps, outcome = (torch.cat(each).to(start.device) for each in pairs)
    gap = _gap(y, energy, truth)
    later = steps != truth.steps
    alike = ~later & (outcome == truth.outcome)
    agrees = alike & (gap <= tolerance)
    moved = _moved(solver, problem, start, truth, settings)
    rounded = later | (alike & (gap <= _MAGNIFIED * moved))
    wrong, count, compared = ~agrees & ~rounded, problem.layout.count, int(agrees.sum())
    unclear = int((rounded & ~agrees).sum())
    if 2 * unclear > count:
        raise ExportError(
            f"The program could not be checked: on {unclear} of {count} problems rounding decides "
            "what the solver answers or where it halts. Nothing was written; export fewer steps, a "
            "smaller step size or a looser halting rule."
        )
    if bool(wrong.any()):
        raise ExportError(
            f"The program does not answer as the solver: {int(wrong.sum())} of {count} answers "
            f"differ, by up to {float(gap[wrong].max()):.1e} where {tolerance:.1e} is allowed. "
            "Nothing was written; allow a larger tolerance, or export fewer steps."
        )
    return Agreement(compared=compared, left_out=unclear, difference=float(gap[agrees].max()))


def _moved(
    solver: Solves,
    problem: Problem,
    start: Tensor,
    truth: Solution,
    settings: Mapping[str, Any],
) -> Float[Tensor, " problems"]:
    """Return how far answers move when numbers change in their last place; infinity with steps."""
    largest = start.new_zeros(problem.layout.count)
    for places in _NUDGES:
        nudged = attrs.evolve(problem, x=_nudged(problem.x, places), owner=problem.layout)
        found = solver.solve(nudged, start=_nudged(start, places), **settings)
        gap = _gap(found.y, found.energy, truth)
        largest = torch.maximum(largest, gap.where(found.steps == truth.steps, torch.inf))
    return largest


def speeds(
    program: Runnable,
    solver: Solves,
    problem: Problem,
    start: Float[Tensor, "problems ..."],
    settings: Mapping[str, Any],
) -> tuple[float, float]:
    """Return how many problems a second a program and its solver answer, called by turns."""
    calls: tuple[Callable[[], Any], ...] = (
        lambda: _run(program, problem.x, start),
        lambda: solver.solve(problem, start=start, **settings),
    )
    rounds = [[_seconds(call) for call in calls] for _ in range(_REPEATS)]
    of_program, of_solver = (statistics.median(each) for each in zip(*rounds, strict=True))
    return problem.layout.count / of_program, problem.layout.count / of_solver


def _run(program: Runnable, x: Tensor, start: Tensor) -> tuple[Tensor, ...]:
    with torch.inference_mode():
        return program(x, start)


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _nudged(values: Tensor, places: int) -> Tensor:
    if not values.is_floating_point():
        return values
    return values * (1 + places * torch.finfo(values.dtype).eps)


def _gap(y: Tensor, energy: Tensor | None, truth: Solution) -> Float[Tensor, " problems"]:
    """Return how far each problem's answer or energy is from the true one, in units of `1 + |y|`.

    Numbers that are not finite differ by nothing where they are the same, else by infinity.
    """

    def largest(value: Tensor, true: Tensor) -> Tensor:
        far = ((value - true) / (1 + true.abs())).abs().nan_to_num(torch.inf)
        same = (value == true) | (value.isnan() & true.isnan())
        return torch.where(same, 0.0, far).reshape(len(value), -1).amax(1)

    assert energy is not None and truth.energy is not None
    return torch.maximum(largest(y, truth.y), largest(energy, truth.energy))
