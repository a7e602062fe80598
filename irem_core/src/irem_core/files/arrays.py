"""Files of arrays: .npy, .npz, .safetensors and tables, read without running what they hold."""

from __future__ import annotations

import contextlib
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
from irem_core.files.tables import ENDINGS, Table, write_table

FORMATS = (".npy", ".npz", ".safetensors", *ENDINGS)
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
    """Read the arrays of a file by name; one without a name has the name "".

    Of tables that name their columns, those that begin with x are together, and those with y.

    Args:
        file: the file.
        also: endings that the caller reads, to name where this one is none of them.

    Raises:
        InputFileError: the file is missing, damaged, or of another format.
    """
    ending = file.suffix.lower()
    if ending not in FORMATS:
        raise InputFileError(
            f"{file} cannot be read as problems; its name must end in "
            f"{', '.join(dict.fromkeys((*also, *FORMATS)))}."
        )
    # Numpy warns of sizes that overflow.
    with reading(file), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        if ending == ".safetensors":
            return dict(load_file(file))
        if ending == ".npz":
            return _read_npz(file)
        if ending == ".npy":
            with file.open("rb") as handle:
                return {"": _read_npy(handle, file.stat().st_size)}
        return _by_letter(Table.read(file))


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
    if dtype.hasobject:
        raise ValueError("it holds Python objects, perhaps rows of different lengths or None")
    announced = math.prod(shape) * dtype.itemsize
    # Some versions of numpy let the size of an entry overflow.
    if min(*shape, announced, 0) < 0 or announced > size - handle.tell():
        raise ValueError(f"its header announces an array {shape}, which it does not hold")
    handle.seek(0)
    array: Array = np.lib.format.read_array(handle, allow_pickle=False)
    return array


def _by_letter(table: Table) -> dict[str, Array]:
    """Return the columns of a table whose names begin with x, and those with y; or all of them."""
    if not table.named:
        return {"": table.array(list(table.columns))}
    names = [name for name in table.columns if name != table.index]
    strangers = [name for name in names if name[:1].lower() not in ("x", "y")]
    if strangers:
        raise InputFileError(
            f"{table.source} has a column {strangers[0]!r}; begin the names of columns with x for "
            "questions and with y for answers, such as x0, x1 and y0."
        )
    letters = sorted({name[0].lower() for name in names})
    return {
        letter: table.array([name for name in names if name[0].lower() == letter])
        for letter in letters
    }


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
    questions = held_as("x", found)
    if questions is not None:
        return questions
    if len(found) != 1:
        raise InputFileError(
            f"{file} holds {len(found)} arrays ({', '.join(found)}); call the questions x."
        )
    return found[0]


def held_as(name: str, names: Iterable[str]) -> str | None:
    """Return what a file calls its x or y, which may be in capitals; None where it has none."""
    return next((each for each in (name, name.upper()) if each in set(names)), None)


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
    ending = file.suffix.lower()
    if ending not in FORMATS:
        raise InputFileError(
            f"{file} cannot be written; its name must end in {', '.join(FORMATS)}."
        )
    if ending not in SEVERAL and len(arrays) != 1:
        raise InputFileError(
            f"{file} can hold one array and {len(arrays)} were to be written; choose a name that "
            "ends in .npz."
        )
    only = next(iter(arrays.values()))
    flat = only.reshape(len(only), -1)
    if ending in ENDINGS and ending != ".csv":
        write_table(file, {f"y{place}": column for place, column in enumerate(flat.T)})
        return
    with replacing(file) as temporary, temporary.open("wb") as handle:
        if ending == ".npy":
            np.save(handle, only)
        elif ending == ".csv":
            digits = "%.17g" if only.dtype == np.float64 else "%.9g"
            np.savetxt(handle, flat, delimiter=",", fmt=digits)
        elif ending == ".npz":
            # Without allow_pickle=False, which numpy 1.26 would write as one more array.
            np.savez(handle, **arrays)  # type: ignore[arg-type]
        else:
            save_file(
                {name: np.ascontiguousarray(each) for name, each in arrays.items()}, temporary
            )
