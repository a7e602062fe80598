"""Files of arrays: .npy, .npz, .csv and .safetensors, read without running anything they hold."""

from __future__ import annotations

import contextlib
import csv
import math
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from torch import Tensor

from irem_core.errors import InputFileError, IremError
from irem_core.files.storage import replacing

FORMATS = (".npy", ".npz", ".csv", ".safetensors")
"""The endings of the files that can be read and written."""
SEVERAL = (".npz", ".safetensors")
"""Those that hold any number of arrays, by name."""

Array = NDArray[Any]

# Arrays of numbers have headers of these versions; the third is for fields with names.
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# What numpy packs with. The others that zipfile knows unpack a block at a time, of any size.
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# An archive may unpack to this many bytes, or to so many times its own size if that is more.
_UNPACKED, _TIMES = 2**26, 100


def read_arrays(file: Path, *, also: Sequence[str] = ()) -> dict[str, Array]:
    """Read the arrays of a file by name; the one array of a .npy or .csv file has the name "".

    Args:
        file: the file.
        also: endings that the caller reads, to name where this one is none of them.

    Raises:
        InputFileError: the file is missing, damaged, or of another format.
    """
    if file.suffix not in FORMATS:
        raise InputFileError(
            f"{file} cannot be read as problems; its name must end in "
            f"{', '.join(dict.fromkeys((*also, *FORMATS)))}."
        )
    # Warnings that matter: of a file without a line, and of sizes that overflow.
    with reading(file), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("error", RuntimeWarning)
        if file.suffix == ".safetensors":
            return dict(load_file(file))
        if file.suffix == ".npz":
            return _read_npz(file)
        if file.suffix == ".npy":
            with file.open("rb") as handle:
                return {"": _read_npy(handle, file.stat().st_size)}
        return _read_csv(file)


def _read_npz(file: Path) -> dict[str, Array]:
    with zipfile.ZipFile(file) as archive:
        held = [each for each in archive.infolist() if each.filename.endswith(".npy")]
        unpacked, most = sum(each.file_size for each in held), file.stat().st_size * _TIMES
        if unpacked > max(most, _UNPACKED):
            raise ValueError(f"it would unpack to {unpacked:,} bytes, too many for its size")
        if any(each.compress_type not in _PACKINGS for each in held):
            raise ValueError("it is packed in a way that numpy does not write")
        arrays = {}
        for each in held:
            # No more than `file_size` is ever unpacked, whatever the member holds.
            with archive.open(each) as handle:
                arrays[each.filename.removesuffix(".npy")] = _read_npy(handle, each.file_size)
        return arrays


def _read_npy(handle: IO[bytes], size: int) -> Array:
    """Read an array from a file of so many bytes, once its header is known to fit in them."""
    version = np.lib.format.read_magic(handle)
    if version not in _HEADERS:
        raise ValueError(f"it has version {version} of the format, which is not for numbers")
    shape, _, dtype = _HEADERS[version](handle)
    announced = math.prod(shape) * dtype.itemsize
    # Some versions of numpy let the size of an entry overflow.
    if min(*shape, announced, 0) < 0 or announced > size - handle.tell():
        raise ValueError(f"its header announces an array {shape}, which it does not hold")
    handle.seek(0)
    array: Array = np.lib.format.read_array(handle, allow_pickle=False)
    return array


def _read_csv(file: Path) -> dict[str, Array]:
    """Read a table; where a header names its columns, those of x and of y are apart."""
    # Opened here, since numpy would take some names for addresses or packed files.
    with file.open(encoding="utf-8-sig", newline="") as handle:
        first = next(csv.reader(handle, skipinitialspace=True), [])
        names = [each.strip("# ") for each in first]
        letters = [each[:1].lower() for each in names]
        known = zip(names, letters, strict=True)
        strangers = [name for name, letter in known if letter not in ("x", "y")]
        comment = "".join(first).startswith("#")
        header = not strangers if comment else any(map(_is_word, names))
        handle.seek(0)
        table = np.loadtxt(handle, delimiter=",", ndmin=2, skiprows=int(header), quotechar='"')
    if not header:
        return {"": table}
    if strangers:
        raise InputFileError(
            f"{file} has a column {strangers[0]!r}; begin the names of columns with x for "
            "questions and with y for answers, such as x0, x1 and y0."
        )
    chosen = {letter: [each == letter for each in letters] for letter in sorted(set(letters))}
    return {letter: table[:, columns] for letter, columns in chosen.items()}


def _is_word(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return bool(cell)
    return False


@contextlib.contextmanager
def reading(file: Path) -> Iterator[None]:
    """Turn whatever goes wrong in reading a file of arrays into one error that names it.

    Raises:
        InputFileError: something did.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise InputFileError(f"There is no file {file}.") from error
    except Exception as error:  # what numpy and zipfile raise on damaged files is no short list
        if isinstance(error, IremError):
            raise
        reason = " ".join(str(error).split())[:200]
        if "allow_pickle" in reason:
            reason = "it holds Python objects, perhaps rows of different lengths, and not numbers"
        elif isinstance(error, zipfile.BadZipFile):
            reason = f"{reason}; perhaps it was cut short"
        raise InputFileError(f"{file} cannot be read as {file.suffix} ({reason}).") from error


def check_apart(file: Path, output: Path) -> None:
    """Check that answers are not written over their questions.

    Raises:
        InputFileError: both are one file.
    """
    if file.exists() and output.exists() and file.samefile(output):
        raise InputFileError(
            f"{output} holds the questions, which answers would replace; choose another name for "
            "the answers."
        )


def name_of_questions(file: Path, names: Iterable[str]) -> str:
    """Say which array of a file holds the questions: the only one, or the one named x.

    Raises:
        InputFileError: there are several, and none is named x.
    """
    found = sorted(names)
    if "x" in found:
        return "x"
    if len(found) != 1:
        raise InputFileError(
            f"{file} holds {len(found)} arrays ({', '.join(found)}); call the questions x."
        )
    return found[0]


def tensor_of(file: Path, array: Array, dtype: torch.dtype) -> Tensor:
    """Return an array of a file as a tensor of a floating-point type.

    Raises:
        InputFileError: the array holds no numbers.
    """
    if array.dtype.kind not in "fiub":
        raise InputFileError(f"{file} holds {array.dtype} values; expected numbers.")
    # By way of numpy, which knows byte orders and types that torch does not.
    wide = np.float64 if dtype == torch.float64 else np.float32
    # What becomes infinite, or is no number, is told of as such.
    with np.errstate(over="ignore", invalid="ignore"):
        return torch.from_numpy(np.ascontiguousarray(array, wide)).to(dtype)


def write_arrays(file: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays in the format that a file's ending names.

    Args:
        file: where to; it is replaced in one go.
        arrays: by name; .npy and .csv hold exactly one, whose name they drop.

    Raises:
        InputFileError: the format cannot hold these arrays.
        StorageError: writing failed.
    """
    if file.suffix not in FORMATS:
        raise InputFileError(
            f"{file} cannot be written; its name must end in {', '.join(FORMATS)}."
        )
    if file.suffix not in SEVERAL and len(arrays) != 1:
        raise InputFileError(
            f"{file} can hold one array and {len(arrays)} were to be written; choose a name that "
            "ends in .npz."
        )
    only = next(iter(arrays.values()))
    with replacing(file) as temporary, temporary.open("wb") as handle:
        if file.suffix == ".npy":
            np.save(handle, only)
        elif file.suffix == ".csv":
            digits = "%.17g" if only.dtype == np.float64 else "%.9g"
            np.savetxt(handle, only.reshape(len(only), -1), delimiter=",", fmt=digits)
        elif file.suffix == ".npz":
            # Without allow_pickle=False, which numpy 1.26 would write as one more array.
            np.savez(handle, **arrays)  # type: ignore[arg-type]
        else:
            save_file(
                {name: np.ascontiguousarray(each) for name, each in arrays.items()}, temporary
            )
