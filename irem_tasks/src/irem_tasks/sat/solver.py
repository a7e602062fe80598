"""Solving formulas: descents of the relaxed energy from many starts, each rounded and checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor

from irem_core import (
    BarzilaiBorwein,
    Descent,
    Differentiation,
    EnergyPlateau,
    Evaluation,
    HaltingCriterion,
    Iterate,
    Observer,
    Outcome,
    Problem,
    SettingError,
    Solution,
    Solver,
    Task,
    Trace,
    checks,
    minimize,
)
from irem_tasks.sat.clauses import formulas, places, unsatisfied
from irem_tasks.sat.energy import SatEnergy


@attrs.frozen
class ZeroEnergy(HaltingCriterion):
    """Stop where the energy is exactly 0, below which an energy that is a sum of squares has none.

    Unlike a plateau it lets a descent go on that makes moves of equal energy.
    """

    def init(self, evaluation: Evaluation) -> None:
        """Nothing to remember."""

    def update(
        self, before: Evaluation, after: Evaluation, state: None
    ) -> tuple[Int[Tensor, " problems"], None]:
        """Look at the energy after the step."""
        return (after.energy <= 0).to(torch.int64) * int(Outcome.CONVERGED), None


class SatSolver(Solver):
    """Looks for satisfying assignments by descending the energy of formulas, start after start.

    Each descent is rounded to {0, 1}, and the clauses that remain unsatisfied are counted by whole
    numbers. Formulas that have some start again, in turn near the best assignment so far and
    anywhere. An answer is the best rounded assignment, its energy is its number of unsatisfied
    clauses, and it has converged only if that is 0. A formula for which none is found may be
    satisfiable all the same.

    Args:
        energy: the energy of formulas.
        descent: how to step. Without a gradient (`CoordinateFlip`) it starts from rounded draws.
        halting: when one descent has arrived; where None, at a plateau of the energy, or for a
            descent without a gradient at energy 0.
        steps: the most that one descent takes. Starts are `max_steps` / `steps` in number.
        renewal: how far a start near the best assignment is moved towards a draw from U(0, 1),
            above 0; 1 is all the way. Variables of unsatisfied clauses are always drawn anew.
            Formulas of thousands of variables are hardly ever solved by new starts alone.

    Raises:
        SettingError: a setting is out of range.
    """

    max_steps = 20_000

    def __init__(
        self,
        energy: SatEnergy,
        *,
        descent: Descent = BarzilaiBorwein(),  # noqa: B008 (frozen)
        halting: HaltingCriterion | None = None,
        steps: int = 200,
        renewal: float = 0.7,
    ) -> None:
        """Take the parts over."""
        super().__init__()
        checks.check(checks.count, "SatSolver", steps=steps)
        share = checks.number("a number above 0 and at most 1", above=0, high=1)
        checks.check(share, "SatSolver", renewal=renewal)
        self.energy = energy
        self.descent = descent
        self.halting = halting
        self.steps = steps
        self.renewal = renewal
        self.answer = energy.answer

    @classmethod
    def for_task(cls, task: Task, *, seed: int = 0, **settings: Any) -> SatSolver:
        """Build the solver for a task of formulas; it has no weights, so the seed says nothing."""
        return cls(SatEnergy.for_task(task), **settings)

    def loss(
        self, problem: Problem, target: Tensor, generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Refuse: nothing is learned.

        Raises:
            SettingError: always.
        """
        raise SettingError("SatSolver needs no training, since its energy is written; call solve.")

    def solve(
        self,
        x: Any,
        *,
        max_steps: int | None = None,
        descent: Descent | None = None,
        halting: HaltingCriterion | None = None,
        start: Tensor | Iterate | None = None,
        restarts: int | None = None,
        generator: torch.Generator | None = None,
        record: Sequence[str] = (),
        observer: Observer | None = None,
        differentiable: Differentiation | None = None,
    ) -> Solution:
        """Look for satisfying assignments of a batch of formulas.

        Args:
            x: formulas `(B, clauses, width)` of signed literals, or a `Problem`.
            max_steps: the most steps any formula takes in all of its descents; one that ends early
                counts as `steps` of them; 20,000 if None.
            descent: how to step; the solver's own if None.
            halting: when one descent has arrived.
            start: `(B, variables)` where the first descent starts; drawn from U(0, 1) if None.
            restarts: none; it starts again by itself for as long as there are steps.
            generator: where starts come from; seed 0 if None.
            record: what to keep of every step (see `minimize`).
            observer: called after the first start and every step. Steps count on over descents,
                each of which begins after a multiple of `steps`.
            differentiable: not possible, since assignments do not vary.

        Raises:
            SettingError: `max_steps` is out of range, or `differentiable` or restarts are given.
            ShapeError: x holds no formulas, or the number of variables is not known.
        """
        max_steps = self.max_steps if max_steps is None else max_steps
        checks.check(checks.count_or_zero, "SatSolver", max_steps=max_steps)
        if restarts:
            raise SettingError(
                f"{type(self).__name__} does not start again from elsewhere; leave restarts out."
            )
        if differentiable is not None:
            raise SettingError(
                "SatSolver's assignments are true or false and have no derivatives; leave "
                "differentiable out."
            )
        descent = descent or self.descent
        halting = halting or self.halting or _halting_for(descent)
        problem = self.energy.problem(x)
        search = _Search(self.energy, problem)
        if generator is None:
            generator = torch.Generator(search.problem.device).manual_seed(0)
        for first in range(0, max(max_steps, 1), self.steps):
            left = (search.broken != 0).nonzero().squeeze(1)
            if not left.numel():
                break
            part = search.part(left)
            if first == 0 and start is not None:
                begin = start.y if isinstance(start, Iterate) else start
            elif first // self.steps % 2:
                begin = search.renewed(left, self.renewal, generator)
            else:
                begin = self.energy.start(part, generator).y
            found = minimize(
                self.energy,
                part,
                descent=descent,
                halting=halting,
                max_steps=min(self.steps, max_steps - first),
                # Flips go from assignment to assignment; their start is to be one too.
                start=begin if descent.needs_gradient else begin.round(),
                record=record,
                observer=None if observer is None else _shifted(observer, first, left),
            )
            search.take(first, left, found)
        return search.solution().checked(problem)


class _Search:
    """What is known of the formulas of a batch between their descents.

    Args:
        energy: the energy of formulas.
        problem: the formulas.
    """

    def __init__(self, energy: SatEnergy, problem: Problem) -> None:
        count, variables = problem.layout.count, energy.variables(problem)
        literals = formulas(problem.x, variables)
        ones = torch.ones(count, dtype=torch.int64, device=literals.device)
        self.problem = Problem(literals, problem.answer)
        self.y = torch.zeros(count, variables, dtype=problem.dtype, device=literals.device)
        self.last = self.y.clone()
        self.broken = ones * (literals.shape[1] + 1)  # more than any assignment can break
        self.steps, self.evaluations = ones * 0, ones * 0
        self.traces: list[Trace] = []

    def part(self, left: Int[Tensor, " left"]) -> Problem:
        """Return some of the formulas."""
        return Problem(self.problem.x[left], self.problem.answer)

    def renewed(
        self, left: Int[Tensor, " left"], renewal: float, generator: torch.Generator
    ) -> Float[Tensor, "left variables"]:
        """Return new starts, which keep something of the best assignments."""
        literals, best = self.problem.x[left], self.y[left]
        fresh = torch.rand(best.shape, generator=generator, device=best.device, dtype=best.dtype)
        wrong = (literals != 0) & unsatisfied(literals, best)[:, :, None]
        times = torch.zeros_like(best, dtype=torch.int64).scatter_add(
            1, places(literals).flatten(1), wrong.flatten(1).to(torch.int64)
        )
        return torch.where(times > 0, fresh, best.lerp(fresh, renewal))

    def take(self, first: int, left: Int[Tensor, " left"], found: Solution) -> None:
        """Round what a descent found, and keep it where it breaks no more clauses than before."""
        rounded = (found.y > 0.5).to(self.y)
        broken = unsatisfied(self.problem.x[left], rounded).sum(1)
        better = broken <= self.broken[left]
        self.y[left] = torch.where(better[:, None], rounded, self.y[left])
        self.last[left] = rounded
        self.broken[left] = torch.minimum(broken, self.broken[left])
        self.steps[left] += found.steps
        # The rounded assignment is an evaluation more.
        self.evaluations[left] += found.evaluations + 1
        if found.trace is not None:
            moved = {"problem": left[found.trace.problem], "step": first + found.trace.step}
            self.traces.append(attrs.evolve(found.trace, **moved))

    def solution(self) -> Solution:
        """Return the best assignments."""
        outcome = torch.where(self.broken == 0, int(Outcome.CONVERGED), int(Outcome.BUDGET_SPENT))
        return Solution(
            y=self.y,
            last=self.last,
            energy=self.broken.to(self.y),
            steps=self.steps,
            evaluations=self.evaluations,
            outcome=outcome,
            layout=self.problem.layout,
            trace=_joined(self.traces),
        )


def _joined(traces: Sequence[Trace]) -> Trace | None:
    """Join the traces of successive descents, ordered by problem and then by step."""
    if not traces:
        return None
    order = torch.cat([trace.problem for trace in traces]).argsort(stable=True)
    columns: dict[str, Any] = {}
    for name in (field.name for field in attrs.fields(Trace)):
        parts = [getattr(trace, name) for trace in traces]
        columns[name] = None if parts[0] is None else torch.cat(parts)[order]
    return Trace(**columns)


def _shifted(observer: Observer, first: int, left: Int[Tensor, " left"]) -> Observer:
    """Let an observer of the whole batch watch a later descent of some of its problems."""

    def observe(step: int, problems: Tensor, evaluation: Evaluation) -> None:
        # A later start is no step, and the last one may have taken its number.
        if step or not first:
            observer(first + step, left[problems], evaluation)

    return observe


def _halting_for(descent: Descent) -> HaltingCriterion:
    return EnergyPlateau(tolerance=1e-3) if descent.needs_gradient else ZeroEnergy()
