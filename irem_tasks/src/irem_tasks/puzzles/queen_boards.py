"""Boards of queens that attack no other: all of them where they are few, and random ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import groupby
from pathlib import Path

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from irem_core import InputFileError

ENDING = ".txt"
"""Of files of boards."""
Columns = Int[Tensor, "boards size"]

# Boards up to this size are all known: 14,200 at most.
_LISTED = 12
# Rounds after which a board that is still wrong is begun anew, for each of its rows.
_PATIENCE = 40


@cache
def solutions(size: int) -> Columns:
    """Return all boards of a size, in order: the column of the queen in each row.

    Rows are filled from the first on, all boards at once, so that sizes above 12 take much memory.

    Args:
        size: rows and columns of a board.
    """
    # Small numbers, since there are millions of them on the way.
    boards = torch.zeros(1, 0, dtype=torch.int8)
    columns = torch.arange(size, dtype=torch.int8)
    for row in range(size):
        away = row - columns[:row]
        # Which columns of the next row each queen attacks: its own, and those of its diagonals.
        aside = (boards[:, None, :] - columns[:, None]).abs()
        free = ((aside != 0) & (aside != away)).all(-1)
        board, column = free.nonzero(as_tuple=True)
        boards = torch.cat([boards[board], columns[column, None]], 1)
    return boards.long()


def draw(sizes: Int[Tensor, " boards"], generator: torch.Generator) -> Columns:
    """Draw a board of each size, those of up to 12 rows from all that there are.

    Args:
        sizes: 1, or at least 4.
        generator: the only source of randomness.

    Returns:
        The columns of queens, filled up with -1 to the largest size.
    """
    drawn = torch.full((len(sizes), int(sizes.max())), -1, device=sizes.device)
    for size in sizes.unique().tolist():
        which = (sizes == size).nonzero()[:, 0]
        drawn[which, :size] = _drawn(len(which), size, generator)
    return drawn


def _drawn(count: int, size: int, generator: torch.Generator) -> Columns:
    if size > _LISTED:
        return _repaired(count, size, generator)
    known = solutions(size).to(generator.device)
    chosen = torch.randint(len(known), (count,), generator=generator, device=generator.device)
    return known[chosen]


def _repaired(count: int, size: int, generator: torch.Generator) -> Columns:
    """Draw permutations, and swap rows of each as long as queens share diagonals.

    This is the search of Sosic and Gu (1990), with swaps that leave as many pairs too, and new
    permutations where it is stuck.
    """
    boards = _permutations(count, size, generator)
    pairs, rounds = _shared(boards), 0
    while bool(pairs.any()):
        wrong = pairs.nonzero()[:, 0]
        rounds += 1
        if rounds % (_PATIENCE * size) == 0:
            boards[wrong] = _permutations(len(wrong), size, generator)
            pairs[wrong] = _shared(boards[wrong])
        rows = torch.rand(len(wrong), size, generator=generator, device=generator.device)
        rows = rows.argsort(1)[:, :2]
        before = boards[wrong]
        after = before.scatter(1, rows, before.gather(1, rows).flip(1))
        shared = _shared(after)
        better = shared <= pairs[wrong]
        boards[wrong[better]], pairs[wrong[better]] = after[better], shared[better]
    return boards


def _permutations(count: int, size: int, generator: torch.Generator) -> Columns:
    return torch.rand(count, size, generator=generator, device=generator.device).argsort(1)


def _shared(boards: Columns) -> Int[Tensor, " boards"]:
    """Count the queens of each board that are not the first of their diagonal."""
    count, size = boards.shape
    row = torch.arange(size, device=boards.device)
    found = torch.zeros(count, dtype=torch.int64, device=boards.device)
    for diagonal in (boards + row, boards - row + size):
        held = torch.zeros(count, 2 * size + 1, dtype=torch.int64, device=boards.device)
        held = held.scatter_add(1, diagonal, torch.ones_like(diagonal))
        found += (held - 1).clamp(min=0).sum(1)
    return found


def lines(sizes: Int[Tensor, " boards"]) -> tuple[Tensor, Tensor, Tensor]:
    """List the cells of rows, of columns and of diagonals of two cells or more.

    Args:
        sizes: of the boards, whose cells are counted row by row.

    Returns:
        `(B, lines, cells)` each, filled up with -1; lines that smaller boards lack are of -1 alone.
    """
    most = int(sizes.max())
    size = sizes[:, None, None]
    line = torch.arange(most, device=sizes.device)[:, None]
    place = torch.arange(most, device=sizes.device)
    inside = (line < size) & (place < size)
    rows = torch.where(inside, line * size + place, -1)
    # How far a diagonal lies right of the longest.
    right = torch.arange(2 * most - 3 if most > 1 else 0, device=sizes.device)[:, None] - (most - 2)
    inside = (right.abs() < size - 1) & (place < size - right.abs())
    row, column = (-right).clamp(min=0) + place, right.clamp(min=0) + place
    falling = torch.where(inside, row * size + column, -1)
    rising = torch.where(inside, row * size + size - 1 - column, -1)
    return rows, rows.mT, torch.cat([falling, rising], 1)


def read(file: Path) -> list[Bool[Tensor, "_size _size"]]:
    """Read boards, a line of `.` and `Q` for each row, with a blank line between boards.

    Lines that begin with # are comments.

    Raises:
        InputFileError: the file cannot be read, or holds no board or something else; the error
            names the line.
    """
    try:
        text = file.read_text(encoding="utf-8-sig", errors="replace")
    except FileNotFoundError as error:
        raise InputFileError(f"There is no file {file}.") from error
    except OSError as error:
        raise InputFileError(f"{file} cannot be read ({error.strerror}).") from error
    rows = ((number, line.strip()) for number, line in enumerate(text.split("\n"), 1))
    kept = ((number, row) for number, row in rows if not row.startswith("#"))
    blocks = groupby(kept, key=lambda each: bool(each[1]))
    boards = [_board(file, list(held)) for filled, held in blocks if filled]
    if not boards:
        raise InputFileError(
            f"{file} holds no board; expected a line for each row, such as ..Q. of four cells."
        )
    return boards


def _board(file: Path, rows: list[tuple[int, str]]) -> Bool[Tensor, "size size"]:
    size = len(rows)
    for number, row in rows:
        where = f"{file}, line {number}"
        if set(row) - set(".Q"):
            raise InputFileError(f"{where}: it says {row[:40]!r}; expected `.` and `Q` alone.")
        if len(row) != size:
            raise InputFileError(
                f"{where}: the row has {len(row)} cells, and its board {size} rows; expected as "
                "many of both, and a blank line between boards."
            )
        if row.count("Q") > 1:
            raise InputFileError(
                f"{where}: the row has {row.count('Q')} queens, which attack each other; expected "
                "one at most."
            )
    if size in (2, 3):
        raise InputFileError(
            f"{file}, line {rows[0][0]}: the board has {size} rows; expected 1, or at least 4, "
            "since queens on boards of 2 or 3 always attack each other."
        )
    return torch.tensor([[cell == "Q" for cell in row] for _, row in rows])


def text_of(boards: Iterable[Bool[Tensor, "_size _size"]]) -> str:
    """Write boards as `read` reads them."""
    return "\n".join("".join(f"{row}\n" for row in rows_of(board)) for board in boards)


def rows_of(board: Bool[Tensor, "size size"]) -> Iterator[str]:
    """Write the rows of a board."""
    for row in board.tolist():
        yield "".join("Q" if queen else "." for queen in row)
