"""Evaluation: error by step, by energy and by difficulty, in the protocol of the paper."""

from __future__ import annotations

from typing import Any

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor

from irem_core import checks
from irem_core.descent.base import Descent
from irem_core.distributed import derive
from irem_core.energy import Evaluation
from irem_core.halting import FixedSteps, HaltingCriterion
from irem_core.layout import Layout
from irem_core.outcome import Outcome
from irem_core.solver import Solver
from irem_core.task import Difficulty, Task

_BATCH = 250


@attrs.frozen(eq=False, kw_only=True)
class Scores:
    """How well a solver does on one difficulty.

    Args:
        difficulty: which.
        problems: how many were solved.
        mse: mean squared error over all entries of all problems, of each problem's lowest-energy
            answer.
        mse_last: likewise of the last iterate.
        mse_by_step: the error of iterate t, for every t from 0; a halted problem counts with the
            iterate that it halted at.
        steps_mean: mean steps taken.
        evaluations_mean: mean energy evaluations spent.
        outcomes: how many problems ended in each way.
        energy_error_correlation: rank correlation of final energies with errors; None for a solver
            without an energy.
        errors: `(problems,)` the mean squared error of each problem.
        energies: `(problems,)` the energy of each answer, where there is one.
        steps: `(problems,)` the steps of each problem.
    """

    difficulty: str
    problems: int
    mse: float
    mse_last: float
    mse_by_step: dict[int, float]
    steps_mean: float
    evaluations_mean: float
    outcomes: dict[str, int]
    energy_error_correlation: float | None
    errors: Float[Tensor, " problems"]
    energies: Float[Tensor, " problems"] | None
    steps: Int[Tensor, " problems"]

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as plain values for JSON, without those of single problems."""
        return {
            "problems": self.problems,
            "mse": self.mse,
            "mse_last": self.mse_last,
            "mse_by_step": {str(step): error for step, error in self.mse_by_step.items()},
            "steps_mean": self.steps_mean,
            "evaluations_mean": self.evaluations_mean,
            "outcomes": self.outcomes,
            "energy_error_correlation": self.energy_error_correlation,
        }


def evaluate(
    solver: Solver,
    task: Task,
    *,
    difficulty: str | Difficulty = "same",
    problems: int = 1000,
    seed: int = 1,
    max_steps: int | None = None,
    descent: Descent | None = None,
    halting: HaltingCriterion | None = None,
    device: torch.device | str | None = None,
) -> Scores:
    """Score a solver on fresh problems.

    Without `halting` every problem takes exactly `max_steps` steps, as in the published protocol:
    80, or 40 on graphs. The same seed gives the same problems and starts to every solver.

    Args:
        solver: what to score.
        task: where the problems come from.
        difficulty: a name, or free parameters such as "scale=5".
        problems: how many.
        seed: of problems and starts.
        max_steps: the most steps of any problem; the task's default if None.
        descent: how to step; that of training if None.
        halting: when a problem has arrived; never, if None.
        device: where to solve; where the solver is, if None.

    Raises:
        SettingError: a number is out of range.
        UnknownNameError: the task has no such difficulty.
        ShapeError: the solver cannot take problems of this size.
    """
    checks.check(checks.count, "evaluate", problems=problems)
    wanted = task.difficulty(difficulty)
    place = _device(solver) if device is None else torch.device(device)
    budget = task.max_steps if max_steps is None else max_steps
    generator = torch.Generator(place).manual_seed(derive(seed, "evaluation", wanted.name))
    solver = solver.to(place)
    tally = _Tally()
    for first in range(0, problems, _BATCH):
        count = min(_BATCH, problems - first)
        problem, target = task.sample(count, wanted, generator=generator, device=place)
        watch = _Watch(target, problem.layout)
        solution = solver.solve(
            problem,
            max_steps=budget,
            descent=descent,
            halting=halting or FixedSteps(steps=max(budget, 1)),
            generator=generator,
            observer=watch,
        )
        tally.add(solution, target, watch.by_step)
    return tally.scores(wanted.name)


class _Watch:
    """An observer that sums the squared errors of a batch's iterates, step by step."""

    def __init__(self, target: Tensor, layout: Layout) -> None:
        self.target = target
        self.layout = layout
        self.current = torch.zeros(layout.count, dtype=torch.float64, device=target.device)
        self.by_step: list[float] = []

    def __call__(self, step: int, problems: Tensor, evaluation: Evaluation) -> None:
        iterate = evaluation.iterate
        target = self.target[self.layout.rows_of(problems)]
        squared = (iterate.y - target).double().square()
        self.current[problems] = iterate.layout.sum(squared)
        self.by_step.append(float(self.current.sum()))


class _Tally:
    """Sums over batches."""

    def __init__(self) -> None:
        self.solutions: list[Any] = []
        self.errors: list[Tensor] = []
        self.entries = 0
        self.squared = 0.0
        self.squared_last = 0.0
        self.by_step: list[list[float]] = []

    def add(self, solution: Any, target: Tensor, by_step: list[float]) -> None:
        squared = (solution.y - target).double().square()
        self.entries += target.numel()
        self.squared += float(squared.sum())
        self.squared_last += float((solution.last - target).double().square().sum())
        self.errors.append(solution.layout.mean(squared).cpu())
        # A solver that shows no iterates takes one shot: its answer is its iterate of step 1.
        self.by_step.append(by_step or [float("nan"), float(squared.sum())])
        self.solutions.append(attrs.evolve(solution, trace=None, parts=()))

    def scores(self, difficulty: str) -> Scores:
        errors = torch.cat(self.errors)
        steps = torch.cat([each.steps for each in self.solutions]).cpu()
        evaluations = torch.cat([each.evaluations for each in self.solutions]).cpu()
        outcomes = torch.cat([each.outcome for each in self.solutions]).cpu()
        energies = None
        if all(each.energy is not None for each in self.solutions):
            energies = torch.cat([each.energy for each in self.solutions]).cpu()
        longest = max(map(len, self.by_step))
        padded = [sums + sums[-1:] * (longest - len(sums)) for sums in self.by_step]
        by_step = {
            step: sum(column) / self.entries
            for step, column in enumerate(zip(*padded, strict=True))
            if column[0] == column[0]
        }
        return Scores(
            difficulty=difficulty,
            problems=errors.numel(),
            mse=self.squared / self.entries,
            mse_last=self.squared_last / self.entries,
            mse_by_step=by_step,
            steps_mean=float(steps.double().mean()),
            evaluations_mean=float(evaluations.double().mean()),
            outcomes={
                outcome.name: int((outcomes == outcome).sum())
                for outcome in Outcome
                if bool((outcomes == outcome).any())
            },
            energy_error_correlation=None if energies is None else _ranks(energies, errors),
            errors=errors,
            energies=energies,
            steps=steps,
        )


def _ranks(first: Tensor, second: Tensor) -> float | None:
    """Spearman's rank correlation, or None where either side is constant."""
    if min(first.unique().numel(), second.unique().numel()) < 2:
        return None
    ranked = torch.stack([_average_ranks(first), _average_ranks(second)])
    return float(torch.corrcoef(ranked)[0, 1])


def _average_ranks(values: Tensor) -> Tensor:
    _, place, counts = values.unique(return_inverse=True, return_counts=True)
    ranks: Tensor = counts.cumsum(0).double() - (counts - 1) / 2
    return ranks[place]


def _device(solver: Solver) -> torch.device:
    parameters = iter(solver.parameters())
    first = next(parameters, None)
    return torch.device("cpu") if first is None else first.device
