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
from irem_core.problems.space import ImageSpace, Space, VectorSpace

BINARY = "binary"
"""Every entry is 0 or 1."""
ONE_HOT = "one-hot"
"""So it is, and 1 once along the last axis."""
DISCRETE = (BINARY, ONE_HOT)

# An answer this share of the spread beyond a bound is taken for rounding of what made it.
_ROUNDING = 1e-4
# Values within this share of the spread are alike; so many of the answers on a bound show it, as a
# share and as a number.
_ALIKE = 1e-6
_OFTEN, _SEVERAL = 0.02, 5
# Answers that are looked at, evenly spread.
_LOOKED_AT = 20_000


def bounded(pairs: Pairs, space: Space, low: Any, high: Any) -> Space:
    """Return the space of answers with bounds, which the answers of the pairs keep to.

    Args:
        pairs: of question and answer.
        space: of the answers.
        low: a number, or an array in the shape of an answer, infinite for no bound; None, of
            vectors, for the bounds that answers lie on now and then (see `touched`).
        high: likewise.

    Raises:
        SettingError: bounds are no finite numbers, of another shape, or leave no room.
        InputFileError: an answer is beyond its bounds.
    """
    if isinstance(space, VectorSpace):
        shown = touched(pairs.y)
        low, high = (
            there if given is None else given
            for there, given in zip(shown, (low, high), strict=True)
        )
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


def touched(y: Array) -> tuple[Array, Array]:
    """Say which bounds vectors lie on now and then, as solutions of constrained problems do.

    A bound of an entry is its least or largest value, if a fiftieth of the answers or more have it,
    to rounding, but five at least, while among the other answers hardly two are alike, or if there
    are no others.

    Args:
        y: `(n, entries)` answers.

    Returns:
        The least and the largest values `(entries,)`; infinite where they are no such bound.
    """
    least, most = y.min(0).astype(np.float64), y.max(0).astype(np.float64)
    slack = _ALIKE * (most - least)
    # Algorithms that come ever nearer to a bound end a little beside it.
    digits = round(-float(np.log10(slack[slack > 0]).max())) if slack.any() else 0
    least, most = least.round(digits), most.round(digits)
    rows = y[:: -(-len(y) // _LOOKED_AT)]
    at_least, at_most = rows <= least + slack, rows >= most - slack
    # Where a spread is wide enough, others that are alike show as fewer values than there are.
    others = [
        each[~(low | high)] for each, low, high in zip(rows.T, at_least.T, at_most.T, strict=True)
    ]
    alike = np.array([2 * len(np.unique(each)) < len(each) for each in others], dtype=bool)
    free = alike | (most <= least)
    often = max(_SEVERAL, _OFTEN * len(rows))
    low = np.where(free | (at_least.sum(0) < often), -np.inf, least)
    high = np.where(free | (at_most.sum(0) < often), np.inf, most)
    return low, high


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


def preferred_energy(question: Space, answer: Space, kind: str | None) -> str:
    """Name the energy to train by default.

    Nothing is known of how entries hang together, but that pixels of images do by place. Answers of
    0 and 1 are right or wrong as a whole, which an energy says that sees them.

    Args:
        question: the space of x.
        answer: the space of y.
        kind: of answers that are 0 and 1 (see `discrete_kind`).
    """
    if isinstance(answer, ImageSpace) and question.shape == answer.shape:
        return "conv"
    return "distance" if kind is not None else "ensemble"


def share_explained(
    error: Float[Tensor, "problems *entries"], scale: Float[Tensor, "..."]
) -> Float[Tensor, " problems"]:
    """Return 1 - error^2 / variance, averaged over the entries that vary.

    Args:
        error: of answers.
        scale: the standard deviations of right ones, 0 for entries that never vary.
    """
    varies = scale > 0
    shares = (error / torch.where(varies, scale, 1.0)).square() * varies
    return 1 - shares.flatten(1).mean(1) / varies.to(error).mean()


def rounded(y: Float[Tensor, "problems *entries"], kind: str) -> Float[Tensor, "problems *entries"]:
    """Return answers of 0 and 1: the nearer one, or in one-hot ones 1 where an entry is largest."""
    if kind == BINARY:
        return (y > 0.5).to(y)
    return torch.zeros_like(y).scatter(-1, y.argmax(-1, keepdim=True), 1.0)


def _less(limit: Any, slack: float) -> Any:
    return np.asarray(limit) - slack


def _any(wrong: Any) -> Any:
    return wrong.reshape(len(wrong), -1).any(1)
