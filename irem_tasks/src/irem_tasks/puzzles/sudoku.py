"""Sudoku: fill a board so that every row, column and box holds each value once."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from irem_core import Between, EntrySpace, FactorSpace, Problem, choices
from irem_tasks._declared import DeclaredTask, Range

Givens = Annotated[
    int | Between[int], Range("from 0 to 81", lambda givens: 0 <= givens <= 81)
]
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
        solutions = symmetric(count, generator)
        wanted = Between.of(givens).draw(count, generator, generator.device)
        order = torch.rand(solutions.shape, generator=generator, device=generator.device)
        shown = order.argsort(1).argsort(1) < wanted[:, None]
        given = torch.where(shown, solutions, -1)
        x = choices.build(given, 9, units(generator.device))
        return Problem(x, self.answer), choices.answers(solutions, 9)

    def verify(self, problem: Problem, y: Tensor) -> Bool[Tensor, " problems"]:
        """Say which boards are solved."""
        return choices.verify(problem, y)

    def measures(
        self, problem: Problem, y: Tensor, target: Tensor
    ) -> dict[str, Float[Tensor, " problems"]]:
        """Return the share of cells that have the right value."""
        right = choices.decoded(problem.x, y) & (target[:, 0] > 0)
        return {"cells": problem.layout.mean(right.to(y)) * 9}


def units(device: torch.device) -> Tensor:
    """Return the cells of rows, columns and boxes."""
    grid = torch.arange(81, device=device).view(9, 9)
    boxes = grid.view(3, 3, 3, 3).transpose(1, 2).reshape(9, 9)
    return torch.cat([grid, grid.T, boxes])


def symmetric(count: int, generator: torch.Generator) -> Tensor:
    """Draw symmetries of one solved board."""
    device = generator.device
    line = torch.arange(9, device=device)
    board = (line[:, None] * 3 + line[:, None] // 3 + line) % 9

    def lines() -> Tensor:
        band = torch.rand(count, 3, generator=generator, device=device).argsort(1)
        within = torch.rand(count, 3, 3, generator=generator, device=device).argsort(2)
        return (band[:, :, None] * 3 + within).view(count, 9)

    rows, columns = lines(), lines()
    values = torch.rand(count, 9, generator=generator, device=device).argsort(1)
    cells = board[rows[:, :, None], columns[:, None, :]].view(count, 81)
    return values.gather(1, cells)
