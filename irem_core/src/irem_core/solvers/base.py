"""Solvers: anything that maps a problem to a solution and can be trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import attrs
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from irem_core import checks
from irem_core.descent.base import Descent
from irem_core.errors import CompileError, SettingError, ShapeError
from irem_core.part import Preset, Recorded, Source
from irem_core.problems.iterate import Iterate
from irem_core.problems.problem import Problem
from irem_core.problems.questions import as_questions
from irem_core.problems.space import Space
from irem_core.solving.differentiation import Differentiation
from irem_core.solving.halting import HaltingCriterion
from irem_core.solving.outcome import Outcome
from irem_core.solving.solution import Observer, Solution
from irem_core.solving.streaming import starts_of
from irem_core.tasks.task import Task


class Solver(Recorded, nn.Module, ABC):
    """Anything that answers problems and learns from pairs of problem and answer."""

    presets: ClassVar[Mapping[str, Callable[[Space, Space], Preset]]] = {}
    """Named settings, given the spaces of questions and answers; the first that suits an energy is
    the command line's default for it, unless that energy has settings of its own."""
    question: Space | None = None
    """The space of the questions, where known."""
    answer: Space | None = None
    """The space of the answers, where known."""
    closed_form: ClassVar[bool] = False
    """Whether `fit` calls `fit_once`, for one iteration in all, and descends no gradient."""
    compiled: bool = False
    """Whether torch's compiler makes what the solver spends its time on."""
    autocasts: bool = False
    """Whether products are in bfloat16."""
    max_steps: int | None = None
    """The most steps of a solve where nothing is said; None for as many as the task's protocol."""
    calibrated: bool = False
    """Whether energies of answers say how wrong they are likely to be (see `expected_error`)."""
    error_spread: Tensor | None = None
    """What the errors of entries are divided by in `expected_error`, `(...)` as wide as an answer
    or shared between entries; None where it is in the squared units of answers."""

    @property
    def question_dtype(self) -> torch.dtype:
        """The type of the numbers that files of questions are read as: that of the weights."""
        return place_of(self)[1]

    @classmethod
    def for_task(cls, task: Task, *, seed: int = 0, **settings: Any) -> Self:
        """Build the solver for a task (see `Recorded.for_task`), of which it may ask anything."""
        return super().for_task(task, seed=seed, **settings)

    @classmethod
    def posed(cls, task: Source) -> Source:
        """Return what the solver's energies are built for: the task itself by default.

        Args:
            task: what to solve.
        """
        return task

    def compile(self, **options: Any) -> None:
        """Have torch compile what the solver spends its time on; only some solvers can.

        Args:
            options: of `torch.compile`, such as its backend.

        Raises:
            CompileError: this one has nothing to compile.
        """
        raise CompileError(
            f"{type(self).__name__} descends no energy that torch could compile; leave compiling "
            "out."
        )

    def autocast(self, wanted: bool = True) -> None:
        """Have products be in bfloat16; only some solvers can.

        Args:
            wanted: False for the precision of the weights again.

        Raises:
            SettingError: this one cannot, or would say nothing of answers then.
        """
        raise SettingError(
            f"{type(self).__name__} descends no energy whose products could be in bfloat16; leave "
            "autocast out."
        )

    @abstractmethod
    def loss(
        self, problem: Problem, target: Tensor, generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Return the training loss of a batch of problems with their answers.

        Args:
            problem: the questions.
            target: `(B, ...)` or `(rows, ...)` the answers.
            generator: the only source of randomness.
        """

    @abstractmethod
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
        """Answer a batch of questions.

        A solver that takes one shot ignores all arguments but x and `observer`.

        Args:
            x: questions `(B, ...)`, or a `Problem`. Vectors, matrices and images may also be an
                array of numpy, a frame of pandas or polars, or lists, of any type of numbers: they
                are converted to that of the weights. One question may lack its leading axis; its
                answer has it all the same, as a batch of one.
            max_steps: the most steps any problem takes; the solver's own if None.
            descent: how to step; that of the solver if None.
            halting: when a problem has arrived; that of the solver if None.
            start: candidates to start from; random ones if None.
            restarts: how often problems are descended again (see `minimize`); as often as the
                solver's own if None. Solvers that do not start at random refuse it.
            generator: where random starts come from; seed 0 if None.
            record: what to keep of every step (see `minimize`).
            observer: called after every step (see `minimize`).
            differentiable: gives answers a gradient (see `minimize`). Solvers that descend no
                energy of continuous answers refuse it.
        """

    def problem(self, x: Any) -> Problem:
        """Wrap a bare x as a problem, converted as `solve` says.

        Raises:
            ShapeError: it holds no numbers.
        """
        if isinstance(x, Problem):
            return x
        device, dtype = place_of(self)
        return Problem(as_questions(x, self.question, dtype=dtype, device=device), self.answer)

    def draw_start(self, x: Any, generator: torch.Generator) -> Iterate | None:
        """Draw what restarts begin at; None by default, of solvers that have nothing to choose.

        Args:
            x: questions `(B, ...)`, or a `Problem`.
            generator: where it comes from.
        """
        return None

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
        """Answer one batch of questions after the other.

        Args:
            problems: batches x as in `solve`, drawn only as they are needed.
            max_steps: the most steps any problem takes; the solver's own if None.
            descent: how to step; that of the solver if None.
            halting: when a problem has arrived; that of the solver if None.
            restarts: as for `solve`; such problems are descended batch by batch.
            capacity: how many problems a solver that descends works on at a time.
            seed: of random starts, which depend on the place of a batch alone.

        Returns:
            An iterator over the solutions of the batches, in their order.
        """
        again: dict[str, Any] = {} if restarts is None else {"restarts": restarts}
        for number, x in enumerate(problems):
            problem = self.problem(x)
            generator = starts_of(number, seed, problem.device)
            yield self.solve(
                problem,
                max_steps=max_steps,
                descent=descent,
                halting=halting,
                generator=generator,
                **again,
            )

    def error(self, problem: Problem, target: Tensor, generator: torch.Generator) -> float:
        """Return the mean squared error of answers, by which weights are judged in training.

        Args:
            problem: questions.
            target: their answers.
            generator: where random starts come from.
        """
        return float(functional.mse_loss(self.solve(problem, generator=generator).y, target))

    def expected_error(self, solution: Solution) -> Float[Tensor, " problems"]:
        """Return the mean squared error to expect of each answer, by its energy.

        It is in the squared units of answers. Where a run of pairs has entries of several spreads,
        which need have no unit in common, each error counts in the spread of its entry instead
        (`error_spread`): an error of 0.01 is then a hundredth of the variance.

        Args:
            solution: what this solver found.

        Returns:
            `(B,)`, at least 0; infinity where an energy is not finite or an answer is NONFINITE.

        Raises:
            SettingError: energies of this solver say nothing of errors, or there are none.
        """
        raise SettingError(
            f"{type(self).__name__} does not say how wrong its answers are likely to be; expected "
            "a solver whose energies mean expected errors. Train irem with --objective "
            '"weighted(objectives=(descent(), calibrated()), weights=(1, 0.3))", or on pairs '
            "(--pairs) of which twenty or more are held out."
        )

    def trust(self, solution: Solution, *, error: float) -> Bool[Tensor, " problems"]:
        """Say which answers may be trusted to be as good as is asked for.

        Where answers can be checked (`Solution.verified`) those that hold may be, whatever the
        solver. Others may be where their `expected_error` is no more than `error`, however their
        descent ended, but for NONFINITE ones.

        Args:
            solution: what this solver found.
            error: the mean squared error to put up with, above 0, in the unit of `expected_error`.

        Returns:
            `(B,)`.

        Raises:
            SettingError: the error is not above 0, or answers cannot be checked and energies say
                nothing of errors.
        """
        checks.check(checks.positive, "trust", error=error)
        if solution.verified is not None:
            return solution.verified & (solution.outcome != int(Outcome.NONFINITE))
        return self.expected_error(solution) <= error

    def calibrate(self, problem: Problem, target: Tensor, generator: torch.Generator) -> None:
        """Set what answers of training would flatter, once it is over; by default nothing.

        `fit` calls it where a task has problems that training does not draw (`Task.unseen`).

        Args:
            problem: questions that training did not see.
            target: their answers.
            generator: the only source of randomness.
        """

    def fit_once(self, task: Task, generator: torch.Generator) -> None:
        """Set the weights, if any, all at once; called where `closed_form` is set.

        Args:
            task: what to learn.
            generator: the only source of randomness, the same on every process; it lives where the
                weights do.
        """

    def forward(
        self, problem: Problem, target: Tensor, generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Return `loss`: the module's forward, so that a data-parallel wrapper sees it."""
        return self.loss(problem, target, generator)

    def training_state(self) -> dict[str, Tensor]:
        """Return what training carries besides weights, for a checkpoint to resume from."""
        return {}

    def restore_training_state(self, state: dict[str, Tensor]) -> None:
        """Take over what `training_state` returned."""


def judged(solver: Solver, solution: Solution, error: float | None) -> Solution:
    """Return a solution that says which answers may be trusted, where that is asked for.

    Args:
        solver: what found it.
        solution: the answers.
        error: as `Solver.trust` takes it; None to say nothing.
    """
    if error is None:
        return solution
    return attrs.evolve(solution, trusted=solver.trust(solution, error=error))


def place_of(solver: Solver) -> tuple[torch.device, torch.dtype]:
    """Return where a solver's weights live and of which type they are; torch's default if none."""
    weight = next(solver.parameters(), None)
    if weight is None:
        return torch.device("cpu"), torch.get_default_dtype()
    return weight.device, weight.dtype


def budget(solver: Solver, task: Task, max_steps: int | None = None) -> int:
    """Return the most steps of a solve: those given, else the solver's own, else the task's."""
    own = task.max_steps if solver.max_steps is None else solver.max_steps
    return own if max_steps is None else max_steps


def halting_of(solver: Solver) -> HaltingCriterion | None:
    """Return the rule by which a solver halts where nothing is said; None where it has none."""
    rule = getattr(solver, "halting", None)
    return rule if isinstance(rule, HaltingCriterion) else None


def restarts_of(solver: Solver) -> int:
    """Return how often a solver descends problems again where nothing is said."""
    return int(getattr(solver, "restarts", 0))


def descent_of(solver: Solver) -> Descent | None:
    """Return how a solver steps where nothing is said; None where it descends nothing."""
    steps = getattr(solver, "solving", None) or getattr(solver, "descent", None)
    return steps if isinstance(steps, Descent) else None


def check_fits(solver: Solver, task: Task) -> None:
    """Check that a solver has something to train and was built for the shapes of a task.

    Raises:
        SettingError: it has no weights.
        ShapeError: it was built for other shapes.
    """
    weights = any(parameter.requires_grad for parameter in solver.parameters())
    if not weights and not solver.closed_form:
        raise SettingError(
            f"{type(solver).__name__} has no weights to train; solve with it as it is."
        )
    for name in ("question", "answer"):
        built, wanted = getattr(solver, name), getattr(task, name)
        if built is not None and built.shape != wanted.shape:
            raise ShapeError(
                f"{type(solver).__name__} was built for {name}s of {built} and "
                f"{type(task).__name__} has {wanted}; build it with for_task for this task."
            )
