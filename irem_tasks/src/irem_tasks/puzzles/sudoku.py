"""Sudoku and its variants: boards whose rows, columns and regions hold each value once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from irem_core import Between, EntrySpace, FactorSpace, Problem, Solution, choices
from irem_tasks._declared import DeclaredTask, Range
from irem_tasks.puzzles import base_sets, board_files
from irem_tasks.puzzles.boards import BOXES, VARIANTS, Kind

Givens = Annotated[int | Between[int], Range("at least 0", lambda givens: givens >= 0)]
Size = Annotated[int, Range(f"one of {', '.join(map(str, BOXES))}", lambda size: size in BOXES)]
Variant = Annotated[
    str, Range(f"one of {', '.join(VARIANTS)}", lambda variant: variant in VARIANTS)
]
Part = Annotated[
    str,
    Range(f"one of {', '.join(base_sets.PARTS)}", lambda part: part in base_sets.PARTS),
]
_SHOWN = 3


class Sudoku(DeclaredTask):
    """Fill a board so that each value occurs once in every row, column and region.

    There is an entry for each value of each cell, and y is 1 for those that are right. Boards have
    one solution each; they are those that come with irem-tasks, after random symmetries and with
    further cells given. Training has 31 to 42 givens and so has "same"; "harder" has 21 to 34. The
    boards to test with are others than those to train with, whatever the symmetry.
    """

    difficulties: ClassVar = {
        "train": {"part": "train"},
        "same": {},
        "harder": {"givens": Between(21, 34)},
    }
    formats: ClassVar[tuple[str, ...]] = board_files.ENDINGS

    def __init__(self) -> None:
        """Set the spaces."""
        self.question = FactorSpace(
            choices.FEATURES, kinds={choices.VARIABLE: 0, choices.ALL_DIFFERENT: 0}
        )
        self.answer = EntrySpace()

    def generate(
        self,
        count: int,
        generator: torch.Generator,
        *,
        givens: Givens = base_sets.PUBLISHED_GIVENS,
        size: Size = 9,
        variant: Variant = "plain",
        part: Part = "test",
    ) -> tuple[Problem, Float[Tensor, "rows 1"]]:
        """Draw boards and their solutions."""
        boards = base_sets.draw(
            count,
            givens,
            generator=generator,
            device=generator.device,
            kind=Kind(size=size, variant=variant),
            part=part,
        )
        problem = self.problem(boards.givens, boards.kind, boards.regions)
        return problem, choices.answers(boards.solutions - 1, size)

    def problem(
        self,
        givens: Int[Tensor, "boards cells"],
        kind: Kind,
        regions: Int[Tensor, "boards cells"] | None = None,
    ) -> Problem:
        """Make problems of boards.

        Args:
            givens: from 1, 0 where a cell is blank.
            kind: of all boards.
            regions: of each cell of jigsaw boards, from 0; None for others.
        """
        groups = kind.groups(regions).to(givens.device)
        return Problem(choices.build(givens - 1, kind.size, groups), self.answer)

    def verify(self, problem: Problem, y: Tensor) -> Bool[Tensor, " problems"]:
        """Say which boards are solved: full, as given, and each value once in every group."""
        return choices.verify(problem, y)

    def measures(
        self, problem: Problem, y: Tensor, target: Tensor
    ) -> dict[str, Float[Tensor, " problems"]]:
        """Return the share of cells that have the right value."""
        right = (choices.decoded(problem.x, y) & (target[:, 0] > 0)).to(y)
        cells = problem.x[choices.VARIABLE].ptr.diff()
        return {"cells": problem.layout.sum(right) / cells}

    def read(self, file: Path, device: torch.device) -> Problem:
        """Read boards, a line each (see `board_files.read`).

        Raises:
            InputFileError: the file cannot be read, or holds no board.
        """
        givens = board_files.read(file).to(device)
        kind = Kind(size=board_files.size_of(givens.shape[1]))
        return self.problem(givens, kind)

    def write(self, file: Path, problem: Problem, y: Tensor) -> None:
        """Write boards, a line each; those that are not solved as they were given.

        Raises:
            InputFileError: the file's ending is not known.
            StorageError: writing failed.
        """
        board_files.write(file, _written(problem, y))

    def report(self, problem: Problem, solution: Solution) -> str:
        """Draw the first boards, and say of all which are solved."""
        boards = _written(problem, solution.y)
        solved: Any = problem.verified(solution.y)
        lines = []
        for number, (board, holds) in enumerate(zip(boards[:_SHOWN], solved, strict=False)):
            steps = int(solution.steps[number])
            state = f"solved in {steps} steps" if holds else "not solved; as it was given"
            lines += [f"board {number}, {state}", board_files.drawn(board), ""]
        wrong = (~solved).nonzero().squeeze(1).tolist()
        lines.append(f"{int(solved.sum())} of {len(boards)} boards are solved and checked.")
        if wrong:
            named = ", ".join(map(str, wrong[:20])) + (", ..." if len(wrong) > 20 else "")
            lines.append(f"No answer that satisfies all constraints was found of: {named}.")
        return "\n".join(lines)


def _written(problem: Problem, y: Tensor) -> Int[Tensor, "boards cells"]:
    """Return the values of boards of one size: solved ones full, and others as they were given."""
    count = problem.layout.count
    size = board_files.size_of(problem.x[choices.VARIABLE].num_nodes // count)
    holds = problem.verified(y)
    assert holds is not None
    given = problem.x[choices.ENTRY].x[:, 0] > 0
    chosen = torch.where(problem.layout.spread(holds, given), choices.decoded(problem.x, y), given)
    values = torch.arange(1, size + 1, device=y.device)
    return (chosen.view(count, -1, size) * values).sum(-1)
