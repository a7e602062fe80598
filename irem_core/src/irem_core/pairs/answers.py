"""What is known of the answers of pairs: their bounds, and whether they are 0 and 1 alone."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from irem_core.errors import InputFileError
from irem_core.files.arrays import Array
from irem_core.pairs.files import Pairs, chunks
from irem_core.problems.space import Space

BINARY = "binary"
"""Every entry is 0 or 1."""
ONE_HOT = "one-hot"
"""So it is, and 1 once along the last axis."""
DISCRETE = (BINARY, ONE_HOT)

# An answer this share of the spread beyond a bound is taken for rounding of what made it.
_ROUNDING = 1e-4


def bounded(pairs: Pairs, space: Space, low: Any, high: Any) -> Space:
    """Return the space of answers with bounds, which the answers of the pairs keep to.

    Args:
        pairs: of question and answer.
        space: of the answers.
        low: a number, or an array in the shape of an answer; None for no bound.
        high: likewise.

    Raises:
        SettingError: bounds are no finite numbers, of another shape, or leave no room.
        InputFileError: an answer is beyond its bounds.
    """
    found = attrs.evolve(space, low=low, high=high)
    least, most = found.limits(torch.zeros((), dtype=torch.float64))
    slack = _ROUNDING * (float(pairs.y.max()) - float(pairs.y.min()))
    for first, rows in chunks(pairs.y):
        below = np.zeros(len(rows), bool) if least is None else _any(rows < _less(least, slack))
        above = np.zeros(len(rows), bool) if most is None else _any(rows > _less(most, -slack))
        if (below | above).any():
            row = int((below | above).argmax())
            side, bound = ("below low", "low") if below[row] else ("above high", "high")
            raise InputFileError(
                f"{pairs.source}: the answer in row {first + row}, counted from 0, is {side}, "
                f"which no answer of the run could be; give another {bound}, or mend that pair."
            )
    return found


def discrete_kind(y: Array) -> str | None:
    """Say whether answers are all of 0 and 1, and one-hot; None where they are any numbers.

    Args:
        y: `(n, ...)` answers.
    """
    one_hot = y.shape[-1] > 1
    for _, rows in chunks(y):
        if not ((rows == 0) | (rows == 1)).all():
            return None
        one_hot = one_hot and bool((rows.sum(-1) == 1).all())
    return ONE_HOT if one_hot else BINARY


def rounded(y: Float[Tensor, "problems *entries"], kind: str) -> Float[Tensor, "problems *entries"]:
    """Return answers of 0 and 1: the nearer one, or in one-hot ones 1 where an entry is largest."""
    if kind == BINARY:
        return (y > 0.5).to(y)
    return torch.zeros_like(y).scatter(-1, y.argmax(-1, keepdim=True), 1.0)


def _less(limit: Any, slack: float) -> Any:
    return np.asarray(limit) - slack


def _any(wrong: Any) -> Any:
    return wrong.reshape(len(wrong), -1).any(1)
