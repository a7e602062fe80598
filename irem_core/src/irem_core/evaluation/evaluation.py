"""Evaluation: error by step, by energy and by difficulty, as a solver answers or as published."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import attrs
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from irem_core import checks
from irem_core.descent.base import Descent
from irem_core.distributed import Ranks, derive
from irem_core.energies.landscape import Evaluation
from irem_core.errors import SettingError, ShapeError
from irem_core.evaluation.reliability import Reliability, Trust
from irem_core.evaluation.scores import Scores
from irem_core.problems.problem import Problem
from irem_core.solvers.base import (
    Solver,
    budget,
    descent_of,
    halting_of,
    place_of,
    restarts_of,
)
from irem_core.solving.halting import FixedSteps, HaltingCriterion
from irem_core.solving.outcome import Outcome
from irem_core.solving.solution import Solution
from irem_core.tasks.difficulty import Difficulty
from irem_core.tasks.floors import constant_error, moments
from irem_core.tasks.task import Task

# The names that sums of squared errors and of energies go by among a task's own measures.
_SQUARED = "squared error"
_ENERGY = "energy of the iterate"

PROTOCOLS = ("solve", "paper")
"""How problems are solved that a solver is scored on (see `evaluate`)."""


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
    protocol: str = "solve",
    restarts: int | None = None,
    trust: float | None = None,
    device: torch.device | str | None = None,
    ranks: Ranks | None = None,
) -> Scores:
    """Score a solver on fresh problems, as it answers them.

    Scores are of what `solver.solve` gives: problems halt by the solver's own rule. In the
    published protocol, "paper", every problem takes exactly 80 steps, or 40 on graphs, by the
    descent of training, and none halts. The same seed gives the same problems and starts to every
    solver.

    Args:
        solver: what to score.
        task: where the problems come from.
        difficulty: a name, or free parameters such as "scale=5".
        problems: how many.
        seed: of problems and starts.
        max_steps: the most steps of any problem; the solver's own if None.
        descent: how to step; the solver's own if None.
        halting: when a problem has arrived; the solver's own rule if None.
        protocol: "solve" or "paper", which takes no `max_steps`, `halting` or
            `restarts`.
        restarts: how often problems are descended again, as the solver's own default if None;
            errors by step are those of the first descents.
        trust: also say which answers may be trusted not to exceed this error (`Solver.trust`).
        device: where to solve; where the solver is, if None.
        ranks: this process among those that share the problems between them, batch by batch; all
            return the scores of all. Solvers that draw random numbers for their starts alone get
            the scores that one process would. None for a process that is alone.

    Raises:
        SettingError: a number is out of range, there is no such protocol, the published one is to
            take other steps, or the solver does not start again or say what to trust.
        UnknownNameError: the task has no such difficulty.
        ShapeError: the solver cannot take problems of this size.
    """
    checks.check(checks.count, "evaluate", problems=problems)
    way = _Way.of(
        solver,
        task,
        protocol,
        max_steps=max_steps,
        descent=descent,
        halting=halting,
        restarts=restarts,
    )
    if restarts is None and protocol == "paper" and restarts_of(solver):
        restarts = 0
    # Of solvers that cannot start again nothing is asked.
    again: dict[str, Any] = {} if restarts is None else {"restarts": restarts}
    wanted = task.difficulty(difficulty)
    place = place_of(solver)[0] if device is None else torch.device(device)
    generator = torch.Generator(place).manual_seed(derive(seed, "evaluation", wanted.name))
    solver = solver.to(place)
    ranks = Ranks() if ranks is None else ranks
    tally = _Tally(solver, trust)
    batches = task.batches(problems, wanted, generator=generator, device=place)
    for number, (problem, target) in enumerate(batches):
        if number % ranks.count != ranks.rank:
            # Draws the starts, so that the batches after it come out as in one process.
            solver.solve(problem, max_steps=0, generator=generator)
            continue
        watch = _Watch(task, problem, target)
        solution = solver.solve(
            problem,
            max_steps=way.max_steps,
            descent=way.descent,
            halting=way.halting,
            generator=generator,
            observer=watch,
            **again,
        )
        tally.add(number, solution, watch)
    tally.share(ranks)
    return tally.scores(wanted.name, way)


@attrs.frozen(kw_only=True)
class _Way:
    """How problems are solved; see `Scores`."""

    protocol: str
    max_steps: int
    descent: Descent | None
    halting: HaltingCriterion | None

    @classmethod
    def of(
        cls,
        solver: Solver,
        task: Task,
        protocol: str,
        *,
        max_steps: int | None,
        descent: Descent | None,
        halting: HaltingCriterion | None,
        restarts: int | None,
    ) -> _Way:
        """Fill in what was not said."""
        checks.check(checks.one_of(*PROTOCOLS), "evaluate", protocol=protocol)
        if protocol == "solve":
            return cls(
                protocol=protocol,
                max_steps=budget(solver, task, max_steps),
                descent=descent or descent_of(solver),
                halting=halting or halting_of(solver),
            )
        if max_steps is not None or halting is not None or restarts:
            raise SettingError(
                f'evaluate got protocol="paper" with max_steps={max_steps}, halting={halting} and '
                f"restarts={restarts}; the published protocol takes {task.max_steps} steps, halts "
                "nothing and starts once. Leave "
                'them out, or ask for halting=FixedSteps(steps=...) in protocol="solve".'
            )
        return cls(
            protocol=protocol,
            max_steps=task.max_steps,
            descent=descent or getattr(solver, "descent", None),
            halting=FixedSteps(steps=max(task.max_steps, 1)),
        )


def written(part: Descent | HaltingCriterion | None) -> str | None:
    """Return a part as it is written in Python."""
    return None if part is None else repr(part)


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
        self.y[self.problem.layout.rows_of(problems)] = evaluation.iterate.y.to(self.y)
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
        return {_SQUARED: float(self.squares(y).sum()), **sums}

    def squares(self, y: Tensor) -> Tensor:
        """Return the squared errors of answers, of several right ones those to the nearest."""
        return self.deviation(y).square()

    def deviation(self, y: Tensor) -> Tensor:
        """Return answers less the right ones."""
        return (y - self.problem.wanted(y, self.target)).double()


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
        verified: None where answers cannot be checked.
        expected: the error of each, as it was expected; None where nothing is.
        real: likewise as it is, in the unit of `expected`.
        trusted: None where that was not asked for.
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
    verified: Tensor | None
    expected: Tensor | None
    real: Tensor
    trusted: Tensor | None


class _Tally:
    """The batches that were scored, by their numbers."""

    def __init__(self, solver: Solver, trust: float | None) -> None:
        self.solver, self.trust = solver, trust
        self.held: dict[int, _Batch] = {}

    def add(self, number: int, solution: Solution, watch: _Watch) -> None:
        """Add the solution of a batch."""
        target, energies, solver = watch.target, solution.energy, self.solver
        expected = solver.expected_error(solution) if solver.calibrated else None
        trusted = None if self.trust is None else solver.trust(solution, error=self.trust)
        sums = watch.sums(solution.y)
        self.held[number] = _Batch(
            entries=target.numel(),
            moments=moments(target, watch.task.group(watch.problem, target)).cpu(),
            sums=sums,
            squared_last=float(watch.squares(solution.last).sum()),
            # A solver that shows no iterates takes one shot: its answer is its iterate of step 1.
            by_step=watch.by_step or [dict.fromkeys(sums, math.nan), sums],
            errors=solution.layout.mean(watch.squares(solution.y)).cpu(),
            steps=solution.steps.cpu(),
            evaluations=solution.evaluations.cpu(),
            outcomes=solution.outcome.cpu(),
            energies=None if energies is None else energies.cpu(),
            verified=None if solution.verified is None else solution.verified.cpu(),
            expected=None if expected is None else expected.cpu(),
            real=solution.layout.mean(self._in_spreads(watch.deviation(solution.y))).cpu(),
            trusted=None if trusted is None else trusted.cpu(),
        )

    def _in_spreads(self, deviation: Tensor) -> Tensor:
        """Return squared errors in the unit that the solver expects them in."""
        spread = self.solver.error_spread
        if spread is None:
            return deviation.square()
        # What never varied in training is answered as it is, and takes no part.
        return torch.where(spread > 0, deviation / spread, 0.0).square()

    def share(self, ranks: Ranks) -> None:
        """Take over the batches of all processes, and give them this one's."""
        for other in ranks.gather(self.held):
            self.held |= other

    def scores(self, difficulty: str, way: _Way) -> Scores:
        """Return the scores of all problems."""
        batches = [self.held[number] for number in sorted(self.held)]
        errors = torch.cat([each.errors for each in batches])
        steps = torch.cat([each.steps for each in batches])
        evaluations = torch.cat([each.evaluations for each in batches])
        outcomes = torch.cat([each.outcomes for each in batches])
        energies = _joined([each.energies for each in batches])
        by_step = _by_step(batches)
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
            protocol=way.protocol,
            max_steps=way.max_steps,
            descent=written(way.descent),
            halting=written(way.halting),
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
            verified=_joined([each.verified for each in batches]),
            **self._verdicts(batches),
        )

    def _verdicts(self, batches: Sequence[_Batch]) -> dict[str, Any]:
        """Return what energies say of errors, as far as they do."""
        real = torch.cat([each.real for each in batches])
        expected = _joined([each.expected for each in batches])
        trusted = _joined([each.trusted for each in batches])
        relative = self.solver.error_spread is not None
        return {
            "reliability": None
            if expected is None
            else Reliability(expected=expected, real=real, relative=relative),
            "trust": None
            if trusted is None or self.trust is None
            else Trust(error=self.trust, trusted=trusted, real=real),
        }


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    """Join what all batches have; None where one has nothing."""
    found = [each for each in parts if each is not None]
    return torch.cat(found) if len(found) == len(parts) else None


def _by_step(batches: Sequence[_Batch]) -> dict[str, dict[int, float]]:
    """Add up the sums of all batches, step by step; one that ended before counts as it ended."""
    longest = max(len(each.by_step) for each in batches)
    padded = [each.by_step + each.by_step[-1:] * (longest - len(each.by_step)) for each in batches]
    added = [(step, _added(column)) for step, column in enumerate(zip(*padded, strict=True))]
    return {
        name: {step: sums[name] for step, sums in added if not math.isnan(sums[name])}
        for name in added[0][1]
    }


def _added(sums: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: sum(each[name] for each in sums) for name in sums[0]}
