"""Files of boards: a line each, or tables with a column of them."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from irem_core import InputFileError, IremWarning, storage
from irem_tasks.puzzles.boards import BOXES, Kind, repeated

ENDINGS = (".txt", ".csv")
COLUMNS = ("quizzes", "puzzle", "question")
"""Columns of tables that hold questions, in files that others use."""

_DIGITS = "123456789ABCDEFG"
_BLANKS = ".0"
_SIZES = {size**2: size for size in BOXES}


class SkippedLineWarning(IremWarning):
    """A line holds no board that can be solved, and was left out."""


def size_of(cells: int) -> int:
    """Return the size of boards of so many cells."""
    return _SIZES[cells]


def read(file: Path) -> Int[Tensor, "boards cells"]:
    """Read boards of one size, of which blanks are 0.

    A line of a text holds a board, row by row: digits, letters from A above 9, and `.` or `0` for
    blanks; a table has a column of such, named `quizzes`, `puzzle` or `question`. Lines that hold
    no board, or one whose givens contradict each other, are left out with a warning.

    Raises:
        InputFileError: the file cannot be read, has no such column, or holds no board.
    """
    boards: list[Tensor] = []
    for number, text in _lines(file):
        board = _board(text)
        size = len(boards[0]) if boards else None
        fault = board if isinstance(board, str) else _fault(board, size)
        if fault is None:
            assert isinstance(board, Tensor)
            boards.append(board)
        else:
            warnings.warn(
                f"{file}, line {number}: {fault}; it was left out.",
                SkippedLineWarning,
                stacklevel=2,
            )
    if not boards:
        raise InputFileError(
            f"{file} holds no board; expected lines of {_counts()} cells, such as 53..7...."
        )
    return torch.stack(boards)


def _counts() -> str:
    return ", ".join(map(str, _SIZES))


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yield what stands for a board in each line, with the number of the line."""
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            if file.suffix.lower() != ".csv":
                for number, line in enumerate(stream, 1):
                    if line.strip():
                        yield number, line.strip()
                return
            table = csv.DictReader(stream)
            known = [name for name in COLUMNS if name in (table.fieldnames or ())]
            if not known:
                raise InputFileError(
                    f"{file} has the columns {', '.join(table.fieldnames or ()) or '-'}; expected "
                    f"one named {' or '.join(COLUMNS)}."
                )
            for row in table:
                yield table.line_num, (row[known[0]] or "").strip()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputFileError(f"{file} cannot be read: {error}.") from error


def _board(text: str) -> Int[Tensor, " cells"] | str:
    """Return the values of a board, or what is wrong with the text."""
    if len(text) not in _SIZES:
        return f"{len(text)} characters, expected {_counts()} cells"
    digits = _BLANKS + _DIGITS[: size_of(len(text))]
    for place, character in enumerate(text.upper()):
        if character not in digits:
            return f"{character!r} in cell {place + 1}, expected one of {digits}"
    places = [max(digits.index(character) - 1, 0) for character in text.upper()]
    return torch.tensor(places)


def _fault(board: Int[Tensor, " cells"], cells: int | None) -> str | None:
    if cells is not None and len(board) != cells:
        return f"a board of {len(board)} cells among boards of {cells}"
    groups = Kind(size=size_of(len(board))).groups()
    if bool(repeated(board[None], groups).any()):
        return "the givens contradict each other: a value stands twice in a row, column or box"
    return None


def write(file: Path, boards: Int[Tensor, "boards cells"]) -> None:
    """Write boards, a line each, as `read` reads them.

    Raises:
        InputFileError: the file's ending is not known.
        StorageError: writing failed.
    """
    if file.suffix.lower() not in ENDINGS:
        raise InputFileError(
            f"Boards cannot be written to {file}; its name must end in {' or '.join(ENDINGS)}."
        )
    lines = [line_of(board) for board in boards]
    if file.suffix.lower() == ".csv":
        lines.insert(0, COLUMNS[1])
    with storage.replacing(file) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def line_of(board: Int[Tensor, " cells"]) -> str:
    """Write a board as one line, `.` where it is blank."""
    return "".join(("." + _DIGITS)[value] for value in board.tolist())


def drawn(board: Int[Tensor, " cells"]) -> str:
    """Draw a board as text, a line between boxes."""
    size = size_of(len(board))
    high, wide = BOXES[size]
    lines = []
    for row in range(size):
        cells = line_of(board[row * size : (row + 1) * size])
        boxes = [" ".join(cells[first : first + wide]) for first in range(0, size, wide)]
        lines.append(" | ".join(boxes))
        if row % high == high - 1 and row < size - 1:
            lines.append("-+-".join("-" * len(box) for box in boxes))
    return "\n".join(lines)
