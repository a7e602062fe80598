"""Tables: columns by name, from .csv, .parquet and .feather files and from data frames."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from irem_core.errors import InputFileError, UnknownNameError, near_matches
from irem_core.files import arrow_files
from irem_core.files.arrow_files import read_arrow, write_arrow
from irem_core.files.csv_files import read_csv
from irem_core.files.storage import replacing

ENDINGS = (".csv", ".tsv", *arrow_files.ENDINGS)
"""The endings of the files that hold tables."""

# What programs call a first column that says nothing but which row this is.
_NAMELESS = ("", "unnamed: 0", "__index_level_0__")
_COUNTING = ("index", "id", "row", "no", "nr", "#")
# A column of more different texts than these holds no categories.
_CATEGORIES = 1000
_SHOWN = 12


@attrs.frozen(eq=False)
class Table:
    """Columns of as many rows each, by name.

    Entries of questions and answers are named as the columns that they are from; "COLUMN=TEXT" is
    an entry that is 1 where that column holds that text, and else 0.

    Args:
        columns: `(n,)` numbers, or objects of Python.
        source: what to call it in errors.
        named: whether the names are its own; else they are the numbers of the columns.
    """

    columns: Mapping[str, NDArray[Any]]
    source: str
    named: bool = True

    @classmethod
    def read(cls, file: Path) -> Table:
        """Read a file of one of the `ENDINGS`.

        Raises:
            InputFileError: it is not in order.
            SettingError: its format needs a package that is not installed.
            Exception: what else goes wrong in reading (see `reading`).
        """
        if file.suffix.lower() in arrow_files.ENDINGS:
            return cls.of(read_arrow(file), str(file))
        names, columns = read_csv(file)
        known = names or [str(place) for place in range(len(columns))]
        _check_names(known, str(file))
        return cls(dict(zip(known, columns, strict=True)), str(file), names is not None)

    @classmethod
    def of(cls, frame: Any, source: str) -> Table:
        """Take a data frame of pandas or polars, or a table of pyarrow.

        Raises:
            InputFileError: two columns have one name.
        """
        names = list(getattr(frame, "column_names", None) or frame.columns)
        _check_names(list(map(str, names)), source)
        return cls({str(name): _plain(frame[name].to_numpy()) for name in names}, source)

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(next(iter(self.columns.values()), ()))

    @property
    def index(self) -> str | None:
        """The first column, where it only counts the rows: it says nothing of what is asked."""
        first = next(iter(self.columns), None)
        if first is None or not self.named:
            return None
        held = self.columns[first]
        if first.lower() in _NAMELESS:
            return first
        if first.lower() not in _COUNTING or held.dtype.kind not in "fiu" or not len(held):
            return None
        counts = held[0] in (0, 1) and (held == held[0] + np.arange(len(held))).all()
        return first if counts else None

    def column_of(self, entry: str) -> str | None:
        """Return the column that an entry is a text of; None for all other entries."""
        fitting = [name for name in self.columns if entry.startswith(f"{name}=")]
        return max(fitting, key=len, default=None)

    def chosen(self, wanted: str | Sequence[str], option: str) -> list[str]:
        """Return the columns that names and globs choose, each once.

        Args:
            wanted: names and globs, in a text joined by commas, or one by one; "COLUMN=TEXT"
                passes. A glob leaves the index out.
            option: what they were given as, for errors.

        Raises:
            UnknownNameError: one chooses nothing.
        """
        if isinstance(wanted, str):
            wanted = next(csv.reader([wanted], skipinitialspace=True), [])
        found: list[str] = []
        for each in wanted:
            if each in self.columns or self.column_of(each):
                found.append(each)
                continue
            fitting = [name for name in self.columns if fnmatchcase(name, each)]
            if not set(fitting) - {self.index}:
                raise UnknownNameError(
                    f"{self.source} has no column {each!r}, which {option} names. "
                    f"{near_matches(each, self.columns)}".rstrip()
                )
            found += [name for name in fitting if name != self.index]
        return list(dict.fromkeys(found))

    def entries(self, names: Sequence[str], *, one_hot: bool) -> tuple[str, ...]:
        """Return the entries of some columns: one of numbers is one, one of text has several.

        Args:
            names: of columns, or of entries, which pass.
            one_hot: whether text is taken, as an entry for each text that occurs.

        Raises:
            InputFileError: a column holds text and that is not taken, or more than 1,000 texts.
        """
        found: list[str] = []
        for name in names:
            held = self.columns.get(name)
            if held is None or held.dtype != object:
                found.append(name)
                continue
            if not one_hot or not _is_text(held):
                raise self._no_numbers(name)
            texts = sorted(set(held))
            if len(texts) > _CATEGORIES:
                raise InputFileError(
                    f"{self.source}: the column {name!r} holds {len(texts):,} different texts; "
                    f"expected at most {_CATEGORIES:,} categories. Leave it out."
                )
            found += [f"{name}={text}" for text in texts]
        return tuple(found)

    def array(self, entries: Sequence[str]) -> NDArray[np.float64]:
        """Return entries as numbers, `(n, entries)`.

        Raises:
            InputFileError: the table lacks a column, one holds no numbers, or a text that none of
                the entries stands for.
        """
        made: dict[str, NDArray[Any]] = {}
        coded: dict[str, list[str]] = {}
        for entry in entries:
            column = self.column_of(entry)
            if entry in self.columns:
                made[entry] = self.columns[entry]
                if made[entry].dtype.kind not in "fiub":
                    raise self._no_numbers(entry)
            elif column is not None:
                coded.setdefault(column, []).append(entry)
                made[entry] = self.columns[column] == entry.removeprefix(f"{column}=")
            else:
                raise InputFileError(
                    f"{self.source} has no column {entry!r}; expected {listed(entries)}, and it "
                    f"has {listed(list(self.columns)) or 'none'}."
                )
        for column, theirs in coded.items():
            self._check_known(column, theirs, made)
        if not made:
            return np.empty((len(self), 0))
        return np.column_stack([made[entry] for entry in entries]).astype(np.float64)

    def _check_known(
        self, column: str, entries: Sequence[str], made: Mapping[str, NDArray[Any]]
    ) -> None:
        known = np.any([made[entry] for entry in entries], axis=0)
        if not known.all():
            row = int(known.argmin())
            raise InputFileError(
                f"{self.source}: the column {column!r} holds {self.columns[column][row]!r} in row "
                f"{row}, counted from 0; expected one of "
                f"{listed([entry.removeprefix(f'{column}=') for entry in entries])}."
            )

    def _no_numbers(self, name: str) -> InputFileError:
        held = self.columns[name]
        where = f"{self.source}: the column {name!r} holds"
        if _is_text(held):
            row = next((row for row, each in enumerate(held) if not _is_number(each)), 0)
            return InputFileError(
                f"{where} text, such as {held[row]!r} in row {row}, counted from 0; mend it, leave "
                "the column out, or make an entry of each of its texts with --categories one-hot "
                '(categories="one-hot").'
            )
        kind = type(held[0]).__name__ if held.dtype == object else held.dtype
        return InputFileError(f"{where} {kind} values; expected numbers or text. Leave it out.")


def write_table(file: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """Write columns with their names, in the format that a file's ending names.

    Args:
        file: where to, of one of the `ENDINGS`; it is replaced in one go.
        columns: `(n,)` numbers or texts.

    Raises:
        SettingError: the format needs a package that is not installed.
        StorageError: writing failed.
    """
    ending = file.suffix.lower()
    with replacing(file) as temporary:
        if ending in arrow_files.ENDINGS:
            write_arrow(temporary, columns, ending)
            return
        separator = "\t" if ending == ".tsv" else ","
        with temporary.open("w", encoding="utf-8", newline="") as handle:
            lines = csv.writer(handle, delimiter=separator, lineterminator="\n")
            lines.writerow(columns)
            # numpy writes as many digits as tell a number from its neighbours.
            texts = (each.astype(str).tolist() for each in columns.values())
            lines.writerows(zip(*texts, strict=True))


def _check_names(names: Sequence[str], source: str) -> None:
    name, count = next(iter(Counter(names).most_common(1)), ("", 0))
    if count > 1:
        raise InputFileError(f"{source} has {count} columns {name!r}; give each a name of its own.")


def _is_text(values: NDArray[Any]) -> bool:
    return values.dtype == object and all(isinstance(each, str) for each in values)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """Return a column of a frame as numbers, with NaN for what is missing, or as text, or as is."""
    if values.dtype != object:
        return values.astype(object) if values.dtype.kind in "UT" else values
    missing = np.array([_is_missing(each) for each in values], np.bool_)
    if not missing.all() and _is_text(values[~missing]):
        return np.where(missing, "", values)
    try:
        return np.where(missing, np.nan, values).astype(np.float64)
    except (TypeError, ValueError):
        return values


def _is_missing(value: Any) -> bool:
    # That of pandas, NA, says of nothing that it is equal, nor that it is not.
    return value is None or type(value).__name__ == "NAType" or value != value


def listed(names: Sequence[str]) -> str:
    """Join names for a sentence, the first dozen of them."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
