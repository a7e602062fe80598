"""What was read of a file of pairs, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from irem_core.files.tables import listed
from irem_core.pairs.answers import BINARY
from irem_core.pairs.files import Moments, Pairs
from irem_core.problems.space import Space


def summary(
    pairs: Pairs,
    spaces: tuple[Space, Space],
    held: NDArray[np.bool_],
    questions: NDArray[np.int64],
    moments: tuple[Moments, Moments],
    *,
    discrete: str | None,
    unanswered: bool,
) -> list[str]:
    """Say what was read, and what becomes of it in training.

    Args:
        pairs: what was read.
        spaces: of x and of y.
        held: `(n,)` which pairs are held out.
        questions: `(n,)` the number of each pair's question.
        moments: of x and of y in training.
        discrete: the kind of answers that are 0 and 1 (see `discrete_kind`).
        unanswered: whether answers are minima of a cost.
    """
    of_x, of_y = pairs.columns
    said = [
        f"{pairs.source}: {len(pairs):,} pairs. x: {_described(spaces[0], of_x)}. "
        f"y: {_described(spaces[1], of_y)}."
    ]
    if pairs.left_out:
        said.append(f"Columns left out: {listed(pairs.left_out)}.")
    said += bounds_told(spaces[1])
    said.append(f"Held out: {int(held.sum()):,} pairs, which training never sees.")
    again = len(pairs) - len(np.unique(questions))
    if again:
        said.append(
            f"{again:,} pairs ask what an earlier one asks; all pairs of one question are held "
            "out, or none."
        )
    if constant := _constant("x", moments[0], of_x):
        said.append(f"Dropped from x, as they never vary: {listed(constant)}.")
    if constant := _constant("y", moments[1], of_y):
        said.append(f"Never vary in y, and are answered as they are: {listed(constant)}.")
    if unanswered:
        said.append(f"Answers to {len(pairs)} questions are minima of the cost.")
    if discrete is not None:
        said.append(discrete_told(discrete))
    return said


def discrete_told(kind: str) -> str:
    """Say which answers are recognised (see `discrete_kind`), and what becomes of them."""
    written = "0 or 1" if kind == BINARY else "one-hot"
    return (
        f"Answers are {written}: solved is the share that is exact once rounded, as irem "
        "solve --round rounds them."
    )


def _described(space: Space, names: Sequence[str] | None) -> str:
    shape = attrs.evolve(space, low=None, high=None)
    return f"{shape}" if names is None else f"{len(names)} columns ({listed(list(names))})"


def bounds_told(space: Space) -> list[str]:
    """Say how many entries of an answer are bounded; nothing if none is."""
    limits = space.limits(torch.zeros((), dtype=torch.float64))
    counts = [
        0 if each is None else int(torch.as_tensor(each).isfinite().expand(space.shape).sum())
        for each in limits
    ]
    if not any(counts):
        return []
    below, above = (f"{count} of {space.size} entries" for count in counts)
    told = (
        f"No answer leaves the bounds of y, which answers lie on now and then or were given: "
        f"{below} have a least value, {above} a greatest. --low and --high give others, "
        "infinite ones for none."
    )
    return [told]


def _constant(letter: str, moments: Moments, names: Sequence[str] | None) -> list[str]:
    """Name the entries, or channels, that never vary in training."""
    places = (moments.scale.ravel() == 0).nonzero()[0].tolist()
    return [f"{letter}[{place}]" if names is None else names[place] for place in places]
