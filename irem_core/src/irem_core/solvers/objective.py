"""Objectives: what training asks of an energy, given problems, their answers and starts.

A backpropagation rule says how the loss of a descent reaches the weights; an objective says what
the loss is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from numbers import Real
from typing import Any

import attrs
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from irem_core import checks
from irem_core.descent.base import Descent
from irem_core.energies.landscape import Landscape, encoded, valued
from irem_core.errors import SettingError
from irem_core.problems.iterate import Iterate
from irem_core.problems.problem import Problem
from irem_core.solvers.backprop import Backprop, Rollout


@attrs.define(eq=False, kw_only=True, slots=False)
class Lesson:
    """What an objective is given: problems with their answers, and the descent of training.

    Args:
        energy: the energy to train.
        problem: the questions, fresh ones and replayed.
        target: `(B, ...)` or `(rows, ...)` their answers.
        start: where the descent begins.
        descent: how it steps.
        steps: how often; 0 where there is none.
        backprop: how a loss on its iterates reaches the weights.
        last: where it arrived, as constants; None before it is taken.
    """

    energy: Landscape
    problem: Problem
    target: Tensor
    start: Iterate
    descent: Descent
    steps: int
    backprop: Backprop
    last: Iterate | None = None

    def descended(
        self,
        error: Callable[[Iterate], Float[Tensor, ""]],
        generator: torch.Generator,
        *,
        every: bool = False,
    ) -> Float[Tensor, ""]:
        """Descend, and return the loss that the backpropagation rule makes of an error.

        Args:
            error: the loss on an iterate.
            generator: whatever the rule draws with.
            every: whether the loss is on all iterates, rather than on the last.
        """
        loss, last = self.backprop.loss(self._rollout(every), error, generator)
        self.last = last.detach()
        return loss

    def arrived(self) -> Iterate:
        """Return where the descent arrives, as constants; it is taken once."""
        if self.last is None:
            *_, last = self._rollout(every=False).iterates(truncate=True, attach=False)
            self.last = last.detach()
        return self.last

    def errors(self, iterate: Iterate) -> Float[Tensor, " problems"]:
        """Return the mean squared error of each candidate, to the nearest right answer."""
        right = self.problem.wanted(iterate.y, self.target)
        return self.problem.layout.mean((iterate.y - right).square())

    @cached_property
    def context(self) -> Any:
        """What the energy encodes of the questions, with its graph."""
        return encoded(self.energy, self.problem)

    def energies(self, y: Tensor, like: Iterate) -> Float[Tensor, " problems"]:
        """Return the energies of candidates, with a graph to the weights.

        Args:
            y: the candidates.
            like: an iterate with the scratchpad that goes with them, where there is one.
        """
        return valued(self.energy, self.context, attrs.evolve(like, y=y))

    def _rollout(self, every: bool) -> Rollout:
        return Rollout(
            energy=self.energy,
            problem=self.problem,
            start=self.start,
            descent=self.descent,
            steps=self.steps,
            every=every,
        )


@attrs.frozen(kw_only=True)
class Objective(ABC):
    """What training asks of an energy. An author writes `loss`, and `descends` if it is not so."""

    @property
    def descends(self) -> bool:
        """Whether it hangs on where a descent arrives; such problems are replayed."""
        return True

    @property
    def calibrates(self) -> bool:
        """Whether it makes 2 E / n the squared error to expect of an entry, of n entries."""
        return False

    @abstractmethod
    def loss(self, lesson: Lesson, generator: torch.Generator) -> Float[Tensor, ""]:
        """Return the loss, with a graph to the weights of the energy.

        Args:
            lesson: problems, answers, and the descent of training.
            generator: the only source of randomness.

        Raises:
            SettingError: the energy lacks what the objective needs.
        """

    def __add__(self, other: Objective) -> WeightedObjectives:
        """Return the sum of two objectives, itself an objective."""
        return _combined((1.0, self), (1.0, other))

    def __mul__(self, weight: float) -> WeightedObjectives:
        """Return a multiple of an objective, itself an objective."""
        return _combined((weight, self))

    __rmul__ = __mul__


@attrs.frozen(kw_only=True)
class DescentError(Objective):
    """The squared error of where a descent of fixed length arrives (Eq. 6, Eq. 10).

    Of several right answers it is that to the nearest, where the task can say (`Task.nearest`).

    Args:
        supervise: "last" puts the loss on the last iterate (Eq. 6), "every" sums it over all
            iterates (Algorithm 1).
    """

    supervise: str = attrs.field(default="last", validator=checks.one_of("last", "every"))

    def loss(self, lesson: Lesson, generator: torch.Generator) -> Float[Tensor, ""]:
        """Return the mean squared error after descent (see `Objective.loss`)."""

        def error(iterate: Iterate) -> Float[Tensor, ""]:
            return functional.mse_loss(iterate.y, lesson.problem.wanted(iterate.y, lesson.target))

        return lesson.descended(error, generator, every=self.supervise == "every")


def _weights(instance: Any, attribute: Any, value: Sequence[float]) -> None:
    for each in value:
        checks.non_negative(instance, attribute, each)


def _objectives(instance: Any, attribute: Any, value: Sequence[Any]) -> None:
    for each in value:
        checks.part_of(Objective)(instance, attribute, each)


@attrs.frozen(kw_only=True)
class WeightedObjectives(Objective):
    """The weighted sum of objectives: `DescentError() + 0.3 * Calibrated()` makes one.

    As a text it is "weighted(objectives=(descent(), calibrated()), weights=(1, 0.3))".

    Args:
        objectives: at least one; their descent is the same one.
        weights: of each, at least 0; 1 for all if there are none.

    Raises:
        SettingError: there is no objective, or not a weight for each.
    """

    objectives: tuple[Objective, ...] = attrs.field(converter=tuple, validator=_objectives)
    weights: tuple[float, ...] = attrs.field(converter=tuple, validator=_weights, default=())

    def __attrs_post_init__(self) -> None:
        """Check that there are as many of both."""
        if not self.objectives or len(self.weights) not in (0, len(self.objectives)):
            raise SettingError(
                f"WeightedObjectives got {len(self.objectives)} objectives and "
                f"{len(self.weights)} weights; expected at least one, and a weight for each."
            )

    @property
    def descends(self) -> bool:
        """Whether one of them does."""
        return any(objective.descends for _, objective in self.terms())

    @property
    def calibrates(self) -> bool:
        """Whether one of them does that has a weight."""
        return any(weight > 0 and objective.calibrates for weight, objective in self.terms())

    def loss(self, lesson: Lesson, generator: torch.Generator) -> Float[Tensor, ""]:
        """Return the weighted sum of the losses (see `Objective.loss`).

        That of the descent comes first, so that others find where it arrived.
        """
        terms = sorted(self.terms(), key=lambda term: not isinstance(term[1], DescentError))
        losses = [weight * objective.loss(lesson, generator) for weight, objective in terms]
        return torch.stack(losses).sum()

    def terms(self) -> list[tuple[float, Objective]]:
        """List the objectives with their weights."""
        weights = self.weights or (1.0,) * len(self.objectives)
        return list(zip(weights, self.objectives, strict=True))


def _combined(*terms: tuple[float, Objective]) -> WeightedObjectives:
    if not all(isinstance(w, Real) and isinstance(o, Objective) for w, o in terms):
        return NotImplemented  # type: ignore[no-any-return]
    flat: list[tuple[float, Objective]] = []
    for weight, objective in terms:
        inner = (
            objective.terms() if isinstance(objective, WeightedObjectives) else [(1.0, objective)]
        )
        flat += [(weight * factor, each) for factor, each in inner]
    weights, objectives = zip(*flat, strict=True)
    return WeightedObjectives(objectives=objectives, weights=weights)
