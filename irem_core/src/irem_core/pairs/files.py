"""Pairs of a question and its answer, from files or arrays: read, checked and described."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from irem_core import checks
from irem_core.errors import InputFileError, SettingError
from irem_core.files.arrays import Array, held_as, read_arrays, reading
from irem_core.files.tables import ENDINGS, Table, listed
from irem_core.problems.space import ImageSpace, MatrixSpace, Space, VectorSpace

LEAST = 10
"""Fewer pairs than these are refused."""

# Entries that are looked at at a time, so that a mapped file need not fit in memory.
_CHUNK = 2**24
# Spread below this share of the largest entry is rounding, in single precision and in double.
_CONSTANT, _CONSTANT_DOUBLE = 1e-6, 1e-12
# Below this share of the mean, single precision moves numbers by more than a thousandth of it.
_FINE = 1e-4
_CHANNELS = (1, 2, 3, 4)


Columns = tuple[Sequence[str] | None, Sequence[str] | None]
"""The names of the entries of x and of y; None where they have none."""
Wanted = tuple[str | Sequence[str] | None, str | Sequence[str] | None]
"""The columns to take as x and as y, as `Table.chosen` takes them; None for all others."""
NO_COLUMNS: Columns = (None, None)


@attrs.frozen(eq=False)
class Pairs:
    """Questions and their answers, row by row.

    Args:
        x: `(n, ...)` the questions; may be mapped from a file.
        y: `(n, ...)` the answers, likewise.
        source: what to call them in errors.
        columns: the names of the entries of x and of y, where they are of a table (see `Table`).
        left_out: the columns of that table that are in neither, in words.
    """

    x: Array
    y: Array
    source: str
    columns: Columns = NO_COLUMNS
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        x: Any,
        y: Any,
        source: str = "The pairs",
        *,
        categories: str | None = None,
        least: int = LEAST,
    ) -> Pairs:
        """Check two arrays or data frames and make pairs of them; `(n,)` counts as `(n, 1)`.

        Args:
            x: the questions; frames are of pandas, polars or pyarrow.
            y: the answers, likewise.
            source: what to call them in errors.
            categories: "one-hot" for columns of text to be taken, as an entry for each text.
            least: fewer pairs are refused.

        Raises:
            InputFileError: they hold no numbers, NaN or infinity, are of different lengths, or have
                too few rows.
            SettingError: `categories` is none of these.
        """
        one_hot = _is_one_hot(categories)
        (x, of_x), (y, of_y) = (_unframed(each, source, one_hot=one_hot) for each in (x, y))
        return cls._checked(x, y, source, (of_x, of_y), least=least)

    @classmethod
    def _checked(
        cls,
        x: Any,
        y: Any,
        source: str,
        columns: Columns = NO_COLUMNS,
        left_out: tuple[str, ...] = (),
        *,
        least: int = LEAST,
    ) -> Pairs:
        arrays = {"x": np.asanyarray(x), "y": np.asanyarray(y)}
        for name, array in arrays.items():
            if array.dtype.kind not in "fiub" or not array.ndim:
                raise InputFileError(
                    f"{source}: {name} holds {array.dtype} values of shape {array.shape}; expected "
                    "numbers, one question or answer a row."
                )
            if array.ndim == 1:
                arrays[name] = array[:, None]
        pairs = cls(arrays["x"], arrays["y"], source, columns, left_out)
        pairs._check(least)
        return pairs

    @classmethod
    def read(
        cls,
        data: str,
        *,
        columns: Wanted = NO_COLUMNS,
        categories: str | None = None,
        least: int = LEAST,
    ) -> Pairs:
        """Read pairs from files; those of .npy stay on the disk and are mapped.

        Args:
            data: one .npz or .safetensors file with x and y, two .npy files, "x.npy,y.npy", or a
                table (.csv, .tsv, .parquet or .feather) that names its columns.
            columns: those of x and those of y, as `Table.chosen` takes them. Where one of them is
                None all others are taken, and where both are those whose names begin with x and
                with y.
            categories: "one-hot" for columns of text to be taken, as an entry for each text.
            least: fewer pairs are refused.

        Raises:
            InputFileError: a file cannot be read, or the pairs are not as `of` wants them.
            UnknownNameError: the table has no such column.
            SettingError: columns are in both x and y, or `categories` is none of these.
        """
        one_hot = _is_one_hot(categories)
        files = [Path(each.strip()) for each in data.split(",")]
        endings = {each.suffix.lower() for each in files}
        if len(files) == 2 and endings == {".npy"}:
            x, y = (_mapped(each) for each in files)
            return cls._checked(x, y, data, least=least)
        if len(files) == 1 and endings <= set(ENDINGS):
            with reading(files[0]):
                table = Table.read(files[0])
            of_x, of_y = (table.entries(each, one_hot=one_hot) for each in _parted(table, columns))
            taken = {*of_x, *of_y, *map(table.column_of, (*of_x, *of_y))}
            left_out = tuple(
                f"{name!r}{' (which counts rows)' if name == table.index else ''}"
                for name in table.columns
                if name not in taken
            )
            x, y = table.array(of_x), table.array(of_y)
            return cls._checked(x, y, data, (of_x, of_y), left_out, least=least)
        if len(files) > 1 or endings == {".npy"}:
            raise InputFileError(
                f"{data} cannot be read as pairs; give two .npy files as x.npy,y.npy, or one file "
                "(.npz, .safetensors or .csv) that holds x and y."
            )
        arrays = read_arrays(files[0])
        if "edge_index" in arrays:
            raise InputFileError(f"{data} holds a graph; give a folder of such, a file each.")
        questions, answers = (held_as(name, arrays) for name in "xy")
        if questions is None or answers is None:
            raise InputFileError(
                f"{data} holds {', '.join(sorted(arrays)) or 'no array'}, and no pairs of x and y; "
                "call the questions x and the answers y."
            )
        return cls._checked(arrays[questions], arrays[answers], data, least=least)

    def __len__(self) -> int:
        """Return how many pairs there are."""
        return int(self.x.shape[0])

    def digest(self) -> str:
        """Return a SHA-256 of types, shapes and values."""
        digest = hashlib.sha256()
        for array in (self.x, self.y):
            digest.update(f"{array.dtype.str} {array.shape}".encode())
            for _, rows in chunks(array):
                digest.update(np.ascontiguousarray(rows).view(np.uint8).data)
        return digest.hexdigest()

    def _check(self, least: int) -> None:
        if self.x.shape[0] != self.y.shape[0]:
            raise InputFileError(
                f"{self.source}: there are {self.x.shape[0]} questions x and {self.y.shape[0]} "
                "answers y; expected as many of each, row by row."
            )
        if len(self) < least:
            raise InputFileError(
                f"{self.source}: there are {len(self)} pairs; expected at least {least}, and "
                "thousands to learn from."
            )
        for name, array in (("x", self.x), ("y", self.y)):
            if not array.size:
                raise InputFileError(f"{self.source}: {name} has rows of no entries.")
            for first, rows in chunks(array):
                with np.errstate(over="ignore"):  # becomes infinite in what solvers compute with
                    finite = np.isfinite(rows.astype(np.float32)).reshape(len(rows), -1).all(1)
                if not finite.all():
                    raise InputFileError(
                        f"{self.source}: {name} holds NaN or infinity, first in row "
                        f"{first + int(finite.argmin())}, counted from 0; drop or mend that pair."
                    )


def _parted(table: Table, columns: Wanted) -> tuple[list[str], list[str]]:
    """Return the columns of a table that are questions, and those that are answers.

    Raises:
        InputFileError: that cannot be told, or one side is left with none.
        UnknownNameError: there is no such column.
        SettingError: a column is to be both.
    """
    rest = [name for name in table.columns if name != table.index]
    x, y = (
        None if wanted is None else table.chosen(wanted, f"--{name}-columns ({name}_columns)")
        for name, wanted in zip("xy", columns, strict=True)
    )
    if x is None and y is None:
        x, y = ([name for name in rest if name[:1].lower() == letter] for letter in "xy")
        if not table.named:
            raise InputFileError(
                f"{table.source} names no columns; begin it with a line that names its columns, "
                "such as x0,x1,y0."
            )
        if len(x) + len(y) < len(rest) or not (x and y):
            raise InputFileError(
                f"{table.source} has the columns {listed(list(map(repr, rest)))}; say which are "
                "answers with --y-columns NAMES (y_columns), or begin the names of questions with "
                "x and those of answers with y, such as x0, x1 and y0."
            )
        return x, y
    x = [name for name in rest if name not in (y or ())] if x is None else x
    y = [name for name in rest if name not in x] if y is None else y
    both = [name for name in x if name in y]
    if both:
        raise SettingError(
            f"{table.source}: the column {both[0]!r} is to be of both x and y; give it to one."
        )
    if not (x and y):
        raise InputFileError(
            f"{table.source} is left with no column for {'y' if x else 'x'}; give fewer columns to "
            f"{'x' if x else 'y'}."
        )
    return x, y


def _unframed(values: Any, source: str, *, one_hot: bool) -> tuple[Any, tuple[str, ...] | None]:
    """Return the array that a frame holds, with the names of entries; all else as it is."""
    if hasattr(values, "to_frame") and not hasattr(values, "columns"):
        values = values.to_frame()
    if not hasattr(values, "columns"):
        return values, None
    table = Table.of(values, source)
    entries = table.entries(list(table.columns), one_hot=one_hot)
    return table.array(entries), entries


def _is_one_hot(categories: str | None) -> bool:
    if categories is not None:
        checks.check(checks.one_of("one-hot"), "Pairs", categories=categories)
    return categories is not None


def _mapped(file: Path) -> Array:
    with reading(file):
        mapped: Array = np.load(file, mmap_mode="r", allow_pickle=False)
        return mapped


def chunks(array: Array) -> Iterator[tuple[int, Array]]:
    """Yield ranges of rows, each with the number of its first."""
    step = max(1, _CHUNK // max(1, array[:1].size))
    for first in range(0, len(array), step):
        yield first, array[first : first + step]


def numbered_questions(x: Array) -> NDArray[np.int64]:
    """Number the rows of an array by what they hold, in the order of their first.

    Args:
        x: `(n, ...)`, perhaps mapped from a file.

    Returns:
        `(n,)` the same number for the same row, from 0 on.
    """
    numbers: dict[bytes, int] = {}
    found = []
    for _, rows in chunks(x):
        plain = rows.astype(np.float64) + 0.0  # so that -0 is 0
        digests = (hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in plain)
        found += [numbers.setdefault(digest, len(numbers)) for digest in digests]
    return np.array(found, np.int64)


def read_columns(file: Path, columns: Columns) -> dict[str, Array]:
    """Read x, and y if it is there: of a table the columns of these names, else the arrays.

    Args:
        file: what is read.
        columns: the names of the entries of x and of y.

    Raises:
        InputFileError: the file cannot be read, or lacks a column of x.
    """
    x_columns, y_columns = columns
    if x_columns is None or file.suffix.lower() not in ENDINGS:
        return read_arrays(file)
    with reading(file):
        table = Table.read(file)
    if not table.named:
        return read_arrays(file)
    found = {"x": table.array(x_columns)}
    if y_columns and all(each in table.columns or table.column_of(each) for each in y_columns):
        found["y"] = table.array(y_columns)
    return found


def array_of(values: Any) -> Any:
    """Return a tensor as an array, and all else as it is."""
    return values.numpy(force=True) if isinstance(values, Tensor) else values


def space_of(name: str, array: Array, source: str) -> Space:
    """Say what the rows of an array are: vectors, matrices or images with their channels first.

    Raises:
        InputFileError: the shape leaves it open; the error says what to do.
    """
    shape = tuple(map(int, array.shape[1:]))
    if len(shape) == 1:
        return VectorSpace(*shape)
    if len(shape) == 2:
        return MatrixSpace(*shape)
    first, last = (shape[0] in _CHANNELS, shape[-1] in _CHANNELS)
    if len(shape) == 3 and first and not last:
        return ImageSpace(*shape)
    what = f"{source}: {name} has shape {array.shape}, whose rows "
    flat = f"make vectors of them with {name}.reshape(len({name}), -1)"
    if len(shape) == 3 and last and not first:
        raise InputFileError(
            f"{what}look like images with their channels last; give channels first, with "
            f"numpy.moveaxis({name}, -1, 1), or {flat}."
        )
    raise InputFileError(
        f"{what}are no vectors (n, d), matrices (n, r, c) or images (n, c, h, w) of up to "
        f"{_CHANNELS[-1]} channels; {flat}."
    )


@attrs.frozen(eq=False)
class Moments:
    """Mean and standard deviation of the rows of an array, in the shape that they are shared in.

    Entries of vectors have each their own, channels of images likewise, and all entries of matrices
    share one, so that what treats entries alike still may. A spread of 0 marks what never varies.

    Args:
        mean: of each.
        scale: the standard deviation of each; 0 where it is within rounding.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @property
    def fine(self) -> bool:
        """Whether something varies by too little of itself for single precision."""
        return bool(((self.scale > 0) & (self.scale < _FINE * np.abs(self.mean))).any())

    @classmethod
    def measure(cls, array: Array, space: Space, rows: NDArray[np.bool_]) -> Moments:
        """Measure the chosen rows.

        Args:
            array: `(n, ...)`.
            space: of its rows.
            rows: `(n,)` which to take.
        """
        axes = (0, *range(2, array.ndim)) if isinstance(space, ImageSpace) else (0,)
        axes = (0, 1, 2) if isinstance(space, MatrixSpace) else axes
        shift = array[int(rows.argmax())][None].astype(np.float64).mean(axes, keepdims=True)
        count, total, square, largest = 0, 0.0, 0.0, 0.0
        for first, chunk in chunks(array):
            kept = chunk[rows[first : first + len(chunk)]].astype(np.float64)
            if not len(kept):
                continue
            # About a value of their own order, since squares of what is far from 0 cancel.
            moved = kept - shift
            count += moved.size // shift.size
            total = total + moved.sum(axes, keepdims=True)
            square = square + np.square(moved).sum(axes, keepdims=True)
            largest = np.maximum(largest, np.abs(kept).max(axes, keepdims=True))
        mean = np.asarray(total) / count
        scale = np.sqrt(np.maximum(np.asarray(square) / count - np.square(mean), 0))
        single = array.dtype.kind == "f" and array.dtype.itemsize <= 4
        rounding = _CONSTANT if single else _CONSTANT_DOUBLE
        scale = np.where(scale <= rounding * largest, 0.0, scale)
        return cls((shift + mean)[0], scale[0])
