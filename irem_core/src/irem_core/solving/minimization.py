"""Solving: descend an energy until each problem's halting rule is met (Algorithm 2)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import attrs
import torch
from torch import Tensor

from irem_core import checks
from irem_core.descent.base import Descent
from irem_core.energies.landscape import Landscape, check_problem
from irem_core.energies.precision import full_products
from irem_core.errors import SettingError, ShapeError
from irem_core.problems.iterate import Iterate, project
from irem_core.problems.problem import Problem
from irem_core.problems.space import VectorSpace, require_finite, uniform
from irem_core.solving.descending import (
    check_parts,
    context_of,
    descend,
    ordinary,
    restart,
    solving,
)
from irem_core.solving.differentiation import (
    Differentiation,
    check_differentiable,
    differentiated,
)
from irem_core.solving.halting import HaltingCriterion
from irem_core.solving.in_units import InStandardUnits
from irem_core.solving.particles import Resampling, swarm
from irem_core.solving.settled import Settled
from irem_core.solving.solution import Observer, Recorder, Solution

_Given = ParamSpec("_Given")
_Found = TypeVar("_Found", bound=Solution)

RECORDABLE = ("energy", "gradient_norm", "y")


def by_itself(function: Callable[_Given, _Found]) -> Callable[_Given, _Found]:
    """Leave a function out of what its caller compiles or casts.

    How long it loops depends on numbers, which it compares in full precision.

    Raises:
        SettingError: when it is called within a transform of `torch.func`.
    """

    @functools.wraps(function)
    def call(*args: _Given.args, **kwargs: _Given.kwargs) -> _Found:
        if torch.compiler.is_compiling():
            compiled: _Found = torch.compiler.disable(function)(*args, **kwargs)
            return compiled
        if torch._C._are_functorch_transforms_active():
            raise SettingError(
                "minimize solves batches and cannot be transformed by torch.func; in place of vmap "
                "hand it x that leads with problems, and in place of grad pass differentiable=."
            )
        with full_products():
            return function(*args, **kwargs)

    return call


@by_itself
def minimize(
    energy: Landscape,
    x: Any,
    *,
    descent: Descent,
    halting: HaltingCriterion | None = None,
    max_steps: int = 1000,
    start: Tensor | Iterate | None = None,
    restarts: int = 0,
    particles: int = 1,
    resampling: Resampling = Resampling(),  # noqa: B008 (frozen)
    generator: torch.Generator | None = None,
    record: Sequence[str] = (),
    observer: Observer | None = None,
    differentiable: Differentiation | None = None,
) -> Solution:
    """Descend the energy of each problem from its start until it halts (Eq. 2-3, Algorithm 2).

    Problems halt one by one, and those that have cost nothing further. One whose iterate, energy or
    gradient turns non-finite stops at its last finite iterate; the others go on. Works inside
    `torch.no_grad` and `torch.inference_mode`, and leaves the arguments as they were. An energy
    with `units`, such as that of a run of pairs, is descended in these; all else is in the user's.

    Args:
        energy: an `EnergyFn` or a `ScratchpadEnergy`.
        x: questions `(B, ...)`, or a `Problem`; arrays and lists too (see `Solver.solve`), whose
            types are converted where the energy knows the space of its questions.
        descent: how to step.
        halting: when a problem has arrived; where little is left to go by default (`Settled`).
        max_steps: the most steps any problem takes, at least 0.
        start: y `(B, ...)` or `(rows, ...)`, or an `Iterate`; if None where the energy has it
            (`Landscape.first_start`), which is drawn from U(-1, 1) unless it says otherwise.
        restarts: how often each problem is descended again, from another random start. The answer
            is that of the lowest energy; steps and outcome are of the descent that found it, energy
            evaluations of all. Problems whose answers can be checked are descended again only until
            one holds, which then is the answer.
        particles: how many candidates of each problem are descended side by side, all but the first
            from random starts, and drawn anew between rounds by how low their energies are; each
            restart has as many. The answer is chosen as among restarts; energy evaluations are of
            all, steps and outcome of the particle that found it.
        resampling: the rounds of particles, of which the last leaves them to the halting rule.
        generator: where random starts come from; seed 0 if None.
        record: what to keep of every step: any of "energy", "gradient_norm", "y" (dense answers);
            with restarts or particles, of the first descent.
        observer: called after the start and after every step of the first descent.
        differentiable: gives y, and z, a gradient in x, in the weights of the energy and in all
            else that its `encode` reads, such as `Implicit()`; they are constants if None, and
            where torch keeps no gradients, as within `torch.no_grad`.

    Returns:
        The lowest-energy iterate of each problem, with its energy, steps and outcome.

    Raises:
        SettingError: a part is none, `max_steps`, `restarts`, `particles` or `record` is out of
            range, or answers of the descent cannot be differentiated.
        ShapeError: x, the start or the energy has the wrong shape, or no start can be drawn.
        NonFiniteError: x or the start holds NaN or infinity.
        EnergyError: the energy does not depend on y.
    """
    checks.check(checks.count_or_zero, "minimize", max_steps=max_steps, restarts=restarts)
    checks.check(checks.count, "minimize", particles=particles)
    checks.check(checks.part_of(Resampling), "minimize", resampling=resampling)
    halting = Settled() if halting is None else halting
    check_parts("minimize", energy, descent, halting)
    carrying = differentiable is not None and torch.is_grad_enabled()
    if differentiable is not None:
        check_differentiable(differentiable, descent)
    if energy.units is not None:
        inside = InStandardUnits.of(energy, x, energy.units)
        found = minimize(
            inside.energy,
            inside.problem,
            descent=descent,
            halting=halting,
            max_steps=max_steps,
            start=inside.conversion.standard(start),
            restarts=restarts,
            particles=particles,
            resampling=resampling,
            generator=generator,
            record=record,
            observer=inside.conversion.observer(observer),
            differentiable=differentiable,
        )
        return inside.conversion.solution(found)
    attached = context_of(energy, attached_problem(energy, x)) if carrying else None
    with solving():
        problem, generator = prepared(energy, x, generator)
        recorder = recorder_of(record, problem)
        watch = [each for each in (recorder, observer) if each is not None]
        context = ordinary(attached) if carrying else context_of(energy, problem)
        begin = first_iterate(energy, problem, start, generator)
        parts: dict[str, Any] = {"descent": descent, "halting": halting, "max_steps": max_steps}
        go: Callable[..., Solution] = functools.partial(descend, energy, **parts)
        if particles > 1:
            parts |= {"particles": particles, "resampling": resampling, "generator": generator}
            go = functools.partial(swarm, energy, **parts)
        solution = go(problem, context, begin, watch=watch)
        solution = attrs.evolve(solution, restarts=torch.zeros_like(solution.steps))
        restart(
            restarts,
            (problem, context, solution),
            draw=lambda left: _another(energy, left, begin, generator),
            again=go,
        )
        if recorder is not None:
            solution = attrs.evolve(solution, trace=recorder.trace())
        if differentiable is None or not carrying:
            return solution
        return differentiated(differentiable, energy, attached, problem.answer, solution)


def prepared(
    energy: Landscape, x: Any, generator: torch.Generator | None
) -> tuple[Problem, torch.Generator]:
    """Return questions that can be solved in any mode, and what random starts come from."""
    if generator is not None:
        checks.check(checks.part_of(torch.Generator), "minimize", generator=generator)
    problem: Problem = ordinary(energy.problem(x))
    check_problem(energy, problem)
    return problem, generator or torch.Generator(problem.device).manual_seed(0)


def attached_problem(energy: Landscape, x: Any) -> Problem:
    """Return questions that can be differentiated by."""
    problem: Problem = ordinary(energy.problem(x), attached=True)
    check_problem(energy, problem)
    return problem


def first_iterate(
    energy: Landscape,
    problem: Problem,
    start: Tensor | Iterate | None,
    generator: torch.Generator,
) -> Iterate:
    """Return the start that was given, checked and moved within the space of answers, or draw one.

    Raises:
        SettingError: it is no tensor.
        ShapeError: it does not fit, or none can be drawn.
        NonFiniteError: it holds NaN or infinity.
    """
    if start is None:
        _check_digits("x", problem.dtype)
        return energy.first_start(problem, generator)
    if not isinstance(start, Iterate):
        checks.check(checks.part_of(Tensor), "minimize", start=start)
    given = start if isinstance(start, Iterate) else Iterate(start, problem.layout)
    # The start's own layout may be an inference tensor; the problem's is the same and is not.
    iterate = attrs.evolve(given.map(ordinary).clone().detach(), layout=problem.layout)
    if iterate.y.ndim == 0 or iterate.y.shape[0] != problem.layout.rows:
        raise ShapeError(
            f"start has shape {tuple(iterate.y.shape)}; expected its first dimension to be "
            f"{problem.layout.rows}, one row for each row of the answer."
        )
    if not iterate.y.is_floating_point():
        raise ShapeError(
            f"start is of {iterate.y.dtype}; expected floating-point numbers, such as "
            f"{problem.dtype}."
        )
    _check_digits("start", iterate.y.dtype)
    if problem.answer is not None:
        problem.answer.check("start", iterate.y, problem.layout.rows)
        iterate = project(problem.answer, iterate)
    else:
        require_finite("start", iterate.y)
    if energy.scratchpad:
        if iterate.z is None:
            return energy.with_scratchpad(iterate, generator)
        VectorSpace(energy.scratchpad).check("start's z", iterate.z, problem.layout.count)
    return iterate


def _check_digits(name: str, dtype: torch.dtype) -> None:
    if dtype in (torch.float16, torch.bfloat16):
        raise ShapeError(
            f"{name} is of {dtype}, which has too few digits to compare energies by; solve in "
            "float32, where energy.autocast() has layers multiply in bfloat16."
        )


def _another(
    energy: Landscape, problem: Problem, start: Iterate, generator: torch.Generator
) -> Iterate:
    """Draw another start; without a space of answers, of entries as the first ones have."""
    if problem.answer is not None:
        return energy.start(problem, generator)
    shape = (problem.layout.rows, *start.y.shape[1:])
    y = uniform(shape, generator, start.y.device, start.y.dtype)
    return energy.with_scratchpad(Iterate(y, problem.layout), generator)


def recorder_of(record: Sequence[str], problem: Problem) -> Recorder | None:
    """Return what keeps of every step what was asked for, None where that is nothing.

    Raises:
        SettingError: it cannot be kept.
    """
    names = (record,) if isinstance(record, str) else tuple(record)
    for name in names:
        checks.one_of(*RECORDABLE)("minimize", _Record, name)
    if "y" in names and problem.layout.owner is not None:
        raise SettingError(
            'record="y" is for dense answers; pass an observer to keep the iterates of ragged ones.'
        )
    return Recorder(*names) if names else None


class _Record:
    name = "record"
