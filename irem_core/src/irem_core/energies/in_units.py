"""Energies of answers in one unit as energies of answers in another."""

from __future__ import annotations

from typing import Any

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from irem_core.energies.base import Energy, WeightedEnergies
from irem_core.energies.landscape import Landscape
from irem_core.problems.iterate import Iterate
from irem_core.problems.problem import Problem
from irem_core.problems.space import Space
from irem_core.problems.units import Units


def standardized(energy: Landscape, units: Units) -> Landscape:
    """Return the same energy as a function of answers in standard units.

    Questions stay as they are. An energy that was learned in these very units is not converted to
    the user's and back, which would round it.

    Args:
        energy: of answers in the user's units.
        units: those of the answers.
    """
    if isinstance(energy, WeightedEnergies):
        weights, energies = zip(*energy.terms(), strict=True)
        return WeightedEnergies([standardized(each, units) for each in energies], weights)
    if isinstance(energy, EnergyInUnits) and energy.units is units:
        return energy.asked
    return _Standard(energy, units)


class _Around(Energy):
    """An energy around another, whose questions or answers it converts."""

    def __init__(self, inside: Landscape) -> None:
        super().__init__()
        self.inside = inside
        self.scratchpad = inside.scratchpad
        self.exacting = inside.exacting
        self.size_free = inside.size_free
        self.autocasts = inside.autocasts

    def encode(self, problem: Problem) -> Any:
        return self.inside.encode(self.problem_inside(problem))

    def value(self, context: Any, iterate: Iterate) -> Float[Tensor, " problems"]:
        return self.inside.value(context, self.iterate_inside(iterate))

    def misfits(self, context: Any, iterate: Iterate) -> Tensor | None:
        return self.inside.misfits(context, self.iterate_inside(iterate))

    def start(self, problem: Problem, generator: torch.Generator) -> Iterate:
        return self.outside(self.inside.start(self.problem_inside(problem), generator))

    def first_start(self, problem: Problem, generator: torch.Generator) -> Iterate:
        return self.outside(self.inside.first_start(self.problem_inside(problem), generator))

    def problem_inside(self, problem: Problem) -> Problem:
        """Return a problem as the energy inside takes it."""
        return problem

    def iterate_inside(self, iterate: Iterate) -> Iterate:
        """Return candidates as the energy inside takes them."""
        return iterate

    def outside(self, iterate: Iterate) -> Iterate:
        """Return candidates of the energy inside as they are here."""
        return iterate


class _Standard(_Around):
    """An energy of the user's answers as one of answers in standard units."""

    def __init__(self, inside: Landscape, units: Units) -> None:
        super().__init__(inside)
        self.question = getattr(inside, "question", None)
        self._units = units

    def problem_inside(self, problem: Problem) -> Problem:
        # Penalties may know of no space; what is asked of one concerns the user's units.
        answer = self.inside.answer if self.inside.answer is not None else problem.answer
        return Problem(problem.x, answer, problem.layout)

    def iterate_inside(self, iterate: Iterate) -> Iterate:
        return attrs.evolve(iterate, y=self._units.plain(iterate.y))

    def outside(self, iterate: Iterate) -> Iterate:
        return attrs.evolve(iterate, y=self._units.standard(iterate.y))


class _Asked(_Around):
    """An energy in standard units that is asked questions in the user's."""

    def __init__(self, inside: Landscape, units: Units, question: Space) -> None:
        super().__init__(inside)
        self.question = question
        self._units = units

    def problem_inside(self, problem: Problem) -> Problem:
        return Problem(self._units.standard(problem.x), problem.answer, problem.layout)


class EnergyInUnits(_Around):
    """E(x, y) of questions and answers in the user's units, learned in standard ones.

    It adds up with energies that are written in the user's units, such as penalties. `minimize`
    takes its steps in standard units, so that step sizes are those of training.

    Args:
        energy: in standard units.
        question_units: the mean and spread of questions.
        answer_units: likewise of answers.
        question: the space of x.
        answer: the space of y, with bounds in the user's units.
    """

    def __init__(
        self,
        energy: Landscape,
        *,
        question_units: Units,
        answer_units: Units,
        question: Space,
        answer: Space,
    ) -> None:
        """Take them over."""
        super().__init__(_Asked(energy, question_units, question))
        self.answer_units = answer_units
        self.question = question
        self.answer = answer

    @property
    def units(self) -> Units:
        """Those of the answers."""
        return self.answer_units

    @property
    def asked(self) -> Landscape:
        """The energy of questions in the user's units and answers in standard ones."""
        return self.inside

    def problem_inside(self, problem: Problem) -> Problem:
        """Return a problem whose answers' bounds are in standard units."""
        answer = None if problem.answer is None else self.units.bounds(problem.answer)
        return Problem(problem.x, answer, problem.layout)

    def iterate_inside(self, iterate: Iterate) -> Iterate:
        """Return candidates in standard units."""
        return attrs.evolve(iterate, y=self.units.standard(iterate.y))

    def outside(self, iterate: Iterate) -> Iterate:
        """Return candidates in the user's units."""
        return attrs.evolve(iterate, y=self.units.plain(iterate.y))
