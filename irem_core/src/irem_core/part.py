"""Parts: objects whose constructor arguments are their settings.

A checkpoint, a log and the command line describe a part by its settings and nothing else, so a part
must be able to report them. attrs classes do so by their fields; any other class inherits
`Recorded`, which remembers the arguments of its constructor.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, Self

import attrs
import torch

from irem_core.errors import SettingError


class Source(Protocol):
    """Where problems come from, as far as parts ask that are built for it: a `Task`."""

    question: Any
    """The space of x."""
    answer: Any
    """The space of y."""

    def sample(self, count: int, *, generator: torch.Generator) -> tuple[Any, torch.Tensor]:
        """Draw problems of training, and their answers."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw initial weights from `seed`, leaving the global random state as it was.

    Args:
        seed: any integer from 0 to 2**63 - 1.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@attrs.frozen(kw_only=True)
class Preset:
    """A set of constructor arguments, in code.

    Args:
        source: where the settings come from.
        solver: arguments of the solver; a part may be written as on the command line, such as
            "gradient(step_size=1.0)" for a descent.
        training: arguments of `fit`.
        energy: the class of the energy that the settings are for, which is trained where none is
            chosen; None where they are for any, and the solver chooses.
    """

    source: str
    solver: Mapping[str, Any]
    training: Mapping[str, Any]
    energy: type[Any] | None = None

    def suits(self, energy: Any) -> bool:
        """Say whether the settings are for an energy that was chosen, or none was."""
        return energy is None or self.energy in (None, type(energy))


def preset_of(energy: Any, question: Any, answer: Any) -> Preset | None:
    """Return the settings that an energy says suit it (see `Landscape.preset`).

    Args:
        energy: an energy, or its class; its `preset` is a `Preset`, a method that returns one, or
            None.
        question: the space of the questions to train on.
        answer: the space of their answers.

    Raises:
        SettingError: it is none of these.
    """
    own = energy.preset
    found = own(question, answer) if callable(own) else own
    if found is None or isinstance(found, Preset):
        return found
    title = getattr(energy, "__name__", type(energy).__name__)
    raise SettingError(
        f"The preset of {title} is a {type(found).__name__}; expected a Preset, or None where the "
        "energy has no settings of its own."
    )


class Recorded:
    """Mixin that remembers the constructor's arguments as the settings of a part."""

    _recorded: Mapping[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Create the object and note the arguments that its constructor is about to get."""
        self = super().__new__(cls)
        signature = inspect.signature(cls.__init__)
        bound = signature.bind_partial(self, *args, **kwargs)
        # Defaults are settings too: they may be others in the next version.
        bound.apply_defaults()
        named: dict[str, Any] = {}
        for name, value in list(bound.arguments.items())[1:]:
            kind = signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                named |= value
            elif kind is not inspect.Parameter.VAR_POSITIONAL or value:
                named[name] = value
        object.__setattr__(self, "_recorded", named)
        return self

    @classmethod
    def for_task(cls, task: Any, *, seed: int = 0, **settings: Any) -> Self:
        """Build the part for a task, with initial weights drawn from `seed`.

        The constructor receives `question=task.question`, `answer=task.answer` and `task` itself
        where it has parameters of these names, and `settings` besides.

        Args:
            task: a `Source`, whose spaces give all shapes; some parts ask more of a `Task`.
            seed: seed of the initial weights.
            settings: further constructor arguments.
        """
        parameters = inspect.signature(cls.__init__).parameters
        offered = {"question": task.question, "answer": task.answer, "task": task}
        known = {name: value for name, value in offered.items() if name in parameters}
        with seeded(seed):
            return cls(**(known | settings))


def several(value: Any) -> Any:
    """Write a setting of several values as a tuple, where one alone may be given as it is."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def settings_of(part: Any) -> dict[str, Any]:
    """Return the settings of a part, that is the constructor arguments that rebuild it.

    Args:
        part: an attrs instance or an instance of a `Recorded` class.

    Raises:
        TypeError: the object is neither.
    """
    if attrs.has(type(part)):
        return {
            field.alias or field.name: getattr(part, field.name)
            for field in attrs.fields(type(part))
            if field.init
        }
    if isinstance(part, Recorded):
        return dict(part._recorded)
    raise TypeError(f"{type(part).__name__} reports no settings; derive it from Recorded.")
