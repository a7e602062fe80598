"""IRED: learning to solve by annealed landscapes (Du et al., ICML 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from irem_core import checks
from irem_core.descent.base import Descent
from irem_core.descent.monotone import Monotone
from irem_core.energies import default_energy
from irem_core.energies.landscape import Landscape, differentiate, encoded, valued
from irem_core.energies.mlp import MLPEnergy
from irem_core.errors import SettingError, ShapeError
from irem_core.part import Preset, Source, settings_of
from irem_core.problems.iterate import Iterate
from irem_core.problems.levels import Told, told, told_space
from irem_core.problems.problem import Problem
from irem_core.problems.space import Bound, ImageSpace, Space, normal_like
from irem_core.solvers.base import Solver
from irem_core.solvers.schedules import CosineSchedule, NoiseSchedule
from irem_core.solving.annealing import Stage, anneal
from irem_core.solving.differentiation import Differentiation
from irem_core.solving.halting import FixedSteps, HaltingCriterion
from irem_core.solving.minimization import first_iterate
from irem_core.solving.settled import Settled
from irem_core.solving.solution import Observer, Solution

_CORRUPTIONS = ("noise", "entries")
# Corrupted answers have so many times the noise of their level, or so many of others' entries.
_NOISIER, _SHARE = 3.0, 0.05


def _default(question: Space, answer: Space) -> Preset:
    """Return this library's settings: those of the paper but for the rate, which falls to zero."""
    published = _published(question, answer)
    return attrs.evolve(
        published,
        source="this library",
        solver={"contrast": 0.5},
        training={
            **published.training,
            "iterations": 4_000,
            "learning_rate": 1e-3,
            "schedule": "cosine",
        },
    )


def _published(question: Space, answer: Space) -> Preset:
    """Return the published settings: ten landscapes of five steps each.

    The paper clips nothing, and so that answers beyond what training draws can be found neither
    does this; its code keeps candidates of continuous tasks within twice the signal.
    """
    return Preset(
        source="Du et al., ICML 2024, and their code for numbers of steps and updates",
        solver={
            "schedule": CosineSchedule(levels=10),
            "steps": 5,
            "descent": Monotone(shrink=1.0),
            "halting": FixedSteps(steps=5),
            "max_steps": 50,
            "contrast": 0.5,
        },
        training={
            "iterations": 50_000,
            "batch_size": 128,
            "learning_rate": 1e-4,
            "average": 0.995,
        },
    )


class IRED(Solver):
    """Iterative reasoning through energy diffusion: one energy, told how noisy candidates are.

    The energy has a landscape for each level of noise of a schedule, from nearly convex ones to one
    that is as sharp as answers are. Training (Algorithm 1) asks two things of it, at a level drawn
    for each problem: its gradient at a y* + s e is the noise e, by squared error; and the energy of
    the answer is below that of a corrupted one with the same noise, by cross-entropy. Solving
    (Algorithm 2) begins with noise alone and descends level after level, by steps that are as long
    as the level is noisy and are undone where the energy rises; candidates are rescaled from level
    to level. At the last one problems take as many steps as they need.

    Where the published code and the paper differ, this is the paper: the code first jumps to where
    the gradient says that the answer is and then descends the level, corrupts answers by two more
    steps of descent, and leaves out the last rescaling, by the signal of the sharpest level.

    Args:
        energy: the energy to train, built for questions that tell their level (see `posed`).
        question: the space of x as it is asked, where known.
        schedule: the levels of noise.
        steps: the most steps at a level but the last.
        descent: how to step; its `step_size`, if it has one, is in units of each level's
            `NoiseSchedule.moves`.
        halting: when a problem has arrived at a level.
        max_steps: the most steps of a solve by default, at all levels.
        contrast: weight of the cross-entropy, at least 0.
        corruption: "noise", three times as much as the level has, or "entries", of which a
            twentieth are those of other answers of the batch.
        clip: candidates are kept within this times the signal of a level, above 0; None for none.
        restarts: how often problems are descended again by default in solving, from other noise.

    Raises:
        SettingError: a setting is out of range, the energy has a scratchpad, or it was built for
            questions that do not tell their level.
    """

    max_steps: int

    presets: ClassVar = {"default": _default, "paper": _published}

    def __init__(
        self,
        energy: Landscape,
        *,
        question: Space | None = None,
        schedule: NoiseSchedule = CosineSchedule(),  # noqa: B008 (frozen)
        steps: int = 5,
        descent: Descent = Monotone(),  # noqa: B008 (frozen)
        halting: HaltingCriterion = Settled(relative=1e-2),  # noqa: B008 (frozen)
        max_steps: int = 400,
        contrast: float = 0.5,
        corruption: str = "noise",
        clip: float | None = None,
        restarts: int = 0,
    ) -> None:
        """Take the parts over."""
        super().__init__()
        checks.check(checks.part_of(Landscape), "IRED", energy=energy)
        checks.check(checks.part_of(NoiseSchedule), "IRED", schedule=schedule)
        checks.check(checks.part_of(Descent), "IRED", descent=descent)
        checks.check(checks.part_of(HaltingCriterion), "IRED", halting=halting)
        checks.check(checks.count_or_zero, "IRED", steps=steps, max_steps=max_steps)
        checks.check(checks.count_or_zero, "IRED", restarts=restarts)
        checks.check(checks.non_negative, "IRED", contrast=contrast)
        checks.check(checks.one_of(*_CORRUPTIONS), "IRED", corruption=corruption)
        checks.check(attrs.validators.optional(checks.positive), "IRED", clip=clip)
        _check_told(energy, question)
        self.energy = energy
        self.question = question
        self.answer = energy.answer
        self.schedule = schedule
        self.steps = steps
        self.descent = descent
        self.halting = halting
        self.max_steps = max_steps
        self.contrast = contrast
        self.corruption = corruption
        self.clip = clip
        self.restarts = restarts

    @classmethod
    def posed(cls, task: Source) -> Source:
        """Return what its energies are built for: the task, whose questions tell their level."""
        return task if isinstance(task, Told) else Told(task)

    @classmethod
    def for_task(
        cls, task: Any, *, energy: Landscape | None = None, seed: int = 0, **settings: Any
    ) -> IRED:
        """Build the solver for a task, with the paper's energy for its answers unless one is given.

        Args:
            task: what to solve.
            energy: the energy to train, built for `posed(task)`.
            seed: seed of the initial weights.
            settings: further constructor arguments.
        """
        asked = task.task if isinstance(task, Told) else task
        # The energy of images takes no questions of more channels than answers have.
        image = isinstance(asked.answer, ImageSpace)
        kind = MLPEnergy if image else default_energy(asked.answer)
        made = energy or kind.for_task(cls.posed(task), seed=seed)
        return cls(made, **{"question": asked.question, **settings})

    @property
    def compiled(self) -> bool:  # type: ignore[override]
        """Whether `compile` was called."""
        return self.energy.programs is not None

    def compile(self, **options: Any) -> None:
        """Have torch compile the energy and its gradient (see `Energy.compile`)."""
        self.energy.compile(**options)

    def problem(self, x: Any) -> Problem:
        """Wrap a bare x as a problem, with answers as large as the question where these are free.

        Raises:
            ShapeError: it holds no numbers.
        """
        problem = super().problem(x)
        question, answer = self.question, self.answer
        if question is not None and not question.ragged and not self.energy.size_free:
            question.check("x", problem.x, problem.layout.count)
        if problem is x or answer is None or answer.ragged or not self.energy.size_free:
            return problem
        return attrs.evolve(problem, answer=answer.sized(tuple(problem.x.shape[1:])))

    def loss(
        self, problem: Problem, target: Tensor, generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Return the squared error of the gradients, and the weighted cross-entropy (Algorithm 1).

        Args:
            problem: fresh questions.
            target: `(B, ...)` or `(rows, ...)` their answers.
            generator: draws levels, noise and corruptions.
        """
        layout = problem.layout
        level = torch.randint(
            len(self.schedule.noise), (layout.count,), generator=generator, device=target.device
        )
        posed = told(problem, _at(self.schedule.angles, level, target), None)
        context = encoded(self.energy, posed)
        signal = layout.spread(_at(self.schedule.signal, level, target), target)
        noise = layout.spread(_at(self.schedule.noise, level, target), target)

        def noisy(y: Tensor, e: Tensor) -> Iterate:
            return Iterate(signal * y + noise * e, layout)

        drawn = normal_like(target, generator)
        found = differentiate(self.energy, context, noisy(target, drawn), create_graph=True)
        loss = layout.mean((found.slope.y - drawn).square()).mean()
        if not self.contrast:
            return loss
        drawn = normal_like(target, generator)
        wrong = self._corrupted(target, noise / signal, generator)
        energies = [valued(self.energy, context, noisy(each, drawn)) for each in (target, wrong)]
        return loss + self.contrast * functional.softplus(energies[0] - energies[1]).mean()

    def _corrupted(self, target: Tensor, noise: Tensor, generator: torch.Generator) -> Tensor:
        """Return wrong answers.

        Args:
            target: the right ones.
            noise: as they have it at their level, in units of answers.
            generator: draws what is wrong.
        """
        if self.corruption == "noise":
            return target + _NOISIER * noise * normal_like(target, generator)
        others = torch.randperm(len(target), generator=generator, device=target.device)
        chosen = torch.rand(target.shape, generator=generator, device=target.device) < _SHARE
        return torch.where(chosen, target[others], target)

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
        """Descend the landscapes of each question, from smooth to sharp (Algorithm 2).

        Where nothing is said it is by the solver's own descent, halting rule, most steps and, from
        starts of its own, restarts. A start is a candidate answer, of which the noisiest level
        leaves little.

        Raises:
            SettingError: a number is out of range, or answers are to be differentiated.
        """
        if differentiable is not None:
            raise SettingError(
                "IRED got differentiable=...; its answers carry no gradient. Train irem, or pass "
                "none."
            )
        budget = self.max_steps if max_steps is None else max_steps
        again = (self.restarts if start is None else 0) if restarts is None else restarts
        checks.check(checks.count_or_zero, "IRED", max_steps=budget, restarts=again)
        problem = self.problem(x)
        drawn = torch.Generator(problem.device).manual_seed(0) if generator is None else generator
        stages = self._stages(descent or self.descent, budget)
        first = None
        if start is not None:
            first = first_iterate(self.energy, problem, start, drawn) * stages[0].signal
        return anneal(
            self.energy,
            problem,
            stages,
            halting=halting or self.halting,
            draw=lambda left: self._noise(left, drawn),
            start=first,
            restarts=again,
            record=record,
            observer=observer,
        )

    def draw_start(self, x: Any, generator: torch.Generator) -> Iterate:
        """Draw what restarts begin at: noise, in units of answers."""
        return self._noise(self.problem(x), generator) * (1 / self.schedule.signal[-1])

    def _noise(self, problem: Problem, generator: torch.Generator) -> Iterate:
        """Draw candidates of the noisiest level, where answers hardly show.

        Raises:
            ShapeError: the space of the answers is not known.
        """
        if problem.answer is None:
            raise ShapeError(
                "No answer space is known, so no noise can be drawn; pass start=, or build IRED "
                "with for_task, or give the Problem its answer space."
            )
        shape = (problem.layout.rows, *problem.answer.shape)
        place: dict[str, Any] = {"device": problem.device, "dtype": problem.dtype}
        return Iterate(torch.randn(shape, generator=generator, **place), problem.layout)

    def _stages(self, descent: Descent, max_steps: int) -> list[Stage]:
        """Return the levels, from smooth to sharp, with the steps that each has."""
        schedule = self.schedule
        levels = list(zip(schedule.angles, schedule.signal, schedule.moves, strict=True))
        # Where there is not a step for each level, the noisiest are left out.
        levels = levels[: max(1, max_steps)]
        each = min(self.steps, max_steps // len(levels))
        return [
            Stage(
                pose=self._poser(angle, signal, bounded=not number),
                signal=signal,
                descent=_scaled(descent, move),
                max_steps=each if number else max_steps - each * (len(levels) - 1),
            )
            for number, (angle, signal, move) in reversed(list(enumerate(levels)))
        ]

    def _poser(self, angle: float, signal: float, *, bounded: bool) -> Any:
        """Return what makes questions tell a level; at the last one answers have their bounds."""
        clip = None if self.clip is None else self.clip * signal

        def pose(problem: Problem) -> Problem:
            space = problem.answer
            # What hangs together in other ways is moved into its space once all is over.
            if space is not None and type(space).project is Space.project:
                low, high = (space.low, space.high) if bounded else (None, None)
                low, high = _times(low, signal), _times(high, signal)
                if low is None and high is None and clip is not None:
                    low, high = -clip, clip
                space = attrs.evolve(space, low=low, high=high)
            else:
                space = None
            place: dict[str, Any] = {"device": problem.device, "dtype": problem.dtype}
            return told(problem, torch.full((problem.layout.count,), angle, **place), space)

        return pose


def _check_told(energy: Landscape, question: Space | None) -> None:
    """Check that an energy was built for questions that tell their level.

    Raises:
        SettingError: it was not, or it has a scratchpad, of which no answer is known.
    """
    if energy.scratchpad:
        raise SettingError(
            f"IRED got {type(energy).__name__}, which has a scratchpad; expected an energy of "
            "answers alone, since nothing is known of what a scratchpad with noise should be."
        )
    built = getattr(energy, "question", None)
    if question is not None and isinstance(built, Space):
        wanted = told_space(question)
        if built.shape != wanted.shape:
            raise SettingError(
                f"IRED got {type(energy).__name__} built for questions of {built}; expected "
                f"{wanted}, questions that tell their level of noise. Build it with "
                "for_task(IRED.posed(task))."
            )


def _times(bound: Bound, signal: float) -> Bound:
    if isinstance(bound, tuple):
        return tuple(None if each is None else each * signal for each in bound)
    return None if bound is None else bound * signal


def _scaled(descent: Descent, move: float) -> Descent:
    """Return a descent in units of a level's moves; one without a step size finds its own."""
    settings = settings_of(descent)
    if "step_size" not in settings:
        return descent
    return type(descent)(**settings | {"step_size": settings["step_size"] * move})


def _at(values: Sequence[float], level: Int[Tensor, " problems"], like: Tensor) -> Tensor:
    return like.new_tensor(values)[level]
