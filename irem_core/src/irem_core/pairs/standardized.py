"""A solver in the user's units around one that works with numbers of mean 0 and spread 1."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

import attrs
import torch
from jaxtyping import Float
from torch import Tensor, nn

from irem_core import checks
from irem_core.descent.base import Descent
from irem_core.energies.landscape import Evaluation
from irem_core.pairs.files import Moments
from irem_core.problems.iterate import Iterate
from irem_core.problems.problem import Problem
from irem_core.problems.questions import as_questions
from irem_core.problems.space import Space, VectorSpace, require_dense
from irem_core.solvers.base import Solver, descent_of, halting_of
from irem_core.solving.halting import HaltingCriterion
from irem_core.solving.minimization import Observer
from irem_core.solving.solution import Solution


class Units(nn.Module):
    """The mean and spread of a space's entries, and the way to standard units and back.

    What never varied has a spread of 0: in standard units it is 0 whatever it is now, and back in
    the user's it is the constant that it was. The mean is in double precision where single does not
    tell the user's numbers apart, and then they are too; standard ones have the type of `scale`.

    Args:
        shape: that they are shared in, which broadcasts against rows.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        """Begin with mean 0 and spread 1."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    @classmethod
    def for_space(cls, space: Space) -> Units:
        """Share as `Moments` does: entry by entry in vectors, by channel in images."""
        shared = {1: space.shape, 2: (1, 1), 3: (*space.shape[:1], 1, 1)}
        return cls(shared[len(space.shape)])

    def set(self, moments: Moments) -> None:
        """Take over what was measured."""
        self._widen(torch.float64 if moments.fine else self.mean.dtype)
        self.mean.copy_(torch.from_numpy(moments.mean))
        self.scale.copy_(torch.from_numpy(moments.scale))

    def standard(self, value: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return values of the user in standard units."""
        return ((value - self.mean) * self._inverse()).to(self.scale.dtype)

    def plain(self, value: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return standard values in the user's units."""
        return value * self.scale + self.mean

    def slope(self, gradient: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return a gradient in standard units as one in the user's."""
        return gradient * self._inverse()

    def _inverse(self) -> Tensor:
        return torch.where(self.scale > 0, 1 / self.scale, 0.0)

    def _widen(self, dtype: torch.dtype) -> None:
        self.mean = self.mean.to(dtype)

    def _load_from_state_dict(self, state: Any, prefix: str, *others: Any) -> None:
        if f"{prefix}mean" in state:
            self._widen(state[f"{prefix}mean"].dtype)
        super()._load_from_state_dict(state, prefix, *others)


class Standardized(Solver):
    """A solver whose questions and answers are the user's, around one for standard units.

    Losses, energies and halting are those of the solver inside. Questions, starts, answers and what
    observers see are in the user's units. The units are kept with the weights.

    Args:
        solver: what learns and solves, in standard units.
        question: the space of x.
        answer: the space of y.

    Raises:
        SettingError: a space is ragged.
    """

    def __init__(self, solver: Solver, *, question: Space, answer: Space) -> None:
        """Begin with the units that leave numbers as they are."""
        super().__init__()
        checks.check(checks.part_of(Solver), "Standardized", solver=solver)
        require_dense("Standardized", question=question, answer=answer)
        self.solver = solver
        self.question = question
        self.answer = answer
        self.question_units = Units.for_space(question)
        self.answer_units = Units.for_space(answer)

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
        standard = self.answer_units.standard(target)
        return self.solver.loss(self.standard(problem), standard, generator)

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
        start = self._standard_start(start)
        watch = None if observer is None else _Plain(observer, self.answer_units)
        solution = self.solver.solve(self.standard(x), start=start, observer=watch, **options)
        return self.plain(solution)

    def _standard_start(self, start: Tensor | Iterate | None) -> Tensor | Iterate | None:
        y = start.y if isinstance(start, Iterate) else start
        if not isinstance(y, Tensor) or not y.is_floating_point():
            return start  # nothing, or what the solver inside refuses
        standard = self.answer_units.standard(y)
        return attrs.evolve(start, y=standard) if isinstance(start, Iterate) else standard

    def draw_start(self, x: Any, generator: torch.Generator) -> Iterate | None:
        """Draw what restarts of the solver inside begin at, in the user's units."""
        start = self.solver.draw_start(self.standard(x), generator)
        if start is None:
            return None
        return attrs.evolve(start, y=self.answer_units.plain(start.y))

    def solve_many(self, problems: Iterable[Any], **options: Any) -> Iterator[Solution]:
        """Answer batch after batch (see `Solver.solve_many`)."""
        standard = (self.standard(x) for x in problems)
        for solution in self.solver.solve_many(standard, **options):
            yield self.plain(solution)

    def training_state(self) -> dict[str, Tensor]:
        """Return what the solver inside carries."""
        return self.solver.training_state()

    def restore_training_state(self, state: dict[str, Tensor]) -> None:
        """Give it back to the solver inside."""
        self.solver.restore_training_state(state)

    def standard(self, x: Any) -> Any:
        """Return a problem in standard units, or a bare x where no `Problem` was given.

        Raises:
            ShapeError: x has the wrong shape or type.
            NonFiniteError: x holds NaN or infinity.
        """
        question = cast(Space, self.question)
        # In their own precision, which is needed until they are in standard units.
        device = self.question_units.mean.device
        asked = x.x if isinstance(x, Problem) else as_questions(x, question, device=device)
        if isinstance(asked, Tensor) and not isinstance(question, VectorSpace):
            # Size-free energies take images and matrices of other heights and widths.
            question = question.sized(tuple(asked.shape[1:]))
        question.check("x", asked)
        standard = self.question_units.standard(asked)
        return Problem(standard, x.answer, x.layout) if isinstance(x, Problem) else standard

    def plain(self, solution: Solution) -> Solution:
        """Return a solution of the solver inside in the user's units."""
        units, trace = self.answer_units, solution.trace
        if trace is not None and trace.y is not None:
            trace = attrs.evolve(trace, y=units.plain(trace.y))
        y, last = units.plain(solution.y), units.plain(solution.last)
        return attrs.evolve(solution, y=y, last=last, trace=trace)


@attrs.frozen
class _Plain:
    """Shows an observer what happens in the user's units."""

    observer: Observer
    units: Units

    def __call__(self, step: int, problems: Tensor, evaluation: Evaluation) -> None:
        at, slope = evaluation.iterate, evaluation.gradient
        plain = Evaluation(
            attrs.evolve(at, y=self.units.plain(at.y)),
            evaluation.energy,
            None if slope is None else attrs.evolve(slope, y=self.units.slope(slope.y)),
        )
        self.observer(step, problems, plain)
