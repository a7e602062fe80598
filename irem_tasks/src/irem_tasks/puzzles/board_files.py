"""Files of boards: a line each, tables with a column of them, and folders of arrays.

A line holds a board row by row: digits, letters from A above 9, and `.` or `0` for blanks, with
spaces between all of them or none. A second word of the line says by one character a cell which
region of a jigsaw board it belongs to. Lines that begin with # are comments. Tables have a column
`quizzes`, `puzzle` or `question` of such boards, and perhaps one of solutions; `regions` too.
Folders hold the arrays of HRM and TRM.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from irem_core import InputFileError, IremWarning, storage
from irem_tasks.puzzles.base_sets import Boards
from irem_tasks.puzzles.board_checks import Checked, check
from irem_tasks.puzzles.boards import BOXES, Cells, Kind

ENDINGS = (".txt", ".csv")
"""Of files of lines and of tables."""
COLUMNS = {"quizzes": "solutions", "puzzle": "solution", "question": "answer"}
"""The columns of boards in tables that others use, and those of their solutions."""

_DIGITS = "123456789ABCDEFG"
_SIZES = {size**2: size for size in BOXES}
_TOLD = 20  # faults of one file that are told one by one


class SkippedLineWarning(IremWarning):
    """A line holds no board that can be solved, and was left out, or one of several solutions."""


@attrs.frozen
class Row:
    """What stands in one line of a file.

    Args:
        line: its number, from 1.
        board: its text.
        solution: likewise; empty where the file has none.
        regions: likewise.
    """

    line: int
    board: str
    solution: str = ""
    regions: str = ""


def size_of(cells: int) -> int:
    """Return the size of boards of so many cells."""
    return _SIZES[cells]


def read(
    file: Path,
    *,
    size: int | None = None,
    variant: str = "plain",
    count: int = 1024,
    search: bool = True,
) -> Iterator[Boards]:
    """Yield the boards of a file, so many lines at a time; a solution that is not known is 0.

    Lines that hold no board, one of another size than the first, one whose givens contradict each
    other or leave no solution, or a solution that does not fit, are left out with a warning that
    names the line. Boards of several solutions are told of too, and kept.

    Args:
        file: .txt or .csv.
        size: of the boards; that of the first if None.
        variant: of the boards; plain ones are jigsaw boards where the first has regions.
        count: how many lines are read at a time.
        search: whether boards without a solution in the file are searched for one, and for several.

    Raises:
        InputFileError: the file cannot be read, has no such column, or holds no board.
    """
    faults, found, kind = _Faults(file), 0, None
    rows = _rows(file)
    while block := list(islice(rows, count)):
        first = next((row for row in block if len(row.board) in _SIZES), None)
        if kind is None and first is not None:
            jigsaw = variant == "plain" and first.regions
            kind = Kind(size or size_of(len(first.board)), "jigsaw" if jigsaw else variant)
        if kind is None:
            faults.add((row.line, _length("board", row.board, list(_SIZES))) for row in block)
            continue
        checked = _checked(block, kind, faults, search=search)
        if len(checked.boards):
            found += len(checked.boards)
            yield checked.boards
    faults.end()
    if not found and faults.many:
        raise InputFileError(f"{file} holds no board that can be solved (see the warnings).")
    if not found:
        raise InputFileError(
            f"{file} holds no board; expected a line for each, of {_counts(list(_SIZES))} cells, "
            "such as 53..7...."
        )


def read_whole(file: Path, **options: Any) -> Boards:
    """Return all boards of a file (see `read`)."""
    return Boards.joined(list(read(file, **options)))


def _checked(block: list[Row], kind: Kind, faults: _Faults, *, search: bool) -> Checked:
    """Turn rows to boards, and tell of those that are none."""
    sound, lines = [], []
    for row in block:
        fault = _wrong_length(row, kind.cells)
        if row.regions and kind.variant != "jigsaw":
            fault = f"it has regions, among boards that are {kind.variant}"
        if fault is None:
            sound.append(row)
            lines.append(row.line)
        else:
            faults.add([(row.line, fault)])
    givens, solutions = (
        _values([each or "0" * kind.cells for each in texts], kind.size)
        for texts in ([row.board for row in sound], [row.solution for row in sound])
    )
    regions = None
    if kind.variant == "jigsaw":
        regions = _regions([row.regions for row in sound], kind)
    checked = check(kind, givens, solutions, regions, search=search)
    faults.add((lines[place], fault) for place, fault in checked.faults)
    faults.add(((lines[place], fault) for place, fault in checked.notes), left_out=False)
    return checked


def _values(texts: list[str], size: int) -> Cells:
    """Return the values of boards of one length, and -1 for characters that are none."""
    known: NDArray[np.int64] = np.full(256, -1, dtype=np.int64)
    for value, digit in enumerate("0" + _DIGITS[:size]):
        known[[ord(digit), ord(digit.lower())]] = value
    known[ord(".")] = 0
    held = "".join(texts).encode("latin-1", errors="replace")
    return torch.from_numpy(known[np.frombuffer(held, np.uint8)]).view(len(texts), size**2)


def _regions(texts: list[str], kind: Kind) -> Cells:
    """Number the regions of each board in the order in which they occur; boxes if not given."""
    boxes = kind.boxes().tolist()
    rows = []
    for text in texts:
        names: dict[str, int] = {}
        rows.append([names.setdefault(each, len(names)) for each in text] if text else boxes)
    return torch.tensor(rows).view(len(texts), kind.cells)


def _rows(file: Path) -> Iterator[Row]:
    """Yield what stands in each line, of which no more than one is in memory."""
    try:
        with file.open(encoding="utf-8-sig", newline="", errors="replace") as stream:
            if file.suffix.lower() == ".csv":
                yield from _table(file, csv.DictReader(stream))
                return
            for number, line in enumerate(stream, 1):
                words = line.split()
                if len(words) > 1 and all(len(each) == 1 for each in words):
                    words = ["".join(words)]
                if words and not words[0].startswith("#"):
                    yield Row(number, words[0], regions=" ".join(words[1:]))
    except FileNotFoundError as error:
        raise InputFileError(f"There is no file {file}.") from error
    except (OSError, csv.Error) as error:
        raise InputFileError(f"{file} cannot be read ({error}).") from error


def _table(file: Path, table: csv.DictReader[str]) -> Iterator[Row]:
    names = list(table.fieldnames or ())
    column = next((name for name in COLUMNS if name in names), None)
    if column is None:
        raise InputFileError(
            f"{file} has {'the columns ' + ', '.join(names) if names else 'no columns'}; expected "
            f"one named {', '.join(COLUMNS)}, with a board in each row."
        )
    for row in table:
        cells = [(row.get(each) or "").strip() for each in (column, COLUMNS[column], "regions")]
        yield Row(table.line_num, *cells)


def _wrong_length(row: Row, cells: int) -> str | None:
    """Say which text of a row does not hold so many cells; only the board must be there."""
    texts = {"board": row.board, "solution": row.solution, "regions": row.regions}
    for name, text in texts.items():
        if len(text) != cells and (text or name == "board"):
            return _length(name, text, [cells])
    return None


def _length(name: str, text: str, expected: list[int]) -> str:
    return f"its {name} has {len(text)} characters; expected {_counts(expected)}, one a cell"


def _counts(cells: list[int]) -> str:
    return " or ".join(map(str, cells))


@attrs.define
class _Faults:
    """What is wrong with the lines of a file; the first are told one by one."""

    file: Path
    many: int = 0

    def add(self, faults: Iterable[tuple[int, str]], *, left_out: bool = True) -> None:
        for line, fault in faults:
            self.many += 1
            if self.many <= _TOLD:
                end = ", so it was left out" if left_out else ""
                self._warn(f"{self.file}, line {line}: {fault}{end}.")

    def end(self) -> None:
        if self.many > _TOLD:
            self._warn(f"{self.file}: likewise in {self.many - _TOLD} further lines.")

    def _warn(self, text: str) -> None:
        warnings.warn(text, SkippedLineWarning, stacklevel=2)


def read_arrays(folder: Path) -> Boards:
    """Read a folder of HRM's and TRM's: `all__inputs.npy` and `all__labels.npy`, one board a row.

    Their numbers are 1 for a blank and one more than the value elsewhere; 0 fills up.

    Raises:
        InputFileError: the arrays are missing, or hold no such boards; it names the first row.
    """
    inputs, labels = (_array(folder / f"all__{name}.npy") for name in ("inputs", "labels"))
    if inputs.ndim != 2 or inputs.shape != labels.shape or inputs.shape[1] not in _SIZES:
        raise InputFileError(
            f"{folder} holds arrays of shapes {inputs.shape} and {labels.shape}; expected a row of "
            f"{_counts(list(_SIZES))} numbers for each board in both."
        )
    kind = Kind(size_of(inputs.shape[1]))
    givens, solutions = (torch.from_numpy(each.astype(np.int64)) - 1 for each in (inputs, labels))
    checked = check(kind, givens, solutions, None, search=False)
    if checked.faults or bool((solutions < 1).any()):
        row, fault = checked.faults[0] if checked.faults else (0, "a solution has a blank")
        raise InputFileError(f"{folder}, row {row}: {fault}.")
    return checked.boards


def _array(file: Path) -> NDArray[np.generic]:
    try:
        array: NDArray[np.generic] = np.load(file, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise InputFileError(f"There is no file {file}.") from error
    except (OSError, ValueError) as error:
        raise InputFileError(f"{file} cannot be read ({error}).") from error
    return array


def write(file: Path, boards: Iterable[Tensor]) -> None:
    """Write boards, a line each, as `read` reads them where all are of one size.

    Args:
        file: .txt or .csv.
        boards: `(B, cells)`, or the `(cells,)` of each.

    Raises:
        InputFileError: the file's ending is not known.
        StorageError: writing failed.
    """
    if file.suffix.lower() not in ENDINGS:
        raise InputFileError(
            f"Boards cannot be written to {file}; its name must end in {' or '.join(ENDINGS)}."
        )
    with storage.replacing(file) as temporary:
        temporary.write_text(text_of(boards, file.suffix, first=True), encoding="utf-8")


def text_of(boards: Iterable[Tensor], ending: str, *, first: bool) -> str:
    """Return the lines of boards, below the name of their column where a table begins with them."""
    header = ["puzzle"] if first and ending.lower() == ".csv" else []
    return "".join(f"{line}\n" for line in header + lines_of(boards))


def lines_of(boards: Iterable[Tensor]) -> list[str]:
    """Write each board as one line, `.` where it is blank."""
    return ["".join(("." + _DIGITS)[value] for value in board.tolist()) for board in boards]


def line_of(board: Int[Tensor, " cells"]) -> str:
    """Write a board as one line (see `lines_of`)."""
    return lines_of(board[None])[0]
