"""Solving in standard units what is asked and answered in the user's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import torch
from torch import Tensor

from irem_core.energies.in_units import standardized
from irem_core.energies.landscape import Evaluation, Landscape
from irem_core.problems.iterate import Iterate
from irem_core.problems.problem import Problem
from irem_core.problems.space import Space
from irem_core.problems.units import Units
from irem_core.solving.solution import Observer, Solution


@attrs.frozen(eq=False)
class Conversion:
    """The way of starts, observers and solutions between the user's units and standard ones.

    Args:
        units: of the answers.
        answer: the space of the answers, with bounds in the user's units; None where not known.
    """

    units: Units
    answer: Space | None

    @property
    def bounds(self) -> Space | None:
        """The space of the answers, with bounds in standard units."""
        return None if self.answer is None else self.units.bounds(self.answer)

    def standard(self, start: Any, dtype: torch.dtype | None = None) -> Any:
        """Return a start in standard units; what is none is left to be refused.

        Args:
            start: in the user's, a tensor or an `Iterate`.
            dtype: as in `Units.standard`.
        """
        y = start.y if isinstance(start, Iterate) else start
        if not isinstance(y, Tensor) or not y.is_floating_point():
            return start
        if self.answer is not None and tuple(y.shape[1:]) != self.answer.shape:
            return start
        moved = self.units.standard(y, dtype)
        return attrs.evolve(start, y=moved) if isinstance(start, Iterate) else moved

    def observer(self, observer: Observer | None) -> Observer | None:
        """Return an observer that is shown what the given one sees in the user's units."""
        return None if observer is None else _Plain(observer, self)

    def plain(self, y: Tensor) -> Tensor:
        """Return answers in the user's units, which rounding may not take out of their bounds."""
        found = self.units.plain(y)
        return found if self.answer is None else self.answer.project(found)

    def solution(self, solution: Solution) -> Solution:
        """Return a solution in the user's units."""
        trace = solution.trace
        if trace is not None and trace.y is not None:
            trace = attrs.evolve(trace, y=self.plain(trace.y))
        y, last = self.plain(solution.y), self.plain(solution.last)
        return attrs.evolve(solution, y=y, last=last, trace=trace)


@attrs.frozen(eq=False)
class InStandardUnits:
    """A problem of the user's to be minimised in standard units.

    Args:
        energy: as a function of answers in standard units.
        problem: with the answers' bounds in standard units.
        conversion: the way back.
    """

    energy: Landscape
    problem: Problem
    conversion: Conversion

    @classmethod
    def of(cls, energy: Landscape, x: Any, units: Units) -> InStandardUnits:
        """Rewrite an energy, and questions with the space of their answers.

        Args:
            energy: of answers in the user's units.
            x: questions `(B, ...)`, or a `Problem`.
            units: of the answers.
        """
        problem = energy.problem(x)
        conversion = Conversion(units, problem.answer)
        verify = None if problem.verify is None else _Verify(problem.verify, units)
        rewritten = Problem(problem.x, conversion.bounds, problem.layout, verify=verify)
        return cls(standardized(energy, units), rewritten, conversion)


@attrs.frozen
class _Verify:
    """Checks answers in standard units; equal for all batches of a stream."""

    verify: Callable[[Problem, Tensor], Tensor]
    units: Units

    def __call__(self, problem: Problem, y: Tensor) -> Tensor:
        return self.verify(problem, self.units.plain(y))


@attrs.frozen(eq=False)
class _Plain:
    """Shows an observer what happens in the user's units."""

    observer: Observer
    conversion: Conversion

    def __call__(self, step: int, problems: Tensor, evaluation: Evaluation) -> None:
        at, slope = evaluation.iterate, evaluation.gradient
        units = self.conversion.units
        plain = Evaluation(
            attrs.evolve(at, y=self.conversion.plain(at.y)),
            evaluation.energy,
            None if slope is None else attrs.evolve(slope, y=units.slope(slope.y)),
        )
        self.observer(step, problems, plain)
