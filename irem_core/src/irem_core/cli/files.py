"""Reading problems from files and writing answers to them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor

from irem_core.checkpoint import replacing
from irem_core.errors import InputFileError
from irem_core.space import Space

_SUFFIXES = (".npy", ".npz", ".csv", ".safetensors")


def read_questions(file: Path, space: Space, dtype: torch.dtype) -> Tensor:
    """Read dense questions from a file.

    Args:
        file: .npy, .npz or .safetensors (one array, or one named x), or .csv (a problem a line).
        space: what one question looks like.
        dtype: of the result.

    Returns:
        `(B, *shape)`; an array of one question becomes a batch of one.

    Raises:
        InputFileError: the file cannot be read, or its array has another shape.
    """
    array = _read(file)
    if array.dtype.kind not in "fiub":
        raise InputFileError(f"{file} holds {array.dtype} values; expected numbers.")
    rows, rest = divmod(array.size, space.size)
    fits = array.shape[-len(space.shape) :] == space.shape or array.shape[-1:] == (space.size,)
    if not fits or rest or not rows:
        raise InputFileError(
            f"{file} holds an array of shape {array.shape}; expected (B, "
            f"{', '.join(map(str, space.shape))}), one question a row."
        )
    return torch.as_tensor(np.ascontiguousarray(array)).to(dtype).reshape(rows, *space.shape)


def check_output(file: Path) -> None:
    """Check before any work that answers can be written under this name.

    Raises:
        InputFileError: the ending is not known.
    """
    if file.suffix not in _SUFFIXES:
        raise InputFileError(
            f"Answers cannot be written to {file}; its name must end in {', '.join(_SUFFIXES)}."
        )


def write_answers(file: Path, y: Tensor) -> None:
    """Write answers to a file, in the format that its ending names.

    Raises:
        InputFileError: the ending is not known.
        StorageError: writing failed.
    """
    check_output(file)
    array = y.detach().cpu().numpy()
    with replacing(file) as temporary, temporary.open("wb") as handle:
        if file.suffix == ".npy":
            np.save(handle, array)
        elif file.suffix == ".npz":
            np.savez(handle, y=array)
        elif file.suffix == ".csv":
            np.savetxt(handle, array.reshape(len(array), -1), delimiter=",", fmt="%.9g")
        else:
            save_file({"y": np.ascontiguousarray(array)}, temporary)


def _read(file: Path) -> np.ndarray:
    if file.suffix not in _SUFFIXES:
        raise InputFileError(
            f"{file} cannot be read as problems; its name must end in {', '.join(_SUFFIXES)}."
        )
    try:
        if file.suffix == ".csv":
            return np.loadtxt(file, delimiter=",", ndmin=2)
        if file.suffix == ".safetensors":
            return _only(file, dict(load_file(file)))
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return _only(file, dict(loaded))
    except FileNotFoundError as error:
        raise InputFileError(f"There is no file {file}.") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputFileError(f"{file} cannot be read as {file.suffix} ({reason}).") from error


def _only(file: Path, arrays: dict[str, np.ndarray]) -> np.ndarray:
    if "x" in arrays:
        return arrays["x"]
    if len(arrays) != 1:
        raise InputFileError(
            f"{file} holds {len(arrays)} arrays ({', '.join(sorted(arrays))}); call the "
            "questions x."
        )
    return next(iter(arrays.values()))
