"""Questions that hold NaN or infinity among others: the others are answered, and these are told."""

from __future__ import annotations

import warnings
from pathlib import Path

import attrs
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from irem_core.errors import SkippedQuestionWarning
from irem_core.solving.outcome import Outcome
from irem_core.solving.solution import Solution


def finite_rows(values: Float[Tensor, "rows ..."]) -> Bool[Tensor, " rows"]:
    """Say which rows of an array hold finite numbers alone."""
    return values.isfinite().unsqueeze(-1).flatten(1).all(1)


def with_stand_ins(
    values: Float[Tensor, "rows ..."], sound: Float[Tensor, "..."]
) -> Float[Tensor, "rows ..."]:
    """Return an array with a sound row in place of those that are not finite."""
    values = values.clone()
    values[~finite_rows(values)] = sound
    return values


def warn_of(file: Path, bad: Bool[Tensor, " rows"]) -> None:
    """Tell of the questions that stay without an answer."""
    warnings.warn(
        f"{file} holds NaN or infinity in {int(bad.sum())} of {len(bad)} questions, first in "
        f"question {int(bad.int().argmax())}, counted from 0. These have no answer: theirs is NaN, "
        "and their outcome NONFINITE.",
        SkippedQuestionWarning,
        stacklevel=3,
    )


def unanswered(solution: Solution, bad: Bool[Tensor, " problems"]) -> Solution:
    """Return a solution in which stand-ins have no answer: NaN, and the outcome NONFINITE."""
    rows = bad if solution.layout.owner is None else bad[solution.layout.owner]
    y = solution.y.clone()
    y[rows] = torch.nan
    energy, verified = solution.energy, solution.verified
    return attrs.evolve(
        solution,
        y=y,
        energy=None if energy is None else energy.masked_fill(bad, torch.nan),
        steps=solution.steps.masked_fill(bad, 0),
        outcome=solution.outcome.masked_fill(bad, int(Outcome.NONFINITE)),
        verified=None if verified is None else verified & ~bad,
    )
