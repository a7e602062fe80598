"""Validators of settings: one sentence when a value is out of its range.

They have the signature of an attrs validator, and `check` applies one outside attrs classes.
`check_path` is for what will be written to.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import PureWindowsPath
from typing import Any

import attrs

from irem_core.errors import SettingError

Validator = Callable[[Any, Any, Any], None]

# What Windows takes for a device, whatever the ending, has no place for, or cuts off.
_NOT_ON_WINDOWS = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[1-9\xb9\xb2\xb3]) *(\..*)?"
    r"""|.*[<>:"|?*\x00-\x1f].*|.*[ .]""",
    re.IGNORECASE | re.DOTALL,
)


def shown(value: Any) -> str:
    """Write a value in one line, for an error; torch's modules take several."""
    return " ".join(repr(value).split())


def _finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of floats
        return False


def number(
    expected: str,
    *,
    above: float = -math.inf,
    below: float = math.inf,
    low: float = -math.inf,
    high: float = math.inf,
    whole: bool = False,
) -> Validator:
    """Make a validator of finite numbers.

    Args:
        expected: the range in words, for the error.
        above: exclusive lower bound.
        below: exclusive upper bound.
        low: inclusive lower bound.
        high: inclusive upper bound.
        whole: accept integers alone.
    """

    def validate(instance: Any, attribute: Any, value: Any) -> None:
        kind = Integral if whole else Real
        fits = isinstance(value, kind) and not isinstance(value, bool) and _finite(value)
        if not (fits and above < value < below and low <= value <= high):
            owner = instance if isinstance(instance, str) else type(instance).__name__
            raise SettingError(f"{owner} got {attribute.name}={shown(value)}; expected {expected}.")

    return validate


positive = number("a finite number above 0", above=0)
non_negative = number("a finite number of at least 0", low=0)
more_than_one = number("a finite number above 1", above=1)
fraction = number("a number of at least 0 and below 1", low=0, below=1)
proper_fraction = number("a number between 0 and 1, both excluded", above=0, below=1)
count = number("a whole number of at least 1", low=1, whole=True)
count_or_zero = number("a whole number of at least 0", low=0, whole=True)
finite = number("a finite number")


@attrs.frozen
class _Name:
    name: str


def check(validator: Validator, owner: str, **values: Any) -> None:
    """Apply `validator` to keyword values outside an attrs class.

    Args:
        validator: one of this module's validators.
        owner: who received the values, named in the error.
        values: the settings by name.

    Raises:
        SettingError: a value is out of its range.
    """
    for name, value in values.items():
        validator(owner, _Name(name), value)


def one_of(*choices: str | int | None) -> Validator:
    """Make a validator of texts or numbers from a fixed set, which may hold None."""

    def validate(instance: Any, attribute: Any, value: Any) -> None:
        if value not in choices:
            owner = instance if isinstance(instance, str) else type(instance).__name__
            expected = " or ".join(repr(choice) for choice in choices)
            raise SettingError(f"{owner} got {attribute.name}={shown(value)}; expected {expected}.")

    return validate


def true_or_false(instance: Any, attribute: Any, value: Any) -> None:
    """Validate a switch."""
    if not isinstance(value, bool):
        owner = instance if isinstance(instance, str) else type(instance).__name__
        raise SettingError(f"{owner} got {attribute.name}={shown(value)}; expected True or False.")


def part_of(kind: type) -> Validator:
    """Make a validator of instances of `kind`."""

    def validate(instance: Any, attribute: Any, value: Any) -> None:
        if not isinstance(value, kind):
            owner = instance if isinstance(instance, str) else type(instance).__name__
            raise SettingError(
                f"{owner} got {attribute.name}={shown(value)}; expected a {kind.__name__}."
            )

    return validate


def reserved(name: str) -> bool:
    """Say whether Windows can have no file or folder of a name, such as "nul.txt" or "run.".

    Args:
        name: one part of a path.
    """
    return name not in (".", "..") and _NOT_ON_WINDOWS.fullmatch(name) is not None


def folder_name(name: str) -> str:
    """Return a name that is fit for a new folder on every system, since others may read it there.

    Raises:
        SettingError: it is not, or it leads to another folder.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", name) or reserved(name):
        raise SettingError(
            f"No folder can be named after {name[:60]!r}; give the folder itself with --out (out=)."
        )
    return name


def check_path(path: str | os.PathLike[str], *, system: str = os.name) -> None:
    """Check that a path that a user gave leads to a file or folder, and on Windows to no device.

    Args:
        path: where something will be written.
        system: where it will be, as `os.name` calls it; all but "nt" can have any name.

    Raises:
        SettingError: a part of it is reserved.
    """
    if system != "nt":
        return
    windows = PureWindowsPath(os.fspath(path))
    for part in windows.parts[bool(windows.anchor) :]:
        if reserved(part):
            raise SettingError(
                f"{windows} cannot be written: Windows can have no file or folder named {part!r}; "
                "choose another name."
            )
