"""Evaluation: error by step, by energy and by difficulty, in the protocol of the paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from irem_core import checks
from irem_core.descent.base import Descent
from irem_core.distributed import Ranks, derive
from irem_core.energies.landscape import Evaluation
from irem_core.errors import SettingError, ShapeError
from irem_core.problems.problem import Problem
from irem_core.solvers.base import Solver, place_of
from irem_core.solving.halting import FixedSteps, HaltingCriterion
from irem_core.solving.outcome import Outcome
from irem_core.solving.solution import Solution
from irem_core.tasks.difficulty import Difficulty
from irem_core.tasks.floors import constant_error, moments
from irem_core.tasks.task import Task

# The names that sums of squared errors and of energies go by among a task's own measures.
_SQUARED = "squared error"
_ENERGY = "energy of the iterate"


@attrs.frozen(eq=False, kw_only=True)
class Scores:
    """How well a solver does on one difficulty.

    Args:
        difficulty: which.
        problems: how many were solved.
        mse: mean squared error over all entries of all problems, of each problem's lowest-energy
            answer.
        relative: `mse` over the error of the best constant answer, which is fitted to these very
            problems, one constant for each group of entries (`Task.group`): of all figures the one
            to compare between difficulties, since the spread of answers changes with the size.
            None where that constant is right.
        mse_last: likewise of the last iterate.
        mse_by_step: the error of iterate t, for every t from 0; a halted problem counts with the
            iterate that it halted at.
        steps_mean: mean steps taken.
        evaluations_mean: mean energy evaluations spent.
        outcomes: how many problems ended in each way.
        measures: means of what else the task measures, by name (`Task.measures`), and the share of
            answers that hold as "solved", where they can be checked (`Task.verify`).
        measures_by_step: likewise of iterate t, as with `mse_by_step`.
        energy_by_step: the mean energy of iterate t, likewise; None for a solver without one.
        errors: `(problems,)` the mean squared error of each problem.
        energies: `(problems,)` the energy of each answer, where there is one.
        steps: `(problems,)` the steps of each problem.
    """

    difficulty: str
    problems: int
    mse: float
    relative: float | None
    mse_last: float
    mse_by_step: dict[int, float]
    steps_mean: float
    evaluations_mean: float
    outcomes: dict[str, int]
    measures: dict[str, float]
    measures_by_step: dict[str, dict[int, float]]
    energy_by_step: dict[int, float] | None
    errors: Float[Tensor, " problems"]
    energies: Float[Tensor, " problems"] | None
    steps: Int[Tensor, " problems"]

    @property
    def energy_error_correlation(self) -> float | None:
        """Rank correlation of final energies with errors.

        None for a solver without an energy, or where energies or errors are all the same.
        """
        return None if self.energies is None else rank_correlation(self.energies, self.errors)

    @property
    def worst_tenth_auroc(self) -> float | None:
        """How well final energies tell the tenth of the answers with the largest errors (`auroc`).

        None for a solver without an energy, for fewer than ten problems, or where energies are all
        the same.
        """
        if self.energies is None or self.problems < 10 or self.energies.unique().numel() < 2:
            return None
        return auroc(self.energies, self.errors, share=0.1)

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as plain values for JSON, without those of single problems."""
        return {
            "problems": self.problems,
            "mse": self.mse,
            "relative": self.relative,
            "mse_last": self.mse_last,
            "mse_by_step": {str(step): error for step, error in self.mse_by_step.items()},
            "steps_mean": self.steps_mean,
            "evaluations_mean": self.evaluations_mean,
            "outcomes": self.outcomes,
            "energy_error_correlation": self.energy_error_correlation,
            "worst_tenth_auroc": self.worst_tenth_auroc,
            **self.measures,
            **{
                f"{name}_by_step": {str(step): value for step, value in by_step.items()}
                for name, by_step in self.measures_by_step.items()
            },
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
    restarts: int = 0,
    device: torch.device | str | None = None,
    ranks: Ranks | None = None,
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
        restarts: how often problems are descended again (see `minimize`); errors by step are those
            of the first descents.
        device: where to solve; where the solver is, if None.
        ranks: this process among those that share the problems between them, batch by batch; all
            return the scores of all. Solvers that draw random numbers for their starts alone get
            the scores that one process would. None for a process that is alone.

    Raises:
        SettingError: a number is out of range, or the solver does not start again.
        UnknownNameError: the task has no such difficulty.
        ShapeError: the solver cannot take problems of this size.
    """
    checks.check(checks.count, "evaluate", problems=problems)
    again: dict[str, Any] = {"restarts": restarts} if restarts else {}
    wanted = task.difficulty(difficulty)
    place = place_of(solver)[0] if device is None else torch.device(device)
    budget = task.max_steps if max_steps is None else max_steps
    generator = torch.Generator(place).manual_seed(derive(seed, "evaluation", wanted.name))
    solver = solver.to(place)
    ranks = Ranks() if ranks is None else ranks
    tally = _Tally()
    batches = task.batches(problems, wanted, generator=generator, device=place)
    for number, (problem, target) in enumerate(batches):
        if number % ranks.count != ranks.rank:
            # Draws the starts, so that the batches after it come out as in one process.
            solver.solve(problem, max_steps=0, generator=generator)
            continue
        watch = _Watch(task, problem, target)
        solution = solver.solve(
            problem,
            max_steps=budget,
            descent=descent,
            halting=halting or FixedSteps(steps=max(budget, 1)),
            generator=generator,
            observer=watch,
            **again,
        )
        tally.add(number, solution, watch)
    tally.share(ranks)
    return tally.scores(wanted.name)


def takes(solver: Solver, task: Task, difficulty: str | Difficulty) -> bool:
    """Say whether a solver can take the problems of a difficulty, which may be of another size."""
    device, _ = place_of(solver)
    generator = torch.Generator(device).manual_seed(0)
    problem, _ = task.sample(1, difficulty, generator=generator, device=device)
    if problem.answer is None or problem.answer.shape == task.answer.shape:
        return True
    try:
        solver.solve(problem, max_steps=0)
    except ShapeError:
        return False
    return True


class _Watch:
    """An observer that sums the scores of a batch's iterates, step by step."""

    def __init__(self, task: Task, problem: Problem, target: Tensor) -> None:
        self.task = task
        self.problem = problem
        self.target = target
        self.y = torch.zeros_like(target)
        self.energy = target.new_full((problem.layout.count,), math.nan)
        self.by_step: list[dict[str, float]] = []

    def __call__(self, step: int, problems: Tensor, evaluation: Evaluation) -> None:
        # A halted problem counts with the iterate that it halted at.
        self.y[self.problem.layout.rows_of(problems)] = evaluation.iterate.y
        self.energy[problems] = evaluation.energy.to(self.energy.dtype)
        sums = {_ENERGY: float(self.energy.double().sum()), **self.sums(self.y)}
        # Where there is no start, the first iterate shown is that of step 1.
        self.by_step += [dict.fromkeys(sums, math.nan)] * (step - len(self.by_step))
        self.by_step.append(sums)

    def sums(self, y: Tensor) -> dict[str, float]:
        """Add up the squared errors of answers, and what else the task measures."""
        measured = self.task.measures(self.problem, y, self.target)
        sums = {name: float(values.double().sum()) for name, values in measured.items()}
        holds = self.problem.verified(y)
        if holds is not None:
            sums["solved"] = float(holds.sum())
        return {_SQUARED: float((y - self.target).double().square().sum()), **sums}


@attrs.frozen(eq=False)
class _Batch:
    """The sums of a batch, and what is kept of its problems, on the CPU.

    Args:
        entries: of all answers.
        moments: of the right answers (see `floors.moments`).
        sums: of squared errors and of what else the task measures.
        squared_last: the sum of squared errors of the last iterates.
        by_step: as `sums`, for the iterates of every step.
        errors: `(B,)` the mean squared error of each problem; likewise below.
        energies: None for a solver without one.
    """

    entries: int
    moments: Float[Tensor, "groups 3"]
    sums: dict[str, float]
    squared_last: float
    by_step: list[dict[str, float]]
    errors: Tensor
    steps: Tensor
    evaluations: Tensor
    outcomes: Tensor
    energies: Tensor | None


class _Tally:
    """The batches that were scored, by their numbers."""

    def __init__(self) -> None:
        self.held: dict[int, _Batch] = {}

    def add(self, number: int, solution: Solution, watch: _Watch) -> None:
        """Add the solution of a batch."""
        target, energies = watch.target, solution.energy
        sums = watch.sums(solution.y)
        self.held[number] = _Batch(
            entries=target.numel(),
            moments=moments(target, watch.task.group(watch.problem, target)).cpu(),
            sums=sums,
            squared_last=float((solution.last - target).double().square().sum()),
            # A solver that shows no iterates takes one shot: its answer is its iterate of step 1.
            by_step=watch.by_step or [dict.fromkeys(sums, math.nan), sums],
            errors=solution.layout.mean((solution.y - target).double().square()).cpu(),
            steps=solution.steps.cpu(),
            evaluations=solution.evaluations.cpu(),
            outcomes=solution.outcome.cpu(),
            energies=None if energies is None else energies.cpu(),
        )

    def share(self, ranks: Ranks) -> None:
        """Take over the batches of all processes, and give them this one's."""
        for other in ranks.gather(self.held):
            self.held |= other

    def scores(self, difficulty: str) -> Scores:
        """Return the scores of all problems."""
        batches = [self.held[number] for number in sorted(self.held)]
        errors = torch.cat([each.errors for each in batches])
        steps = torch.cat([each.steps for each in batches])
        evaluations = torch.cat([each.evaluations for each in batches])
        outcomes = torch.cat([each.outcomes for each in batches])
        found = [each.energies for each in batches if each.energies is not None]
        energies = torch.cat(found) if len(found) == len(batches) else None
        longest = max(len(each.by_step) for each in batches)
        padded = [
            each.by_step + each.by_step[-1:] * (longest - len(each.by_step)) for each in batches
        ]
        steps_taken = [
            (step, _added(column)) for step, column in enumerate(zip(*padded, strict=True))
        ]
        by_step = {
            name: {step: sums[name] for step, sums in steps_taken if not math.isnan(sums[name])}
            for name in steps_taken[0][1]
        }
        total = _added([each.sums for each in batches])
        count, entries = errors.numel(), sum(each.entries for each in batches)
        squared_last = sum(each.squared_last for each in batches)
        mse = total.pop(_SQUARED) / entries
        # Batches whose problems differ in size need not have all groups.
        constant = constant_error(pad_sequence([each.moments for each in batches]).sum(1))
        squared = by_step.pop(_SQUARED)
        by_energy = by_step.pop(_ENERGY, None)
        return Scores(
            difficulty=difficulty,
            problems=count,
            mse=mse,
            relative=mse / constant if constant else None,
            mse_last=squared_last / entries,
            mse_by_step={step: value / entries for step, value in squared.items()},
            steps_mean=float(steps.double().mean()),
            evaluations_mean=float(evaluations.double().mean()),
            outcomes={
                outcome.name: int((outcomes == outcome).sum())
                for outcome in Outcome
                if bool((outcomes == outcome).any())
            },
            measures={name: value / count for name, value in total.items()},
            measures_by_step={
                name: {step: value / count for step, value in values.items()}
                for name, values in by_step.items()
            },
            energy_by_step={step: value / count for step, value in by_energy.items()}
            if by_energy
            else None,
            errors=errors,
            energies=energies,
            steps=steps,
        )


def _added(sums: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: sum(each[name] for each in sums) for name in sums[0]}


def rank_correlation(
    first: Float[Tensor, " values"], second: Float[Tensor, " values"]
) -> float | None:
    """Return Spearman's rank correlation, or None where either side is constant."""
    if min(first.unique().numel(), second.unique().numel()) < 2:
        return None
    ranked = torch.stack([_average_ranks(first), _average_ranks(second)])
    return float(torch.corrcoef(ranked)[0, 1])


def _average_ranks(values: Tensor) -> Tensor:
    _, place, counts = values.unique(return_inverse=True, return_counts=True)
    ranks: Tensor = counts.cumsum(0).double() - (counts - 1) / 2
    return ranks[place]


def auroc(
    scores: Float[Tensor, " problems"], errors: Float[Tensor, " problems"], *, share: float = 0.25
) -> float:
    """Return the chance that an answer among the worst `share` scores above one of the others.

    That is the area under the curve of "this answer is wrong" as the scores, energies for example,
    tell it: 0.5 is chance, 1.0 is perfect.

    Args:
        scores: of the answers, higher where an answer is thought to be worse.
        errors: of the same answers.
        share: of the answers, which count as wrong: those with the largest errors, one at least.

    Raises:
        SettingError: that leaves no others.
    """
    wrong = max(round(share * len(errors)), 1)
    if wrong >= len(errors):
        raise SettingError(
            f"auroc got share={share} of {len(errors)} answers; expected some that do not count as "
            "wrong, to compare with."
        )
    ranks = _average_ranks(scores)[errors.argsort(descending=True)[:wrong]]
    # Of all pairs of a wrong answer and another: Mann and Whitney's statistic.
    above = float(ranks.sum()) - wrong * (wrong + 1) / 2
    return above / (wrong * (len(errors) - wrong))
