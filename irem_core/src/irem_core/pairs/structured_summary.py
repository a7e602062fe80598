"""What was read of graphs and factor graphs, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from irem_core.pairs import summary
from irem_core.pairs.structured_split import StructuredSplit
from irem_core.problems.factored import FactorSpace
from irem_core.problems.space import Space


def told(
    source: str,
    split: StructuredSplit,
    questions: NDArray[np.int64],
    spaces: tuple[FactorSpace, Space],
    *,
    left_out: Sequence[str],
    discrete: str | None,
) -> list[str]:
    """Say what was read, and what becomes of it in training.

    Args:
        source: what to call it.
        split: the problems.
        questions: `(n,)` the number of each problem's question.
        spaces: of x and of y.
        left_out: what graphs hold that is not read.
        discrete: the kind of answers that are 0 and 1 (see `discrete_kind`).
    """
    question, answer = spaces
    count = len(questions)
    kinds = ", ".join(
        f"{_mean(split.columns[f'{kind} num_nodes'].values):.1f} {kind} ({width} features; roles "
        f"{', '.join(question.roles_of(kind))})"
        for kind, width in question.kinds
    )
    said = [
        f"{source}: {count:,} problems. Each has, at the mean, "
        f"{_mean(split.answers.lengths):.1f} entries ({question.features} features, "
        f"{answer.size} numbers in an answer), and factors: {kinds}.",
        f"Held out: {int(split.held.sum()):,} problems, which training never sees.",
    ]
    if left_out:
        said.append(f"Left out: {', '.join(left_out)}.")
    said += summary.bounds_told(answer)
    again = count - len(np.unique(questions))
    if again:
        said.append(
            f"{again:,} problems ask what an earlier one asks; all of one question are held out, "
            "or none."
        )
    constant = [
        f"{title}[{place}]"
        for title in split.columns
        if title.endswith(" x")
        for place in (split.moments(title).scale == 0).nonzero()[0].tolist()
    ]
    if constant:
        said.append(f"Never vary, and count for nothing: {', '.join(constant)}.")
    if discrete is not None:
        said.append(summary.discrete_told(discrete))
    return said


def _mean(counts: Tensor) -> float:
    return float(counts.double().mean())
