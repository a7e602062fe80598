"""What a training takes over from its checkpoint, checked before it is believed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from irem_core import checks
from irem_core.errors import CheckpointError, IremError, SettingError


@contextlib.contextmanager
def restoring(path: Path) -> Iterator[None]:
    """Turn whatever does not fit a training into one error.

    Args:
        path: the run's folder, named in the error.

    Raises:
        CheckpointError: something did not fit.
    """
    try:
        yield
    except IremError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"The checkpoint in {path} is not one of this training ({type(error).__name__}: "
            f"{reason}). Perhaps another file was copied over it."
        ) from error


def check_numbers(metadata: Mapping[str, Any]) -> None:
    """Check what a checkpoint says of how far its training had come.

    Raises:
        SettingError: a number is out of range.
        LookupError: one is missing.
    """
    title = "The checkpoint"
    whole = {name: metadata[name] for name in ("iteration", "logged_at")}
    checks.check(checks.count_or_zero, title, **whole)
    checks.check(checks.finite, title, **{name: metadata[name] for name in ("seconds", "total")})
    if whole["logged_at"] > whole["iteration"]:
        raise SettingError(f"{title} got {whole}; expected no report after the last update.")


def moments_of(
    tensors: Mapping[str, Tensor], parameters: Sequence[Tensor]
) -> dict[int, dict[str, Tensor]]:
    """Return the state of Adam for each parameter.

    Args:
        tensors: named by the number of a parameter and what of its state they are.
        parameters: what Adam updates.

    Raises:
        ValueError: they are not the state of these parameters.
    """
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, rest = name.partition(".")
        moments.setdefault(int(index), {})[rest] = tensor
    for number, state in moments.items():
        shape = parameters[number].shape
        expected = {"exp_avg": shape, "exp_avg_sq": shape, "step": ()}
        if {name: tensor.shape for name, tensor in state.items()} != expected:
            raise ValueError(f"the optimizer's state of parameter {number} is not Adam's")
    return moments
