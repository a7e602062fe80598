"""Arrays in files that need not fit in memory: read and written a range of rows at a time."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from safetensors import safe_open

from irem_core.errors import InputFileError
from irem_core.files.arrays import Array, held_as, name_of_questions, reading

ENDINGS = (".npy", ".safetensors")
"""The endings of the files of which a range of rows can be read and written."""

# What safetensors calls the types that answers and what is said of them have.
_SAFETENSORS = {"float32": "F32", "float64": "F64", "int64": "I64"}


@attrs.frozen
class RowReader:
    """The questions of a file, of which only the rows that are asked for are in memory.

    The file is opened anew each time: pages of a file that stays mapped count as memory in use.

    Args:
        file: .npy, or .safetensors with one array or one named x.
        name: of the array, "" in a .npy file.
        shape: of the whole array.
        dtype: of its entries, as numpy or safetensors writes it.
    """

    file: Path
    name: str
    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def open(cls, file: Path, *, name: str | None = None) -> RowReader:
        """Look at a file without reading its array.

        Args:
            file: .npy or .safetensors.
            name: of the array, where there are several; that of the questions if None.

        Raises:
            InputFileError: the file is missing, damaged, or of another format.
        """
        if file.suffix.lower() not in ENDINGS:
            raise InputFileError(
                f"{file} cannot be read in parts; its name must end in {' or '.join(ENDINGS)}."
            )
        with reading(file):
            if file.suffix.lower() == ".npy":
                array = np.load(file, mmap_mode="r", allow_pickle=False)
                return cls(file, "", array.shape, str(array.dtype))
            with safe_open(file, framework="np") as opened:
                name = name or name_of_questions(file, opened.keys())
                array = opened.get_slice(name)
                return cls(file, name, tuple(array.get_shape()), str(array.get_dtype()))

    def answers(self) -> RowReader | None:
        """Return what reads the right answers of the same file, where it has as many, as y."""
        if self.file.suffix.lower() == ".npy":
            return None
        with reading(self.file), safe_open(self.file, framework="np") as opened:
            name = held_as("y", opened.keys())
        found = None if name is None else RowReader.open(self.file, name=name)
        return found if found is not None and len(found) == len(self) else None

    def __len__(self) -> int:
        """Return how many rows there are."""
        return self.shape[0] if self.shape else 0

    def rows(self, start: int, stop: int) -> Array:
        """Read the rows from `start` to before `stop`.

        Raises:
            InputFileError: the file is gone or was damaged meanwhile.
        """
        stop = min(stop, len(self))
        start = min(start, stop)
        with reading(self.file):
            if self.file.suffix.lower() == ".npy":
                return np.array(np.load(self.file, mmap_mode="r", allow_pickle=False)[start:stop])
            with safe_open(self.file, framework="np") as opened:
                array: Array = opened.get_slice(self.name)[start:stop]
                return array

    def stamp(self) -> dict[str, Any]:
        """Return what tells that the file has not changed: its size, time and array."""
        status = self.file.stat()
        return {
            "bytes": status.st_size,
            "changed": status.st_mtime_ns,
            "array": f"{self.name}{list(self.shape)} {self.dtype}",
        }


@attrs.frozen
class RowWriter:
    """A file of answers that is written a range of rows at a time.

    Nothing is mapped: on a full disk a write then fails with an error instead of a signal.

    Args:
        file: where to.
        ending: the format, .npy with one array or .safetensors.
        arrays: the type and the shape of each by name.
    """

    file: Path
    ending: str
    arrays: Mapping[str, tuple[str, tuple[int, ...]]]

    @classmethod
    def like(cls, file: Path, ending: str, parts: Mapping[str, Array], rows: int) -> RowWriter:
        """Return the writer of arrays like these, but of so many rows."""
        return cls(
            file,
            ending,
            {name: (str(each.dtype), (rows, *each.shape[1:])) for name, each in parts.items()},
        )

    def create(self) -> None:
        """Make the file, with zeros in place of rows.

        Raises:
            OSError: writing failed.
        """
        header, _, size = self._format()
        with self.file.open("wb") as handle:
            handle.write(header)
            handle.truncate(size)

    def made(self, arrays: Any) -> bool:
        """Say whether `create` made the file, with arrays that were recorded as JSON."""
        expected = json.loads(json.dumps(self.arrays))
        return bool(arrays == expected and self.file.stat().st_size == self._format()[2])

    def write(self, start: int, parts: Mapping[str, Array]) -> None:
        """Write rows from `start` on, down to the disk.

        Raises:
            OSError: writing failed.
        """
        _, offsets, _ = self._format()
        with self.file.open("r+b") as handle:
            for name, rows in parts.items():
                dtype, (_, *shape) = self.arrays[name]
                one = np.dtype(dtype).itemsize * int(np.prod(shape))
                handle.seek(offsets[name] + start * one)
                handle.write(np.ascontiguousarray(rows, dtype).tobytes())
            handle.flush()
            os.fsync(handle.fileno())

    def _format(self) -> tuple[bytes, dict[str, int], int]:
        """Return the header, where each array begins, and the size of the whole file."""
        lengths = {
            name: np.dtype(dtype).itemsize * int(np.prod(shape))
            for name, (dtype, shape) in self.arrays.items()
        }
        ends = dict(zip(lengths, np.cumsum(list(lengths.values())).tolist(), strict=True))
        if self.ending == ".npy":
            ((dtype, shape),) = self.arrays.values()
            written = io.BytesIO()
            np.lib.format.write_array_header_1_0(
                written,
                {
                    "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
                    "fortran_order": False,
                    "shape": shape,
                },
            )
            header = written.getvalue()
        else:
            described = json.dumps(
                {
                    name: {
                        "dtype": _SAFETENSORS[dtype],
                        "shape": shape,
                        "data_offsets": [ends[name] - lengths[name], ends[name]],
                    }
                    for name, (dtype, shape) in self.arrays.items()
                }
            ).encode()
            described += b" " * (-len(described) % 8)
            header = len(described).to_bytes(8, "little") + described
        offsets = {name: len(header) + ends[name] - lengths[name] for name in lengths}
        return header, offsets, len(header) + sum(lengths.values())
