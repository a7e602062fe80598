"""Difficulty parameters that say in a signature what they may be, and are checked in one place."""

from __future__ import annotations

import inspect
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from irem_core import Between, Problem, SettingError, Task


@attrs.frozen
class Range:
    """What a difficulty parameter may be; it stands in the parameter's annotation.

    Args:
        expected: the range in words, for the error.
        fits: says whether a number is in it.
    """

    expected: str
    fits: Callable[[Any], bool]

    def check(self, name: str, value: Any) -> None:
        """Raise a SettingError unless a number, or both ends of a range of them, fit."""
        ends = (value.low, value.high) if isinstance(value, Between) else (value,)
        if not all(map(self.fits, ends)):
            raise SettingError(
                f"The difficulty parameter {name} got {value}; expected {self.expected}."
            )


AT_LEAST_0 = Range("at least 0", lambda value: 0 <= value < math.inf)
Positive = Annotated[float, Range("above 0", lambda value: 0 < value < math.inf)]
NonNegative = Annotated[float, AT_LEAST_0]
Share = Annotated[float, Range("from 0 to 1", lambda value: 0 <= value <= 1)]
Count = Annotated[
    int,
    Range("a whole number of at least 1", lambda value: isinstance(value, int) and value >= 1),
]


class DeclaredTask(Task):
    """A task whose difficulty parameters are the keyword-only ones of `generate`.

    Each is annotated with its `Range`. One without a default is a setting of the task too, which is
    its default then.
    """

    @abstractmethod
    def generate(
        self, count: int, generator: torch.Generator, *args: Any, **parameters: Any
    ) -> tuple[Any, Tensor]:
        """Draw problems and answers where the generator lives (see `Task.draw`).

        Args:
            count: how many.
            generator: the only source of randomness.
            args: none; they stand for the parameters that an author names.
            parameters: all difficulty parameters, each within its range.
        """

    def draw(
        self, count: int, generator: torch.Generator, device: torch.device, **parameters: Any
    ) -> tuple[Any, Tensor]:
        """Draw problems and answers (see `Task.draw`).

        Raises:
            SettingError: a difficulty parameter is out of its range.
        """
        return self.generate(count, generator, **self.complete(parameters))

    def complete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return difficulty parameters with the defaults of those that are not given.

        Raises:
            SettingError: one is out of its range.
        """
        declared = _keywords(type(self).generate)
        values = {
            name: getattr(self, name) if each.default is each.empty else each.default
            for name, each in declared.items()
        } | dict(given)
        for name, each in declared.items():
            for rule in getattr(each.annotation, "__metadata__", ()):
                rule.check(name, values[name])
        return values

    @property
    def parameters(self) -> dict[str, Any]:
        """The difficulty parameters and their defaults."""
        return super().parameters | self.complete({})


@cache
def _keywords(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the keyword-only parameters of a function, with their annotations."""
    known = inspect.signature(function, eval_str=True).parameters
    return {name: each for name, each in known.items() if each.kind is each.KEYWORD_ONLY}


class DenseTask(DeclaredTask):
    """A task on tensors, whose size a difficulty may change."""

    def draw(
        self, count: int, generator: torch.Generator, device: torch.device, **parameters: Any
    ) -> tuple[Problem, Float[Tensor, "problems *entries"]]:
        """Draw problems and answers (see `Task.draw`), and say of which size the answers are.

        Raises:
            SettingError: a difficulty parameter is out of its range.
        """
        x, y = super().draw(count, generator, device, **parameters)
        return Problem(x, self.answer.sized(tuple(y.shape[1:]))), y

    def own_input(self, problem: Problem) -> Tensor | None:
        """Return the number in each entry's place, `(B, ..., 1)`, if x and y have one shape."""
        if self.question.shape != self.answer.shape:
            return None
        x: Tensor = problem.x
        return x[..., None]
