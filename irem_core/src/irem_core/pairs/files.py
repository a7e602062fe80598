"""Pairs of a question and its answer, from files or arrays: read, checked and described."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from irem_core.errors import InputFileError
from irem_core.files.arrays import Array, read_arrays, reading
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


@attrs.frozen(eq=False)
class Pairs:
    """Questions and their answers, row by row.

    Args:
        x: `(n, ...)` the questions; may be mapped from a file.
        y: `(n, ...)` the answers, likewise.
        source: what to call them in errors.
    """

    x: Array
    y: Array
    source: str

    @classmethod
    def of(cls, x: Any, y: Any, source: str = "The pairs") -> Pairs:
        """Check two arrays and make pairs of them; `(n,)` counts as `(n, 1)`.

        Raises:
            InputFileError: they hold no numbers, NaN or infinity, are of different lengths, have
                fewer than 10 rows, or answers are all the same.
        """
        arrays = {"x": np.asanyarray(x), "y": np.asanyarray(y)}
        for name, array in arrays.items():
            if array.dtype.kind not in "fiub" or not array.ndim:
                raise InputFileError(
                    f"{source}: {name} holds {array.dtype} values of shape {array.shape}; expected "
                    "numbers, one question or answer a row."
                )
            if array.ndim == 1:
                arrays[name] = array[:, None]
        pairs = cls(arrays["x"], arrays["y"], source)
        pairs._check()
        return pairs

    @classmethod
    def read(cls, data: str) -> Pairs:
        """Read pairs from files; those of .npy stay on the disk and are mapped.

        Args:
            data: one .npz or .safetensors file with x and y, one .csv file whose header names the
                columns of x and of y, or two .npy files, "x.npy,y.npy".

        Raises:
            InputFileError: a file cannot be read, or the pairs are not as `of` wants them.
        """
        files = [Path(each.strip()) for each in data.split(",")]
        if len(files) == 2 and all(each.suffix == ".npy" for each in files):
            x, y = (_mapped(each) for each in files)
            return cls.of(x, y, data)
        if len(files) > 1 or files[0].suffix == ".npy":
            raise InputFileError(
                f"{data} cannot be read as pairs; give two .npy files as x.npy,y.npy, or one file "
                "(.npz, .safetensors or .csv) that holds x and y."
            )
        arrays = read_arrays(files[0])
        if not {"x", "y"} <= arrays.keys():
            held = ", ".join(sorted(filter(None, arrays))) or "one array without a name"
            wanted = (
                "begin it with a line that names its columns, such as x0,x1,y0"
                if files[0].suffix == ".csv"
                else "call the questions x and the answers y"
            )
            raise InputFileError(f"{data} holds {held}, and no pairs of x and y; {wanted}.")
        return cls.of(arrays["x"], arrays["y"], data)

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

    def _check(self) -> None:
        if self.x.shape[0] != self.y.shape[0]:
            raise InputFileError(
                f"{self.source}: there are {self.x.shape[0]} questions x and {self.y.shape[0]} "
                "answers y; expected as many of each, row by row."
            )
        if len(self) < LEAST:
            raise InputFileError(
                f"{self.source}: there are {len(self)} pairs; expected at least {LEAST}, and "
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


def _mapped(file: Path) -> Array:
    with reading(file):
        mapped: Array = np.load(file, mmap_mode="r", allow_pickle=False)
        return mapped


def chunks(array: Array) -> Iterator[tuple[int, Array]]:
    """Yield ranges of rows, each with the number of its first."""
    step = max(1, _CHUNK // max(1, array[:1].size))
    for first in range(0, len(array), step):
        yield first, array[first : first + step]


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
