"""A solver in the user's units around one that works with numbers of mean 0 and spread 1."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, cast

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from irem_core import checks
from irem_core.descent.base import Descent
from irem_core.energies.in_units import EnergyInUnits
from irem_core.energies.landscape import Landscape
from irem_core.errors import SettingError
from irem_core.pairs.files import Moments
from irem_core.problems.factored import FactorSpace
from irem_core.problems.iterate import Iterate
from irem_core.problems.problem import Problem
from irem_core.problems.questions import as_questions
from irem_core.problems.space import Space, VectorSpace, require_dense
from irem_core.problems.units import Units
from irem_core.solvers.base import Solver, descent_of, halting_of, restarts_of
from irem_core.solving.halting import HaltingCriterion
from irem_core.solving.in_units import Conversion
from irem_core.solving.solution import Observer, Solution


class Standardized(Solver):
    """A solver whose questions and answers are the user's, around one for standard units.

    Losses, energies and halting are those of the solver inside. Questions, starts, answers and what
    observers see are in the user's units. The units are kept with the weights. Training knows of
    no bounds, which would hide from it by how much an answer is beyond them.

    Args:
        solver: what learns and solves, in standard units.
        question: the space of x.
        answer: the space of y, whose bounds no answer leaves.

    Raises:
        SettingError: a space is ragged, and they are not of factor graphs and their entries.
    """

    def __init__(self, solver: Solver, *, question: Space, answer: Space) -> None:
        """Begin with the units that leave numbers as they are."""
        super().__init__()
        checks.check(checks.part_of(Solver), "Standardized", solver=solver)
        if not isinstance(question, FactorSpace):
            require_dense("Standardized", question=question, answer=answer)
        self.solver = solver
        self.question = question
        self.answer = answer
        self.question_units = Units.for_space(question)
        self.answer_units = Units.for_space(answer)

    def set_units(self, question: Moments, answer: Moments) -> None:
        """Take over what was measured of questions and answers."""
        for units, found in ((self.question_units, question), (self.answer_units, answer)):
            units.set(found.mean, found.scale, fine=found.fine)

    @property
    def max_steps(self) -> int | None:  # type: ignore[override]
        """Those of the solver inside."""
        return self.solver.max_steps

    @property
    def halting(self) -> HaltingCriterion | None:
        """The rule of the solver inside."""
        return halting_of(self.solver)

    @property
    def solving(self) -> Descent | None:
        """How the solver inside steps."""
        return descent_of(self.solver)

    @property
    def question_dtype(self) -> torch.dtype:
        """Double precision, where single does not tell questions apart."""
        return self.question_units.mean.dtype

    @property
    def restarts(self) -> int:
        """How often the solver inside descends problems again."""
        return restarts_of(self.solver)

    @property
    def descent(self) -> Descent | None:
        """How the solver inside steps in training; its steps are in standard units."""
        steps = getattr(self.solver, "descent", None)
        return steps if isinstance(steps, Descent) else None

    @property
    def energy(self) -> Landscape:
        """The energy of the solver inside, of questions and answers in the user's units.

        `minimize(solver.energy + penalty, x, descent=solver.descent)` steps in standard units and
        shows the penalty answers in the user's.

        Raises:
            SettingError: the solver inside descends none.
        """
        energy = getattr(self.solver, "energy", None)
        if not isinstance(energy, Landscape):
            raise SettingError(
                f"{type(self.solver).__name__} descends no energy; expected a solver that does, "
                "such as irem."
            )
        return EnergyInUnits(
            energy,
            question_units=self.question_units,
            answer_units=self.answer_units,
            question=cast(Space, self.question),
            answer=cast(Space, self.answer),
        )

    @property
    def compiled(self) -> bool:  # type: ignore[override]
        """Whether `compile` was called."""
        return self.solver.compiled

    def compile(self, **options: Any) -> None:
        """Have torch compile what the solver inside spends its time on (see `Solver.compile`)."""
        self.solver.compile(**options)

    @property
    def autocasts(self) -> bool:  # type: ignore[override]
        """Whether `autocast` was called."""
        return self.solver.autocasts

    def autocast(self, wanted: bool = True) -> None:
        """Have the solver inside multiply in bfloat16 (see `Solver.autocast`)."""
        self.solver.autocast(wanted)

    def loss(
        self, problem: Problem, target: Tensor, generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Return the loss of the solver inside, in standard units."""
        answer = self.answer_units.bounds(self._answer(problem))
        energy = getattr(self.solver, "energy", None)
        if not (isinstance(energy, Landscape) and energy.trained_within_bounds):
            answer = attrs.evolve(answer, low=None, high=None)
        asked = self._asked(problem, answer)
        return self.solver.loss(asked, self.answer_units.standard(target), generator)

    def solve(
        self,
        x: Any,
        *,
        start: Tensor | Iterate | None = None,
        observer: Observer | None = None,
        **options: Any,
    ) -> Solution:
        """Answer questions in the user's units (see `Solver.solve`).

        Args:
            x: questions, as `Solver.solve` takes them; numbers in double precision stay so until
                they are in standard units.
            start: candidates to start from; random ones if None.
            observer: called after every step, with iterates in the user's units.
            options: what else the solver inside takes.

        Raises:
            ShapeError: x or the start has the wrong shape or type.
            NonFiniteError: x holds NaN or infinity.
        """
        problem = self.standard(x)
        conversion = self.conversion(x)
        solution = self.solver.solve(
            problem,
            start=conversion.standard(start),
            observer=conversion.observer(observer),
            **options,
        )
        return conversion.solution(solution)

    def error(self, problem: Problem, target: Tensor, generator: torch.Generator) -> float:
        """Return the error of the solver inside, in standard units."""
        standard = self.answer_units.standard(target)
        return self.solver.error(self.standard(problem), standard, generator)

    def calibrate(self, problem: Problem, target: Tensor, generator: torch.Generator) -> None:
        """Calibrate the solver inside, in standard units."""
        standard = self.answer_units.standard(target)
        self.solver.calibrate(self.standard(problem), standard, generator)

    @property
    def calibrated(self) -> bool:  # type: ignore[override]
        """Whether energies of the solver inside are."""
        return self.solver.calibrated

    @property
    def error_spread(self) -> Tensor | None:  # type: ignore[override]
        """The spread of each entry in training; None where all that vary have the same one."""
        scale = self.answer_units.scale
        return scale if scale[scale > 0].unique().numel() > 1 else None

    def expected_error(self, solution: Solution) -> Float[Tensor, " problems"]:
        """Return what the solver inside expects, in the user's units where these are of one spread.

        Otherwise errors count in the spreads of their entries (see `Solver.expected_error`).
        """
        expected = self.solver.expected_error(solution)
        if self.error_spread is not None:
            return expected
        return expected * self.answer_units.scale.max().square()

    def draw_start(self, x: Any, generator: torch.Generator) -> Iterate | None:
        """Draw what restarts of the solver inside begin at, in the user's units."""
        start = self.solver.draw_start(self.standard(x), generator)
        if start is None:
            return None
        return attrs.evolve(start, y=self.conversion(x).plain(start.y))

    def solve_many(self, problems: Iterable[Any], **options: Any) -> Iterator[Solution]:
        """Answer batch after batch (see `Solver.solve_many`)."""
        waiting: deque[Conversion] = deque()

        def standard() -> Iterator[Problem]:
            for x in problems:
                waiting.append(self.conversion(x))
                yield self.standard(x)

        for solution in self.solver.solve_many(standard(), **options):
            yield waiting.popleft().solution(solution)

    def training_state(self) -> dict[str, Tensor]:
        """Return what the solver inside carries."""
        return self.solver.training_state()

    def restore_training_state(self, state: dict[str, Tensor]) -> None:
        """Give it back to the solver inside."""
        self.solver.restore_training_state(state)

    def standard(self, x: Any) -> Problem:
        """Return a problem in standard units, as are the bounds of its answers.

        Raises:
            ShapeError: x has the wrong shape or type.
            NonFiniteError: x holds NaN or infinity.
        """
        return self._asked(x, self.answer_units.bounds(self._answer(x)))

    def conversion(self, x: Any) -> Conversion:
        """Return the way of starts and answers to questions between the user's units and these."""
        return Conversion(self.answer_units, self._answer(x))

    def _answer(self, x: Any) -> Space:
        """Return the space of the answers to questions, with bounds in the user's units."""
        question, answer = cast(Space, self.question), cast(Space, self.answer)
        if isinstance(x, Problem) and x.answer is not None:
            return x.answer
        asked = self._numbers(x)
        energy = getattr(self.solver, "energy", None)
        shape = tuple(asked.shape[1:]) if isinstance(asked, Tensor) else question.shape
        if shape == question.shape or not getattr(energy, "size_free", False):
            return answer
        return answer.sized(shape)

    def _numbers(self, x: Any) -> Any:
        """Return questions in their own precision, needed until they are in standard units."""
        device, question = self.question_units.mean.device, self.question
        return x.x if isinstance(x, Problem) else as_questions(x, question, device=device)

    def _asked(self, x: Any, answer: Space) -> Problem:
        asked = self._numbers(x)
        question = cast(Space, self.question)
        if isinstance(asked, Tensor) and not isinstance(question, VectorSpace):
            # Size-free energies take images and matrices of other heights and widths.
            question = question.sized(tuple(asked.shape[1:]))
        if isinstance(question, FactorSpace):
            # What is linked to what the energy checks itself.
            question.check_features("The run", asked)
        else:
            question.check("x", asked)
        layout = x.layout if isinstance(x, Problem) else None
        return Problem(self.question_units.standard(asked), answer, layout)
