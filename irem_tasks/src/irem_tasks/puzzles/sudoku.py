"""Sudoku: fill a board so that every row, column and box holds each value once."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from irem_core import Between, EntrySpace, FactorSpace, Problem, choices
from irem_tasks._declared import DeclaredTask, Range
from irem_tasks.puzzles import base_sets

Givens = Annotated[int | Between[int], Range("from 0 to 81", lambda givens: 0 <= givens <= 81)]
_TRAINED = Between(31, 42)


class Sudoku(DeclaredTask):
    """Fill a 9 x 9 board so that every row, column and box holds each value once.

    y is 1 for the value of each cell and 0 for the other eight, so a board has 729 entries.
    """

    difficulties: ClassVar = {"train": {}, "same": {}, "harder": {"givens": Between(20, 34)}}

    def __init__(self) -> None:
        """Set the spaces."""
        self.question = FactorSpace(
            choices.FEATURES, kinds={choices.VARIABLE: 0, choices.ALL_DIFFERENT: 0}
        )
        self.answer = EntrySpace()

    def generate(
        self, count: int, generator: torch.Generator, *, givens: Givens = _TRAINED
    ) -> tuple[Problem, Float[Tensor, "rows 1"]]:
        """Draw boards."""
        boards = base_sets.draw(count, givens, generator=generator, device=generator.device)
        x = choices.build(boards.givens - 1, boards.kind.size, boards.groups)
        return Problem(x, self.answer), choices.answers(boards.solutions - 1, boards.kind.size)

    def verify(self, problem: Problem, y: Tensor) -> Bool[Tensor, " problems"]:
        """Say which boards are solved."""
        return choices.verify(problem, y)

    def measures(
        self, problem: Problem, y: Tensor, target: Tensor
    ) -> dict[str, Float[Tensor, " problems"]]:
        """Return the share of cells that have the right value."""
        right = choices.decoded(problem.x, y) & (target[:, 0] > 0)
        return {"cells": problem.layout.mean(right.to(y)) * 9}
