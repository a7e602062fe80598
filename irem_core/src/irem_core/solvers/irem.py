"""IREM: learning to solve by descending an energy (the paper's method)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import attrs
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from irem_core import checks
from irem_core.descent import Descent, GradientDescent
from irem_core.energies import default_energy
from irem_core.energies.landscape import Landscape
from irem_core.errors import SettingError
from irem_core.problems.iterate import Iterate
from irem_core.problems.problem import Problem
from irem_core.solvers import presets
from irem_core.solvers.backprop import Backprop, LastStep
from irem_core.solvers.base import Solver
from irem_core.solvers.isotonic import as_curve, fitted_curve, read_off
from irem_core.solvers.objective import DescentError, Lesson, Objective
from irem_core.solvers.replay import Example, ReplayBuffer, half_precision
from irem_core.solving.differentiation import Differentiation
from irem_core.solving.halting import HaltingCriterion
from irem_core.solving.minimization import minimize
from irem_core.solving.outcome import Outcome
from irem_core.solving.particles import Resampling
from irem_core.solving.settled import Settled
from irem_core.solving.solution import Observer, Solution
from irem_core.solving.streaming import minimize_many
from irem_core.tasks.task import Task

# How many restarts are tried, and which share of the error must be left for them to be kept.
_RESTARTS, _PAYS = 8, 0.9
# Steps at most where weights are judged in training, as many as the paper's solves take.
_JUDGED = 80


class IREM(Solver):
    """Iterative reasoning as energy minimisation.

    Training (Algorithm 1) descends the energy for `steps` steps from random and replayed starts and
    regresses the last iterate on the answer (Eq. 6). Solving (Algorithm 2) descends until going on
    would hardly move the answer.

    Args:
        energy: the energy to train: an `EnergyFn` or a `ScratchpadEnergy`.
        steps: N, steps of descent in training; 0 for objectives that need no descent.
        descent: how to step in training, and in solving where `solving` is None.
        solving: how to step in solving by default.
        halting: when a problem has arrived, by default in solving. It is looser than `Settled`'s
            own: learned energies have their minima off the answers by more than it leaves.
        max_steps: the most steps of a solve by default. Halting ends most far earlier.
        backprop: how the loss reaches the weights.
        replay: capacity of the replay buffer; 0 trains without one.
        replayed: replayed problems per fresh one, at least 0.
        replay_dtype: "float16" or "bfloat16" to hold replayed problems in half the memory, rounded
            (see `ReplayBuffer`); None to keep them as they are.
        objective: what training asks of the energy: by default that its descent ends at the answer
            (Eq. 6).
        restarts: how often problems are descended again by default in solving, the answer of the
            lowest energy being kept. Training on pairs sets it to what pays (`calibrate`).
        expected_errors: knots (E / n, error) of a rising curve that says how wrong answers of n
            entries are likely to be, for energies that do not mean it; none if there are none.
            Training on pairs fits them (`calibrate`).

    Raises:
        SettingError: a setting is out of range.
    """

    max_steps: int

    presets: ClassVar = {
        "default": presets.default,
        "tuned": presets.tuned,
        "paper": presets.paper,
    }

    def __init__(
        self,
        energy: Landscape,
        *,
        steps: int = 5,
        descent: Descent = GradientDescent(step_size=100.0),  # noqa: B008 (frozen)
        solving: Descent | None = None,
        halting: HaltingCriterion = Settled(relative=1e-2),  # noqa: B008 (frozen)
        max_steps: int = 400,
        backprop: Backprop = LastStep(),  # noqa: B008 (frozen)
        replay: int = 10_000,
        replayed: float = 1.0,
        replay_dtype: str | None = None,
        objective: Objective = DescentError(),  # noqa: B008 (frozen)
        restarts: int = 0,
        expected_errors: Sequence[Sequence[float]] = (),
    ) -> None:
        """Take the parts over; the replay buffer is empty."""
        super().__init__()
        checks.check(checks.part_of(Landscape), "IREM", energy=energy)
        checks.check(checks.count_or_zero, "IREM", steps=steps)
        checks.check(checks.part_of(Descent), "IREM", descent=descent)
        checks.check(attrs.validators.optional(checks.part_of(Descent)), "IREM", solving=solving)
        checks.check(checks.part_of(HaltingCriterion), "IREM", halting=halting)
        checks.check(checks.count_or_zero, "IREM", max_steps=max_steps)
        checks.check(checks.part_of(Backprop), "IREM", backprop=backprop)
        checks.check(checks.count_or_zero, "IREM", replay=replay)
        checks.check(checks.non_negative, "IREM", replayed=replayed)
        checks.check(half_precision, "IREM", replay_dtype=replay_dtype)
        checks.check(checks.part_of(Objective), "IREM", objective=objective)
        checks.check(checks.count_or_zero, "IREM", restarts=restarts)
        if not steps and objective.descends:
            raise SettingError(
                f"IREM got steps=0 and objective={objective!r}, which asks where a descent ends; "
                "expected at least one step, or an objective such as regression or denoising."
            )
        self.energy = energy
        self.steps = steps
        self.descent = descent
        self.solving = solving
        self.halting = halting
        self.max_steps = max_steps
        self.backprop = backprop
        self.buffer = ReplayBuffer(replay, dtype=replay_dtype) if replay else None
        self.replayed = replayed
        self.objective = objective
        self.restarts = restarts
        self.expected_errors = as_curve(expected_errors)
        self.question = getattr(energy, "question", None)
        self.answer = energy.answer

    @classmethod
    def for_task(
        cls, task: Task, *, energy: Landscape | None = None, seed: int = 0, **settings: Any
    ) -> IREM:
        """Build the solver for a task, with the paper's energy for its answers unless one is given.

        Args:
            task: what to solve.
            energy: the energy to train.
            seed: seed of the initial weights.
            settings: further constructor arguments.
        """
        return cls(energy or default_energy(task.answer).for_task(task, seed=seed), **settings)

    @property
    def compiled(self) -> bool:  # type: ignore[override]
        """Whether `compile` was called."""
        return self.energy.programs is not None

    def compile(self, **options: Any) -> None:
        """Have torch compile the energy and its gradient (see `Energy.compile`)."""
        self.energy.compile(**options)

    @property
    def autocasts(self) -> bool:  # type: ignore[override]
        """Whether `autocast` was called."""
        return self.energy.autocasts

    def autocast(self, wanted: bool = True) -> None:
        """Have the energy's layers multiply in bfloat16 (see `Landscape.autocast`)."""
        self.energy.autocast(wanted)

    def loss(
        self, problem: Problem, target: Tensor, generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Return the loss of the objective, and refill the buffer where something was descended.

        Args:
            problem: fresh questions.
            target: `(B, ...)` or `(rows, ...)` their answers.
            generator: draws starts and replayed problems, then whatever the rule draws.
        """
        example = Example(problem, target, self.energy.start(problem, generator))
        buffer = self.buffer if self.objective.descends else None
        if buffer is not None:
            replayed = round(self.replayed * problem.layout.count)
            example = buffer.union(example, replayed, generator)
        lesson = Lesson(
            energy=self.energy,
            problem=example.problem,
            target=example.target,
            start=example.iterate,
            descent=self.descent,
            steps=self.steps,
            backprop=self.backprop,
        )
        loss = self.objective.loss(lesson, generator)
        if buffer is not None and lesson.last is not None:
            buffer.push(attrs.evolve(example, iterate=lesson.last))
        return loss

    def solve(
        self,
        x: Any,
        *,
        max_steps: int | None = None,
        descent: Descent | None = None,
        halting: HaltingCriterion | None = None,
        start: Tensor | Iterate | None = None,
        restarts: int | None = None,
        particles: int = 1,
        resampling: Resampling = Resampling(),  # noqa: B008 (frozen)
        generator: torch.Generator | None = None,
        record: Sequence[str] = (),
        observer: Observer | None = None,
        differentiable: Differentiation | None = None,
    ) -> Solution:
        """Descend the energy of each question until it halts (Algorithm 2; see `minimize`).

        Where nothing is said it is the solver's own descent, halting rule, most steps and, of one
        particle from starts of its own, restarts.
        """
        if restarts is None:
            restarts = self.restarts if start is None and particles == 1 else 0
        return minimize(
            self.energy,
            x,
            descent=descent or self.solving or self.descent,
            halting=halting or self.halting,
            max_steps=self.max_steps if max_steps is None else max_steps,
            start=start,
            restarts=restarts,
            particles=particles,
            resampling=resampling,
            generator=generator,
            record=record,
            observer=observer,
            differentiable=differentiable,
        )

    def problem(self, x: Any) -> Problem:
        """Wrap a bare x as a problem of the energy (see `Landscape.problem`)."""
        return self.energy.problem(x)

    def draw_start(self, x: Any, generator: torch.Generator) -> Iterate:
        """Draw what restarts begin at (see `Landscape.start`)."""
        return self.energy.start(self.problem(x), generator)

    def solve_many(
        self,
        problems: Iterable[Any],
        *,
        max_steps: int | None = None,
        descent: Descent | None = None,
        halting: HaltingCriterion | None = None,
        restarts: int | None = None,
        capacity: int = 1024,
        seed: int = 0,
    ) -> Iterator[Solution]:
        """Solve batch after batch, refilling what is descended at a time (see `minimize_many`)."""
        again = self.restarts if restarts is None else restarts
        if again:
            way: dict[str, Any] = {"max_steps": max_steps, "descent": descent, "halting": halting}
            return super().solve_many(problems, restarts=again, seed=seed, **way)
        return minimize_many(
            self.energy,
            problems,
            descent=descent or self.solving or self.descent,
            halting=halting or self.halting,
            max_steps=self.max_steps if max_steps is None else max_steps,
            capacity=capacity,
            seed=seed,
        )

    def error(self, problem: Problem, target: Tensor, generator: torch.Generator) -> float:
        """Return the mean squared error after 80 steps at most, of single descents."""
        return self._error(problem, target, 0, generator)

    def _error(
        self, problem: Problem, target: Tensor, restarts: int, generator: torch.Generator
    ) -> float:
        steps = min(self.max_steps, _JUDGED)
        found = self.solve(problem, restarts=restarts, max_steps=steps, generator=generator)
        return float(functional.mse_loss(found.y, problem.wanted(found.y, target)))

    def calibrate(self, problem: Problem, target: Tensor, generator: torch.Generator) -> None:
        """Calibrate the energy, and descend again in solving where that makes answers better.

        Restarts pay where answers of the lowest of nine energies have errors that are by a tenth
        less than those of one descent; `restarts` is then 8, in what is saved too, unless more than
        0 were asked for. Where energies do not mean expected errors, `expected_errors` become the
        rising curve that fits those of the answers.
        """
        self.energy.calibrate(problem, target)
        if not self.restarts:
            tried = (0, _RESTARTS)
            once, again = (self._error(problem, target, each, generator) for each in tried)
            if again < _PAYS * once:
                self._settle(restarts=_RESTARTS)
        if not self._means_errors:
            self._learn_errors(problem, target, generator)

    def _learn_errors(self, problem: Problem, target: Tensor, generator: torch.Generator) -> None:
        found = self.solve(problem, max_steps=min(self.max_steps, _JUDGED), generator=generator)
        if found.energy is None:
            return
        error = (found.y - problem.wanted(found.y, target)).square()
        entry = found.energy / found.layout.entries(found.y)
        self._settle(expected_errors=fitted_curve(entry, found.layout.mean(error)))

    def _settle(self, **settings: Any) -> None:
        """Take over settings, in what is saved too."""
        for name, value in settings.items():
            setattr(self, name, value)
        self._recorded = {**self._recorded, **settings}

    @property
    def _means_errors(self) -> bool:
        return self.objective.calibrates or self.energy.calibrated

    @property
    def calibrated(self) -> bool:  # type: ignore[override]
        """Whether 2 E / n means expected errors, or a curve of `expected_errors` says them."""
        return self._means_errors or bool(self.expected_errors)

    def expected_error(self, solution: Solution) -> Float[Tensor, " problems"]:
        """Return 2 E / n of each answer, of n entries, or what `expected_errors` say of E / n."""
        energy = solution.energy
        if not self.calibrated or energy is None:
            return super().expected_error(solution)
        entry = energy / solution.layout.entries(solution.y)
        expected = (
            (2 * entry).clamp(min=0)
            if self._means_errors
            else read_off(self.expected_errors, entry)
        )
        known = energy.isfinite() & (solution.outcome != int(Outcome.NONFINITE))
        return expected.masked_fill(~known, torch.inf)

    def training_state(self) -> dict[str, Tensor]:
        """Return the replay buffer's content."""
        return {} if self.buffer is None else self.buffer.state()

    def restore_training_state(self, state: dict[str, Tensor]) -> None:
        """Refill the replay buffer."""
        if self.buffer is not None:
            self.buffer.restore(state)
