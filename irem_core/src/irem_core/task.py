"""Tasks: where problems come from, at which difficulty, and what is known about them."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import torch
from torch import Tensor

from irem_core import checks
from irem_core.errors import SettingError, UnknownNameError, near_matches
from irem_core.part import Recorded
from irem_core.problem import Problem
from irem_core.space import Space

if TYPE_CHECKING:
    from irem_core.energy import Landscape


@attrs.frozen
class Difficulty:
    """A distribution of a task's problems: a name, or free parameters written as `scale=5`.

    Args:
        name: as given on the command line and used in results.
        parameters: keyword arguments of the task's `draw`.
    """

    name: str
    parameters: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Published:
    """A figure from the literature: mean squared error over all entries unless `metric` says else.

    Args:
        method: whose it is, by the name of the solver here where there is one.
        difficulty: the difficulty that it is for.
        value: the figure.
        source: where it was published.
        metric: what is measured.
    """

    method: str
    difficulty: str
    value: float
    source: str
    metric: str = "mse"


@attrs.frozen(kw_only=True)
class Floor:
    """What an answer without reasoning scores, as mean squared error over all entries.

    Args:
        constant: the best constant answer, fitted on training problems.
        entrywise: the best function of an entry's own input, fitted likewise; None where an entry
            has no input of its own.
    """

    constant: float
    entrywise: float | None = None


class Task(Recorded, ABC):
    """A kind of problem. An author sets the spaces and writes `draw`.

    The keyword-only parameters of `draw` are the task's difficulty parameters; their defaults are
    the training distribution. Named difficulties set some of them.
    """

    question: Space
    """What x looks like."""
    answer: Space
    """What y looks like."""
    difficulties: ClassVar[Mapping[str, Mapping[str, Any]]] = {"train": {}, "same": {}}
    """Named difficulties and the parameters of `draw` that they set."""
    published: tuple[Published, ...] = ()
    """Figures to compare with."""
    max_steps: ClassVar[int] = 80
    """Steps that evaluation takes by default: 80 on vectors and 40 on graphs, as published."""

    @abstractmethod
    def draw(
        self, count: int, generator: torch.Generator, device: torch.device
    ) -> tuple[Any, Tensor]:
        """Draw problems, all at once and on the device.

        Args:
            count: how many.
            generator: the only source of randomness; it lives on `device`.
            device: where the tensors must live.

        Returns:
            x and y: tensors `(count, ...)`; or a `Problem` and y where answers are ragged.
        """

    def sample(
        self,
        count: int,
        difficulty: str | Difficulty = "train",
        *,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
    ) -> tuple[Problem, Tensor]:
        """Draw a batch of problems of a difficulty, with their answers.

        Args:
            count: how many, at least 1.
            difficulty: a name, or free parameters such as "scale=5".
            generator: lives on `device`.
            device: where the tensors will live.

        Raises:
            SettingError: the count or a parameter is out of range.
            UnknownNameError: the task has no such difficulty or parameter.
        """
        checks.check(checks.count, "sample", count=count)
        parameters = self.difficulty(difficulty).parameters
        x, y = self.draw(count, generator, torch.device(device), **parameters)
        return (x if isinstance(x, Problem) else Problem(x, self.answer)), y

    def difficulty(self, text: str | Difficulty) -> Difficulty:
        """Read a difficulty: a name, or parameters joined by commas as in "nodes=30,scale=2".

        Raises:
            SettingError: a parameter's value is of the wrong kind.
            UnknownNameError: the task has no such difficulty or parameter.
        """
        if isinstance(text, Difficulty):
            return text
        if text in self.difficulties:
            return Difficulty(text, dict(self.difficulties[text]))
        defaults = self.parameters
        title = type(self).__name__
        parsed: dict[str, Any] = {}
        for piece in text.split(","):
            name, equals, value = (word.strip() for word in piece.partition("="))
            if not equals:
                raise UnknownNameError(
                    f"{title} has no difficulty {text!r}. "
                    f"{near_matches(text, self.difficulties)} Free parameters are written as "
                    f"{', '.join(f'{known}={default}' for known, default in defaults.items())}."
                )
            if name not in defaults or name in parsed:
                fault = "gives twice" if name in parsed else "names"
                raise UnknownNameError(
                    f"The difficulty {text!r} {fault} the parameter {name!r} of {title}. "
                    f"{near_matches(name, defaults)}"
                )
            parsed[name] = _number(name, value, defaults[name])
        return Difficulty(text, parsed)

    @property
    def parameters(self) -> dict[str, Any]:
        """The difficulty parameters and their defaults, read from the signature of `draw`."""
        signature = inspect.signature(self.draw).parameters.values()
        return {each.name: each.default for each in signature if each.kind is each.KEYWORD_ONLY}

    def oracle(self, problem: Problem) -> Tensor:
        """Return the exact answers, computed independently of `draw`.

        Raises:
            NotImplementedError: the task has no oracle.
        """
        raise NotImplementedError(f"{type(self).__name__} has no oracle.")

    def classical(self, problem: Problem) -> Tensor:
        """Return the answers of the textbook algorithm.

        Raises:
            NotImplementedError: the task names none.
        """
        raise NotImplementedError(f"{type(self).__name__} names no textbook algorithm.")

    def energy(self) -> Landscape | None:
        """Return the task's energy where it is written rather than learned, else None."""
        return None

    def own_input(self, problem: Problem) -> Tensor | None:
        """Return what each entry of the answer has as input of its own, or None.

        Returns:
            `(*answer, inputs)`: for addition, the two numbers whose sum the entry is.
        """
        return None

    def floor(self, difficulty: str | Difficulty = "same") -> Floor:
        """Measure what an answer without reasoning scores on a difficulty (see `Floor`)."""
        from irem_core.floors import measure

        return measure(self, self.difficulty(difficulty))


def _number(name: str, text: str, default: Any) -> Any:
    kind = type(default)
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        wanted = "a whole number" if kind is int else "a finite number"
        raise SettingError(f"The difficulty parameter {name} got {text!r}; expected {wanted}.")
    return value
