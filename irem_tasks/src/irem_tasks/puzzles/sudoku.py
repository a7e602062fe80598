"""Sudoku and its variants: boards whose rows, columns and regions hold each value once."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import attrs
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from irem_core import (
    Between,
    EntrySpace,
    FactorSpace,
    Grid,
    Problem,
    SettingError,
    Solution,
    choices,
    trees,
)
from irem_tasks._declared import DeclaredTask, Range
from irem_tasks.puzzles import board_files
from irem_tasks.puzzles.base_sets import (
    PARTS,
    PLAIN,
    Boards,
    hard_givens,
    scaled_givens,
    usual_givens,
)
from irem_tasks.puzzles.board_data import drawn
from irem_tasks.puzzles.board_grid import grid_of
from irem_tasks.puzzles.board_problems import boards_of, graphs_of, values_of
from irem_tasks.puzzles.boards import BOXES, VARIANTS, Cells, Kind
from irem_tasks.puzzles.exact_search import search

Givens = Annotated[
    int | Between[int], Range("at least 0", lambda givens: isinstance(givens, int) and givens >= 0)
]
Size = Annotated[
    int | Between[int], Range(f"one of {', '.join(map(str, BOXES))}", lambda size: size in BOXES)
]
Variant = Annotated[
    str, Range(f"one of {', '.join(VARIANTS)}", lambda variant: variant in VARIANTS)
]
Part = Annotated[
    str,
    Range(f"one of {', '.join(PARTS)}", lambda part: part in PARTS),
]
Flag = Annotated[int, Range("0 or 1", lambda flag: flag in (0, 1))]
Tree = TypeVar("Tree")
_SHOWN = 3
# Cells that the oracle tries at most: far more than boards of one solution need.
_BRANCHES = 10_000


class Sudoku(DeclaredTask):
    """Fill a board so that each value occurs once in every row, column and region.

    There is an entry for each value of each cell, and y is 1 for those that are right. Boards have
    one solution each; they are those that come with irem-tasks, after random symmetries and with
    further cells given. Training has 31 to 42 givens and so has "same"; "harder" has 20 to 34. The
    boards to test with are others than those to train with, whatever the symmetry. Of other sizes
    and variants the numbers are like shares of the cells, as far as boards of one solution go.

    The parameter `minimal=1` draws boards all of whose givens are needed, and `part=hardest` those
    that need most search.

    Args:
        size: of the boards, 4, 6, 9 or 16; "4..9" mixes all from one to another, where givens are
            those of 9 x 9 boards, and others have like shares of their cells.
        variant: plain, jigsaw, diagonal or latin.
        data: a file of boards, or a folder of `train` and `test`, to draw from instead, whatever
            their givens; "harder" then draws those of 20 to 34.
    """

    difficulties: ClassVar = {
        "train": {"part": "train"},
        "same": {},
        "harder": {"givens": hard_givens(PLAIN)},
    }
    interim: ClassVar[int] = 100
    formats: ClassVar[tuple[str, ...]] = board_files.ENDINGS

    def __init__(
        self, size: int | str = 9, variant: str = "plain", *, data: str | None = None
    ) -> None:
        """Set the spaces; files are read when they are first needed.

        Raises:
            SettingError: no boards are of such a size or variant.
        """
        self.size = _sizes(size)
        self.variant = variant
        self.data = data
        kind = PLAIN if isinstance(self.size, Between) else Kind(self.size, variant)
        self.givens = usual_givens(kind) if data is None else Between(0, kind.cells)
        self.difficulties = {  # type: ignore[misc] # of this size, beside those of the usual one
            **type(self).difficulties,
            "harder": {"givens": hard_givens(kind)},
        }
        self.question = FactorSpace(
            choices.FEATURES, kinds={choices.VARIABLE: 0, choices.ALL_DIFFERENT: 0}
        )
        self.answer = EntrySpace()

    def generate(
        self,
        count: int,
        generator: torch.Generator,
        *,
        givens: Givens,
        size: Size,
        variant: Variant,
        part: Part = "test",
        minimal: Flag = 0,
    ) -> tuple[Problem, Float[Tensor, "rows 1"]]:
        """Draw boards and their solutions."""
        chosen: dict[str, Any] = {"part": part, "minimal": bool(minimal), "generator": generator}
        if not isinstance(size, Between):
            boards = drawn(Kind(size, variant), self.data, count, givens, **chosen)
            return self.problem(boards), choices.answers(boards.solutions - 1, size)
        sizes = torch.tensor([each for each in BOXES if size.low <= each <= size.high])
        which = torch.randint(len(sizes), (count,), generator=generator, device=generator.device)
        parts = []
        for each, some in zip(*sizes[which.cpu()].unique(return_counts=True), strict=True):
            kind = Kind(int(each), variant)
            share = scaled_givens(Between.of(givens), kind)
            boards = drawn(kind, self.data, int(some), share, **chosen)
            parts.append((self.problem(boards), choices.answers(boards.solutions - 1, kind.size)))
        return functools.reduce(_joined, parts)

    def problem(self, boards: Boards) -> Problem:
        """Make problems of boards."""
        return Problem(graphs_of(boards), self.answer)

    def verify(self, problem: Problem, y: Tensor) -> Bool[Tensor, " problems"]:
        """Say which boards are solved: full, as given, and each value once in every group."""
        return choices.verify(problem, y)

    def oracle(self, problem: Problem) -> Float[Tensor, "rows 1"]:
        """Return what an exact search finds, and nothing but the givens where it finds nothing."""
        found = []
        for alike in _alike(problem, problem):
            boards = boards_of(alike.x)
            ends = search(boards.givens, boards.groups, at_most=1, branches=_BRANCHES)
            solutions = boards.givens.index_copy(0, ends.owner, ends.solutions)
            found.append(choices.answers(solutions - 1, boards.kind.size))
        return torch.cat(found)

    def own_input(self, problem: Problem) -> Float[Tensor, "rows 1 inputs"]:
        """Return whether the entry's value is given, and whether its cell is."""
        features: Tensor = problem.x[choices.ENTRY].x
        return features[:, None]

    def measures(
        self, problem: Problem, y: Tensor, target: Tensor
    ) -> dict[str, Float[Tensor, " problems"]]:
        """Return the share of cells that have the right value."""
        right = (choices.decoded(problem.x, y) & (target[:, 0] > 0)).to(y)
        cells = problem.x[choices.VARIABLE].ptr.diff()
        return {"cells": problem.layout.sum(right) / cells}

    def read(self, file: Path, device: torch.device) -> Problem:
        """Read boards, a line each (see `board_files`); what is wrong with others is told.

        Raises:
            InputFileError: the file cannot be read, or holds no board.
        """
        boards = board_files.read_whole(file, variant=self.variant)
        return self.problem(boards.to(device))

    def stream(self, file: Path, device: torch.device, *, count: int) -> Iterator[Problem]:
        """Yield the boards of a file, so many lines at a time (see `read`).

        Raises:
            InputFileError: the file cannot be read, or holds no board.
        """
        for boards in board_files.read(file, variant=self.variant, count=count):
            yield self.problem(boards.to(device))

    def text(self, problem: Problem, y: Tensor, *, ending: str, first: bool) -> str:
        """Return boards, a line each; those that are not solved as they were given."""
        return board_files.text_of(self._each_answered(problem, y), ending, first=first)

    def write(self, file: Path, problem: Problem, y: Tensor) -> None:
        """Write boards, a line each; those that are not solved as they were given.

        Raises:
            InputFileError: the file's ending is not known.
            StorageError: writing failed.
        """
        board_files.write(file, self._each_answered(problem, y))

    def report(self, problem: Problem, solution: Solution) -> str:
        """Draw the first boards, and say of all which are solved."""
        holds = self.verify(problem, solution.y)
        lines = []
        for number in range(min(_SHOWN, len(holds))):
            one, y = _one(problem, solution.y, number)
            steps = int(solution.steps[number])
            state = f"solved in {steps} steps" if holds[number] else "not solved; as it was given"
            drawn_as = str(_grid(boards_of(one.x), self._answered(one, y)))
            lines += [f"board {number}, {state}", drawn_as, ""]
        shown = f" The first {_SHOWN} are drawn." if len(holds) > _SHOWN else ""
        lines.append(f"{int(holds.sum())} of {len(holds)} boards are solved and checked.{shown}")
        wrong = attrs.evolve(solution, verified=holds).unverified()
        return "\n".join([*lines, wrong] if wrong else lines)

    def picture(self, problem: Problem, y: Tensor, *, number: int = 0) -> Grid:
        """Return a board with the value of each cell that an answer says, `.` where several are."""
        one, answer = _one(problem, y, number)
        boards = boards_of(one.x)
        return _grid(boards, values_of(one.x, answer, boards.kind.size))

    def _each_answered(self, problem: Problem, y: Tensor) -> list[Tensor]:
        """Return the cells of each board (see `_answered`), whatever its size."""
        alike = _alike(problem, (problem, y))
        return [cells for each in alike for cells in self._answered(*each).cpu()]

    def _answered(self, problem: Problem, y: Tensor) -> Cells:
        """Return the values of solved boards, and the givens of others."""
        boards = boards_of(problem.x)
        values = values_of(problem.x, y, boards.kind.size)
        return torch.where(self.verify(problem, y)[:, None], values, boards.givens)


def _grid(boards: Boards, values: Cells) -> Grid:
    """Draw the first board, with these values."""
    regions = None if boards.regions is None else boards.regions[0]
    return grid_of(values[0], boards.givens[0], boards.kind, regions)


def _one(problem: Problem, y: Tensor, number: int) -> tuple[Problem, Tensor]:
    """Take one problem, and its answer, out of others."""
    chosen = torch.tensor([number], device=y.device)
    one: tuple[Problem, Tensor] = trees.select((problem, y), problem.layout, chosen)
    return one


def _sizes(size: int | str) -> int | Between[int]:
    """Read a size, or from which to which boards are mixed."""
    try:
        ends = [int(end) for end in str(size).split("..", 1)]
        return ends[0] if len(ends) == 1 else Between(*ends)
    except ValueError:
        known = ", ".join(map(str, BOXES))
        raise SettingError(
            f"Boards were asked for of size {size!r}; expected one of {known}, or two of them "
            "as in '4..9'."
        ) from None


def _joined(
    first: tuple[Problem, Tensor], second: tuple[Problem, Tensor]
) -> tuple[Problem, Tensor]:
    """Put problems and their answers together."""
    joined, _ = trees.join(first, first[0].layout, second, second[0].layout)
    return joined


def _alike(problem: Problem, tree: Tree) -> Iterator[Tree]:
    """Take what is held of problems apart where the size of boards changes."""
    entries = problem.x[choices.ENTRY].ptr.diff()
    _, runs = entries.unique_consecutive(return_counts=True)
    for numbers in torch.arange(len(entries), device=entries.device).split(runs.tolist()):
        yield trees.select(tree, problem.layout, numbers)
