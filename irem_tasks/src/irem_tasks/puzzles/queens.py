"""Queens: as many as a board has rows, none of which attacks another."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from irem_core import (
    Between,
    EntrySpace,
    FactorSpace,
    Grid,
    InputFileError,
    Problem,
    SettingError,
    Solution,
    choices,
    factor_graphs,
    graphs,
    storage,
)
from irem_tasks._declared import DeclaredTask, Range
from irem_tasks.puzzles import queen_boards
from irem_tasks.puzzles.exact_cover import covered

Size = Annotated[
    int | Between[int],
    Range(
        "1, or at least 4, since queens on boards of 2 or 3 always attack each other",
        lambda size: size == 1 or size >= 4,
    ),
]
Givens = Annotated[int | Between[int], Range("at least 0", lambda givens: givens >= 0)]
Flag = Annotated[int, Range("0 or 1", lambda flag: flag in (0, 1))]
_AT_MOST_ONE = "at_most_one"
_KINDS = (choices.VARIABLE, choices.ALL_DIFFERENT, _AT_MOST_ONE)
_SHOWN = 3


class Queens(DeclaredTask):
    """Place n queens on a board of n x n cells so that no two are in one row, column or diagonal.

    Cells are entries, and y is 1 where there is a queen. Each row is a variable, which column its
    queen is in; columns have one queen too, and diagonals at most one. Training has single lines: a
    row, a column or a diagonal of an 8 x 8 board, alone. So whole boards, 8 x 8 on "same" and 12 x
    12 on "harder", are solved by the sum of the energies of their lines.

    Most boards have many solutions, so the y that is drawn with one is merely one of them, and the
    squared error to it says nothing: `measures` has what counts.
    """

    difficulties: ClassVar = {
        "train": {"lines": 1, "size": 8},
        "same": {"size": 8},
        "harder": {"size": 12},
    }
    interim: ClassVar[int] = 20
    preferred = "factor(rounds=0)"
    formats: ClassVar[tuple[str, ...]] = (queen_boards.ENDING,)

    def __init__(self) -> None:
        """Set the spaces."""
        self.question = FactorSpace(choices.FEATURES, kinds=dict.fromkeys(_KINDS, 0))
        self.answer = EntrySpace(low=0.0, high=1.0)

    def generate(
        self,
        count: int,
        generator: torch.Generator,
        *,
        size: Size = Between(8, 8),  # noqa: B008 (frozen)
        givens: Givens = Between(0, 0),  # noqa: B008 (frozen)
        lines: Flag = 0,
    ) -> tuple[Problem, Float[Tensor, "rows 1"]]:
        """Draw boards with solutions of theirs, some queens given, or with `lines=1` lines alone.

        Args:
            count: how many.
            generator: the only source of randomness.
            size: rows and columns of a board.
            givens: queens that are given, in random rows; all of them where there are fewer.
            lines: whether each problem is one line of a board.

        Raises:
            SettingError: boards of 2 or 3 rows are among the sizes.
        """
        wanted = Between.of(size)
        if wanted.low < 4 and wanted.high > 1:
            raise SettingError(
                f"The difficulty parameter size got {size}, boards of 2 or 3 rows among them, "
                "whose queens always attack each other; expected 1, or a range that begins at 4."
            )
        device = generator.device
        sizes = wanted.draw(count, generator, device)
        boards = queen_boards.draw(sizes, generator)
        shuffled = torch.rand(boards.shape, generator=generator, device=device)
        place = shuffled.masked_fill(boards < 0, math.inf).argsort(1).argsort(1)
        some = Between.of(givens).draw(count, generator, device)
        known = (place < some[:, None]) & (boards >= 0)
        features, y = _cells(sizes, boards, known)
        members = dict(zip(_KINDS, queen_boards.lines(sizes), strict=True))
        if lines:
            features, y, members = _single_lines(features, y, members, generator)
        x = factor_graphs.build(features, members)
        return Problem(x, self.answer), y[:, None]

    def verify(self, problem: Problem, y: Tensor) -> Bool[Tensor, " problems"]:
        """Say which boards hold: a queen in each row and column, none attacked, givens kept.

        The queen of a row is in its largest entry; of a column or diagonal alone, where entries are
        above 1/2.
        """
        return choices.verify(problem, y)

    def classical(self, problem: Problem) -> Tensor:
        """Return what backtracking finds, the row or column of fewest free cells first.

        Only the givens are returned where it finds nothing.
        """
        return covered(problem)

    def measures(
        self, problem: Problem, y: Tensor, target: Tensor
    ) -> dict[str, Float[Tensor, " problems"]]:
        """Count the pairs of queens that are in one line, whatever stands between them."""
        x, queens = problem.x, choices.decoded(problem.x, y).to(y)
        conflicts = torch.zeros(problem.layout.count, device=y.device, dtype=y.dtype)
        for kind in _KINDS:
            line, entry = x[kind, factor_graphs.ROLE, factor_graphs.ENTRY].edge_index
            many = torch.zeros_like(x[kind].batch, dtype=y.dtype)
            many = many.index_add(0, line, queens[entry])
            conflicts = conflicts.index_add(0, x[kind].batch, many * (many - 1) / 2)
        return {"conflicts": conflicts}

    def read(self, file: Path, device: torch.device) -> Problem:
        """Read boards with some queens given (see `queen_boards.read`).

        Raises:
            InputFileError: the file cannot be read, or holds no boards; the error names the line.
        """
        _check_ending(file)
        queens = queen_boards.read(file)
        sizes = torch.tensor([len(board) for board in queens])
        boards = torch.full((len(queens), int(sizes.max())), -1)
        for board, own in zip(queens, boards, strict=True):
            row, column = board.nonzero(as_tuple=True)
            own[row] = column
        features, _ = _cells(sizes, boards, boards >= 0)
        members = dict(zip(_KINDS, queen_boards.lines(sizes), strict=True))
        return Problem(factor_graphs.build(features, members).to(device), self.answer)

    def write(self, file: Path, problem: Problem, y: Tensor) -> None:
        """Write boards as `read` reads them; those that are not solved as they were given.

        Raises:
            InputFileError: the file's ending is not known.
            StorageError: writing failed.
        """
        _check_ending(file)
        boards = [each.view(math.isqrt(len(each)), -1) for each in self._answered(problem, y)]
        with storage.replacing(file) as temporary:
            temporary.write_text(queen_boards.text_of(boards), encoding="utf-8")

    def report(self, problem: Problem, solution: Solution) -> str | None:
        """Draw the first boards, and say of all which are solved; None where some are lines."""
        if not _whole(problem):
            return None
        holds, lines = self.verify(problem, solution.y), []
        for number, queens in enumerate(self._answered(problem, solution.y)[:_SHOWN]):
            steps = int(solution.steps[number])
            state = f"solved in {steps} steps" if holds[number] else "not solved; as it was given"
            lines += [f"board {number}, {state}", str(_grid(problem, queens, number)), ""]
        shown = f" The first {_SHOWN} are drawn." if len(holds) > _SHOWN else ""
        lines.append(f"{int(holds.sum())} of {len(holds)} boards are solved and checked.{shown}")
        return "\n".join(lines)

    def picture(self, problem: Problem, y: Tensor, *, number: int = 0) -> Grid | None:
        """Return a board with `Q` where an answer puts queens; None of problems with lines."""
        if not _whole(problem):
            return None
        cells = problem.layout.rows_of(torch.tensor([number], device=y.device))
        return _grid(problem, choices.decoded(problem.x, y)[cells], number)

    def _answered(self, problem: Problem, y: Tensor) -> list[Bool[Tensor, " _cells"]]:
        """Return the queens of solved boards, and the given ones of others."""
        given = problem.x[factor_graphs.ENTRY].x[:, 0] > 0
        holds = self.verify(problem, y)[problem.x[factor_graphs.ENTRY].batch]
        queens = torch.where(holds, choices.decoded(problem.x, y), given)
        return list(queens.cpu().split(problem.x[factor_graphs.ENTRY].ptr.diff().tolist()))


def _cells(
    sizes: Int[Tensor, " boards"], boards: queen_boards.Columns, known: Bool[Tensor, "boards size"]
) -> tuple[graphs.Column, Float[Tensor, " rows"]]:
    """Return features of the cells, as `choices` has them, and whether there is a queen."""
    most = boards.shape[1]
    inside = torch.arange(most, device=sizes.device) < sizes[:, None]
    inside = inside[:, :, None] & inside[:, None, :]
    queen = boards[:, :, None] == torch.arange(most, device=sizes.device)
    row = known[:, :, None].expand_as(queen)
    features = torch.stack([queen & row, row, queen], -1)[inside].to(torch.get_default_dtype())
    return graphs.Column(features[:, :2], sizes.square()), features[:, 2]


def _single_lines(
    features: graphs.Column,
    y: Float[Tensor, " rows"],
    members: dict[str, Int[Tensor, "boards lines cells"]],
    generator: torch.Generator,
) -> tuple[graphs.Column, Tensor, dict[str, Int[Tensor, "boards 1 cells"]]]:
    """Draw a line of each board, all kinds alike, with its own cells as the only entries."""
    boards = len(features.lengths)
    device = generator.device
    kind = torch.randint(len(members), (boards,), generator=generator, device=device)
    # Boards of one cell have no diagonals.
    kind = torch.where(features.lengths > 1, kind, kind % 2)
    drawn = torch.zeros_like(features.lengths)[:, None].expand(-1, members[_KINDS[0]].shape[2])
    for number, each in enumerate(members.values()):
        if each.shape[1]:
            chance = torch.rand(each.shape[:2], generator=generator, device=device)
            which = chance.masked_fill(each[..., 0] < 0, -1).argmax(1)
            line = each[torch.arange(boards, device=device), which]
            drawn = torch.where(kind[:, None] == number, line, drawn)
    inside = drawn >= 0
    first = features.lengths.cumsum(0) - features.lengths
    rows = (drawn + first[:, None])[inside]
    place = torch.where(inside, torch.arange(drawn.shape[1], device=device), -1)
    alone = {
        name: torch.where(kind[:, None] == number, place, -1)[:, None]
        for number, name in enumerate(members)
    }
    return graphs.Column(features.values[rows], inside.sum(1)), y[rows], alone


def _whole(problem: Problem) -> bool:
    """Say whether all problems are boards."""
    cells, rows = (problem.x[kind].ptr.diff() for kind in (factor_graphs.ENTRY, choices.VARIABLE))
    return bool((rows.square() == cells).all())


def _grid(problem: Problem, queens: Bool[Tensor, " cells"], number: int) -> Grid:
    """Draw the queens of one board, in a frame."""
    size = math.isqrt(len(queens))
    rows = problem.layout.rows_of(torch.tensor([number], device=problem.device))
    frame = torch.zeros(size, size + 1, dtype=torch.bool)
    frame[:, [0, -1]] = True
    return Grid(
        texts=[list(row) for row in queen_boards.rows_of(queens.view(size, size))],
        given=problem.x[factor_graphs.ENTRY].x[rows, 0].view(size, size).cpu() > 0,
        beside=frame,
        above=frame.T,
    )


def _check_ending(file: Path) -> None:
    if file.suffix.lower() != queen_boards.ENDING:
        raise InputFileError(
            f"Boards of queens cannot be in {file}; its name must end in {queen_boards.ENDING}."
        )
