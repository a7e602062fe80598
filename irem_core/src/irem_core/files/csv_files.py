"""Reading .csv files: separators, headers and the columns of numbers and of text that they hold."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from irem_core.errors import InputFileError

# Rows that are turned into numbers at a time: as text they take some ten times the memory.
_BLOCK = 2**14
_SEPARATORS = "\t;,"
# How programs write what numpy does not read as a number.
_WORDS = {"": "nan", "na": "nan", "n/a": "nan", "null": "nan", "true": "1", "false": "0"}


def read_csv(file: Path) -> tuple[list[str] | None, list[NDArray[np.generic]]]:
    """Read the names of columns, None where there is no header, and the columns.

    The separator is a tab, `;` or `,`, whichever parts the first lines into as many cells each.
    Cells may be quoted; lines that begin with # are comments, the first of them perhaps a header.
    Empty cells count as NaN, and "true" and "false" as 1 and 0. A column with any other text is one
    of text: objects of Python.

    Args:
        file: in UTF-8.

    Raises:
        InputFileError: lines differ in their number of cells, or numbers have decimal commas.
        ValueError: the file holds no line.
    """
    with file.open(encoding="utf-8-sig", newline="") as handle:
        begin = [line for line in islice(handle, 50) if line.strip()]
    if not begin:
        raise ValueError("it holds no data")
    separator = _separator(begin)
    rows = _cells(begin, separator)
    names, first = _names(rows), next((each for each in rows if not _is_comment(each)), [])
    width, text = len(names or first), set[int]()
    while True:  # once more for each column that is found to hold text after all
        columns = _columns(file, separator, width, names is not None, text)
        if columns is not None:
            return names, columns


def _cells(lines: Sequence[str], separator: str) -> list[list[str]]:
    return list(csv.reader(lines, delimiter=separator, skipinitialspace=True))


def _separator(begin: Sequence[str]) -> str:
    """Return what parts the first lines into cells."""
    lines = [line for line in begin[1:] if not line.startswith("#")]
    for lines_to_match in ([begin[0], *lines[:1]], begin[:1]):
        for separator in _SEPARATORS:
            counts = {len(cells) for cells in _cells(lines_to_match, separator)}
            if len(counts) == 1 and counts != {1}:
                return separator
    return ","


def _names(rows: Sequence[list[str]]) -> list[str] | None:
    """Return the names of columns, if the first line holds such rather than numbers."""
    names = [each.strip("# ") for each in rows[0]]
    if not _is_comment(rows[0]):
        return names if any(map(_is_word, names)) else None
    # A comment names columns if it has a word for each.
    width = next((len(each) for each in rows if not _is_comment(each)), len(names))
    words = len(names) == width and all(map(_is_word, names))
    return names if words and not any(" " in each for each in names) else None


def _is_comment(cells: Sequence[str]) -> bool:
    return cells[0].startswith("#")


def _is_word(cell: str) -> bool:
    return bool(cell) and _floats([cell]) is None and _floats([cell.replace(",", ".")]) is None


def _floats(cells: Sequence[str]) -> NDArray[np.float64] | None:
    try:
        return np.fromiter(map(float, cells), np.float64, len(cells))
    except ValueError:
        return None


def _columns(
    file: Path, separator: str, width: int, header: bool, text: set[int]
) -> list[NDArray[np.generic]] | None:
    """Read the columns of a file; None once one proves to hold text, which `text` then names."""
    parts: list[list[NDArray[np.generic]]] = [[] for _ in range(width)]
    with file.open(encoding="utf-8-sig", newline="") as handle:
        reader = csv.reader(handle, delimiter=separator, skipinitialspace=True)
        rows = _rows(file, reader, width, header)
        if header:
            next(rows)
        while block := list(islice(rows, _BLOCK)):
            for place, cells in enumerate(zip(*block, strict=True)):
                numbers = None if place in text else _numbers(file, cells)
                if numbers is None and place not in text:
                    text.add(place)
                    return None
                parts[place].append(np.array(cells, object) if numbers is None else numbers)
    return [np.concatenate([np.empty(0), *each]) for each in parts]


def _rows(file: Path, reader: Iterator[list[str]], width: int, header: bool) -> Iterator[list[str]]:
    """Yield the lines that hold something, a header among them, which may be a comment."""
    for cells in reader:
        if not cells or (not header and _is_comment(cells)):
            continue
        header = False
        if len(cells) != width:
            line = reader.line_num  # type: ignore[attr-defined]
            raise InputFileError(
                f"{file}, line {line}, has {len(cells)} cells; expected {width}, as in the first "
                "line. Numbers with decimal commas need points, and text with separators quotes."
            )
        yield cells


def _numbers(file: Path, cells: Sequence[str]) -> NDArray[np.float64] | None:
    """Read cells as numbers; None where one is no number.

    Raises:
        InputFileError: they would be, but for decimal commas.
    """
    numbers = _floats(cells)
    if numbers is not None:
        return numbers
    plain = [_WORDS.get(each.strip().lower(), each) for each in cells]
    numbers = _floats(plain)
    if numbers is None and _floats([each.replace(",", ".") for each in plain]) is not None:
        shown = next(each for each in cells if "," in each)
        raise InputFileError(
            f"{file} holds numbers with decimal commas, such as {shown}; write points in their "
            "place, for example with pandas.read_csv(FILE, sep=None, decimal=',').to_csv(...)."
        )
    return numbers
