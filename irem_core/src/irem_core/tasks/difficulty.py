"""Difficulties: a name, or free parameters such as `nodes=30` or `sigma=0..55`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor

from irem_core.errors import SettingError, UnknownNameError, near_matches

Number = TypeVar("Number", int, float)


@attrs.frozen
class Difficulty:
    """A distribution of a task's problems: a name, or free parameters written as `scale=5`.

    Args:
        name: as given on the command line and used in results.
        parameters: keyword arguments of the task's `draw`.
    """

    name: str
    parameters: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Between(Generic[Number]):
    """A difficulty parameter that is drawn anew for each problem, written as `2..10`.

    Args:
        low: the smallest value.
        high: the largest value, itself included; not below `low`.

    Raises:
        SettingError: `high` is below `low`.
    """

    low: Number
    high: Number

    def __attrs_post_init__(self) -> None:
        """Reject an empty range."""
        if self.high < self.low:
            raise SettingError(f"The range {self} is empty; expected its end not below its start.")

    def __str__(self) -> str:
        """Write the range as the command line does."""
        return f"{self.low}..{self.high}"

    @classmethod
    def of(cls, value: Number | Between[Number]) -> Between[Number]:
        """Return a range as it is, and one number as the range that holds nothing else."""
        return value if isinstance(value, Between) else Between(value, value)

    def draw(
        self, count: int, generator: torch.Generator, device: torch.device
    ) -> Int[Tensor, " problems"] | Float[Tensor, " problems"]:
        """Draw one value a problem, uniformly: whole numbers between whole bounds.

        Args:
            count: how many.
            generator: lives on `device`.
            device: where the values will live.
        """
        if isinstance(self.low, int) and isinstance(self.high, int):
            return torch.randint(
                self.low, self.high + 1, (count,), generator=generator, device=device
            )
        uniform = torch.rand(count, generator=generator, device=device)
        return self.low + (self.high - self.low) * uniform


def parse(
    text: str, named: Mapping[str, Mapping[str, Any]], defaults: Mapping[str, Any], title: str
) -> Difficulty:
    """Read a difficulty: a name, or parameters joined by commas as in "nodes=30,scale=2".

    Args:
        text: what a user wrote.
        named: the named difficulties and the parameters that they set.
        defaults: the parameters and their default values, which say of what kind a value is.
        title: whose difficulty it is, for errors.

    Raises:
        SettingError: a parameter's value is of the wrong kind.
        UnknownNameError: there is no such difficulty or parameter.
    """
    if text in named:
        return Difficulty(text, dict(named[text]))
    parsed: dict[str, Any] = {}
    for piece in text.split(","):
        name, equals, value = (word.strip() for word in piece.partition("="))
        if not equals:
            hint = ""
            if defaults:
                written = ", ".join(f"{known}={default}" for known, default in defaults.items())
                hint = f" Free parameters are written as {written}."
            raise UnknownNameError(
                f"{title} has no difficulty {text!r}. {near_matches(text, named)}{hint}"
            )
        if name not in defaults or name in parsed:
            fault = "gives twice" if name in parsed else "names"
            raise UnknownNameError(
                f"The difficulty {text!r} {fault} the parameter {name!r} of {title}. "
                f"{near_matches(name, defaults)}"
            )
        parsed[name] = _value(name, value, defaults[name])
    return Difficulty(text, parsed)


def _value(name: str, text: str, default: Any) -> Any:
    if isinstance(default, str):
        return text
    if not isinstance(default, Between):
        return _number(name, text, type(default))
    kind = type(default.low)
    ends = [_number(name, end, kind) for end in text.split("..", 1)]
    return ends[0] if len(ends) == 1 else Between(*ends)


def _number(name: str, text: str, kind: type) -> Any:
    try:
        value = kind(text)
        finite = math.isfinite(value)
    except (ValueError, OverflowError):
        finite = False
    if not finite:
        wanted = "a whole number" if kind is int else "a finite number"
        raise SettingError(f"The difficulty parameter {name} got {text!r}; expected {wanted}.")
    return value
