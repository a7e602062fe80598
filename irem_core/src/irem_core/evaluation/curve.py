"""What compute buys: how good answers are after more steps, and chosen among more starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from irem_core import checks
from irem_core.descent.base import Descent
from irem_core.distributed import derive
from irem_core.errors import SettingError
from irem_core.evaluation.evaluation import evaluate
from irem_core.problems import trees
from irem_core.problems.problem import Problem
from irem_core.solvers.base import Solver, budget, place_of, restarts_of
from irem_core.solvers.irem import IREM
from irem_core.solving.halting import FixedSteps, HaltingCriterion
from irem_core.solving.solution import Solution
from irem_core.tasks.difficulty import Difficulty
from irem_core.tasks.task import Task


@attrs.frozen(kw_only=True)
class Chosen:
    """The best of some starts of each problem, by three ways to choose.

    Args:
        starts: how many.
        evaluations: of the energy, mean over problems, of all starts.
        energy: how good the answers of the lowest energy are.
        verification: likewise where starts go on until an answer holds; None where answers cannot
            be checked.
        until_verified: evaluations of that, likewise.
        oracle: likewise of the best answers, which nobody can choose without knowing them: what is
            lost by the other ways.
        particles: how good the answers of as many particles are (see `minimize`); None where that
            was not asked for, and of one start.
        by_particles: evaluations of that, likewise.
    """

    starts: int
    evaluations: float
    energy: float
    verification: float | None
    until_verified: float | None
    oracle: float
    particles: float | None = None
    by_particles: float | None = None


@attrs.frozen(kw_only=True)
class Curve:
    """How good answers are against what they cost.

    Args:
        difficulty: which.
        problems: how many were solved.
        measure: "solved", the share of answers that hold, or "mse" where they cannot be checked.
        evaluations_by_step: of the energy that each step takes, mean over problems; one more is of
            the start.
        by_step: of iterate t of the first starts.
        by_starts: of 1, 2, 4, ... starts.
    """

    difficulty: str
    problems: int
    measure: str
    evaluations_by_step: float
    by_step: dict[int, float]
    by_starts: tuple[Chosen, ...]

    @classmethod
    def from_dict(cls, held: Mapping[str, Any]) -> Curve:
        """Return what `to_dict` made plain values of."""
        by_step = {int(step): each for step, each in held["by_step"].items()}
        by_starts = tuple(Chosen(**each) for each in held["by_starts"])
        return cls(**{**held, "by_step": by_step, "by_starts": by_starts})

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        held = attrs.asdict(self)
        return {**held, "by_step": {str(step): each for step, each in self.by_step.items()}}

    @property
    def measured(self) -> str:
        """What is measured, in words."""
        return "share solved" if self.measure == "solved" else "mean squared error"

    def lines(self) -> dict[str, list[tuple[float, float]]]:
        """Return energy evaluations and how good answers are, for each way to spend them."""
        by_step = [
            (1 + self.evaluations_by_step * step, each) for step, each in self.by_step.items()
        ]
        lines = {
            "steps of one start": by_step,
            "starts, lowest energy": [(each.evaluations, each.energy) for each in self.by_starts],
            "starts, until verified": [
                (each.until_verified, each.verification)
                for each in self.by_starts
                if each.until_verified is not None and each.verification is not None
            ],
            "particles": [
                (each.by_particles, each.particles)
                for each in self.by_starts
                if each.by_particles is not None and each.particles is not None
            ],
            "starts, oracle": [(each.evaluations, each.oracle) for each in self.by_starts],
        }
        return {name: points for name, points in lines.items() if points}


def compute_curve(
    solver: Solver,
    task: Task,
    *,
    difficulty: str | Difficulty = "same",
    problems: int = 200,
    starts: int = 64,
    particles: bool = False,
    seed: int = 1,
    max_steps: int | None = None,
    descent: Descent | None = None,
    halting: HaltingCriterion | None = None,
) -> Curve:
    """Solve problems from many starts each, and say how good the answers are against the cost.

    Args:
        solver: what to score; it descends an energy.
        task: where the problems come from.
        difficulty: a name, or free parameters.
        problems: how many.
        starts: of each, at least 1.
        particles: whether problems are solved by as many particles too, in place of starts.
        seed: of problems and starts.
        max_steps: the most steps of any descent; the solver's own if None.
        descent: how to step; the solver's own if None.
        halting: when a problem has arrived; the solver's own rule if None, but never for `by_step`.

    Raises:
        SettingError: a number is out of range, or the solver has no energy, or no particles.
        UnknownNameError: the task has no such difficulty.
    """
    checks.check(checks.count, "compute_curve", problems=problems, starts=starts)
    if particles and not isinstance(solver, IREM):
        raise SettingError(
            f"compute_curve got particles=True and {type(solver).__name__}, which descends none; "
            "expected IREM. Leave them out."
        )
    wanted, place = task.difficulty(difficulty), place_of(solver)[0]
    most = budget(solver, task, max_steps)
    options: dict[str, Any] = {"max_steps": most, "descent": descent}
    if restarts_of(solver):
        options["restarts"] = 0
    scores = evaluate(
        solver,
        task,
        difficulty=wanted,
        problems=problems,
        seed=seed,
        halting=FixedSteps(steps=max(most, 1)),
        **options,
    )
    generator = torch.Generator(place).manual_seed(derive(seed, "evaluation", wanted.name))
    counts = [1 << power for power in range(starts.bit_length())]
    batches = []
    swarms: list[list[_Descents]] = [[] for _ in counts]
    for problem, target in task.batches(problems, wanted, generator=generator, device=place):
        way = {"halting": halting, **options}
        descents = _from_starts(solver, problem, target, starts, generator, way)
        batches.append(trees.map_leaves(_by(lambda rows: torch.stack(rows)), *descents))
        if particles and isinstance(solver, IREM):
            drawn = torch.Generator(place).manual_seed(derive(seed, "particles", wanted.name))
            for count, found in zip(counts[1:], swarms[1:], strict=True):
                solution = solver.solve(problem, particles=count, generator=drawn, **way)
                found.append(_Descents.of(solution, target, type(solver).__name__))
    together = trees.map_leaves(_by(lambda parts: torch.cat(parts, 1)), *batches)
    checked = together.verified is not None
    return Curve(
        difficulty=wanted.name,
        problems=scores.problems,
        measure="solved" if checked else "mse",
        evaluations_by_step=(scores.evaluations_mean - 1) / max(scores.steps_mean, 1),
        by_step=scores.measures_by_step["solved"] if checked else scores.mse_by_step,
        by_starts=tuple(
            together.chosen(count, swarm) for count, swarm in zip(counts, swarms, strict=True)
        ),
    )


def _from_starts(
    solver: Solver,
    problem: Problem,
    target: Tensor,
    starts: int,
    generator: torch.Generator,
    way: Mapping[str, Any],
) -> list[_Descents]:
    """Descend problems from the start of a solve, and then from those of restarts."""
    descents = []
    for number in range(starts):
        start = solver.draw_start(problem, generator) if number else None
        solution = solver.solve(problem, start=start, generator=generator, **way)
        descents.append(_Descents.of(solution, target, type(solver).__name__))
    return descents


@attrs.frozen(eq=False)
class _Descents:
    """What descents of problems came to: one each, or a row of several together."""

    energy: Float[Tensor, "*starts problems"]
    evaluations: Int[Tensor, "*starts problems"]
    error: Float[Tensor, "*starts problems"]
    verified: Bool[Tensor, "*starts problems"] | None

    @classmethod
    def of(cls, solution: Solution, target: Tensor, title: str) -> _Descents:
        """Read off a solution what is needed of it.

        Raises:
            SettingError: it has no energy.
        """
        if solution.energy is None:
            raise SettingError(
                f"{title} has no energy to choose answers by; a curve is of solvers that descend."
            )
        error = solution.layout.mean((solution.y - target).double().square())
        return cls(solution.energy, solution.evaluations, error, solution.verified)

    @property
    def good(self) -> Float[Tensor, "*starts problems"]:
        """How good answers are: whether they hold, or how wrong they are."""
        return self.error if self.verified is None else self.verified.double()

    def chosen(self, count: int, swarms: list[_Descents]) -> Chosen:
        """Choose among the first few starts.

        Args:
            count: how many.
            swarms: what as many particles came to, batch by batch; perhaps nothing.
        """
        spent = self.evaluations[:count]
        lowest = self.energy[:count].nan_to_num(torch.inf).argmin(0, keepdim=True)
        verification = until = None
        values = self.good[:count]
        best = values.amin(0) if self.verified is None else values.amax(0)
        if self.verified is not None:
            # A start is made where none before it was verified.
            made = values.cumsum(0) - values == 0
            verification, until = _mean(best), _mean((spent * made).sum(0))
        return Chosen(
            starts=count,
            evaluations=_mean(spent.sum(0)),
            energy=_mean(values.gather(0, lowest)),
            verification=verification,
            until_verified=until,
            oracle=_mean(best),
            particles=_mean(torch.cat([each.good for each in swarms])) if swarms else None,
            by_particles=_mean(torch.cat([each.evaluations for each in swarms]))
            if swarms
            else None,
        )


def _by(join: Callable[[list[Tensor]], Tensor]) -> Callable[..., Tensor | None]:
    return lambda *leaves: None if leaves[0] is None else join(list(leaves))


def _mean(values: Tensor) -> float:
    return float(values.double().mean())
