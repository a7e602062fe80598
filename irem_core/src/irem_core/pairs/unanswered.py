"""Questions without answers, for which a known cost has some."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from irem_core.descent import LBFGS
from irem_core.energies.landscape import Landscape
from irem_core.errors import SettingError
from irem_core.files.arrays import Array, held_as, name_of_questions, read_arrays
from irem_core.pairs.cost import EXACT, minimized
from irem_core.pairs.files import Pairs
from irem_core.problems.problem import Problem
from irem_core.problems.space import Bound, Space, VectorSpace, uniform
from irem_core.solving.solution import Solution

# Questions whose costs are minimised at a time.
_BATCH = 2048
# Random starts of each, of which the best minimum is kept.
_STARTS = 4
# A few that take longer would take most of the time.
_STEPS = 200


def read_questions(data: str) -> Array | None:
    """Read the questions of a file that holds no answers; None where it holds some.

    Args:
        data: one .npy, .npz, .safetensors or .csv file, or "x.npy,y.npy".

    Raises:
        InputFileError: the file cannot be read.
    """
    if "," in data:
        return None
    arrays = read_arrays(Path(data))
    return None if held_as("y", arrays) else arrays[name_of_questions(Path(data), arrays)]


def answer_space(cost: Landscape, entries: int | None, low: Any, high: Any) -> Space:
    """Return the space of answers that a cost alone says, with its bounds.

    Args:
        cost: perhaps with a space of its own.
        entries: numbers in an answer; None for as many as the cost's space or the bounds have.
        low: a number, or an array of one for each entry; None for no bound.
        high: likewise.

    Raises:
        SettingError: nothing says how many numbers an answer has, or bounds leave no room.
    """
    if cost.answer is not None and entries is None:
        given: dict[str, Bound] = {"low": low, "high": high}
        return attrs.evolve(cost.answer, **{k: v for k, v in given.items() if v is not None})
    lengths = [np.size(each) for each in (low, high) if np.ndim(each)]
    known = lengths[0] if entries is None and lengths else entries
    if known is None:
        raise SettingError(
            "There are no answers y, so nothing says how many numbers an answer has; give "
            "--entries (entries=), or bounds of each entry."
        )
    return VectorSpace(known, low=low, high=high)


def refuse_entries(source: str, entries: int | None) -> None:
    """Refuse to be told how long answers are where there are some.

    Raises:
        SettingError: it was told.
    """
    if entries is not None:
        raise SettingError(
            f"{source} has answers y, which say how many numbers one has; leave entries out."
        )


def minima(
    cost: Landscape, x: NDArray[Any], answer: Space, *, seed: int = 0
) -> NDArray[np.float64]:
    """Find a low minimum for each question, the best of several random starts.

    Args:
        cost: what to minimise.
        x: `(n, ...)` questions.
        answer: the space of the answers. Starts are uniform between bounds, and in U(-1, 1) where
            there is none.
        seed: of the starts.

    Returns:
        `(n, ...)` answers.
    """
    generator = torch.Generator().manual_seed(seed)
    found = []
    for first in range(0, len(x), _BATCH):
        questions = torch.from_numpy(np.ascontiguousarray(x[first : first + _BATCH], np.float64))
        problem = Problem(questions, answer)
        solutions = []
        for _ in range(_STARTS):
            start = _between(answer, len(questions), generator)
            solutions.append(
                minimized(cost, problem, start, descent=LBFGS(), halting=EXACT, max_steps=_STEPS)
            )
        best = reduce(Solution.or_better, solutions)
        found.append(best.y.numpy())
    return np.concatenate(found)


def with_minima(x: Any, cost: Landscape, answer: Space, source: str | None) -> Pairs:
    """Make pairs of questions and minima of their costs.

    Args:
        x: `(n, ...)` or `(n,)` questions.
        cost: what to minimise.
        answer: the space of the answers.
        source: what to call them in errors.
    """
    x = np.asanyarray(x)
    x = x[:, None] if x.ndim == 1 else x
    return Pairs.of(x, minima(cost, x, answer), *([] if source is None else [source]))


def digest_of(pairs: Pairs, unanswered: bool) -> str:
    """Return what is compared; minima differ by rounding from machine to machine."""
    return (attrs.evolve(pairs, y=pairs.y[:0]) if unanswered else pairs).digest()


def _between(space: Space, count: int, generator: torch.Generator) -> Tensor:
    y = uniform((count, *space.shape), generator, dtype=torch.float64)
    low, high = (
        torch.as_tensor(side if each is None else each, dtype=torch.float64)
        for side, each in zip((-torch.inf, torch.inf), space.limits(y), strict=True)
    )
    inside = (low + high) / 2 + (high - low) / 2 * y
    return space.project(torch.where(inside.isfinite(), inside, y))
