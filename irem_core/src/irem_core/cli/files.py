"""Reading problems from files and writing answers to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from irem_core.arrays import FORMATS, Array, read_arrays, write_arrays
from irem_core.errors import InputFileError
from irem_core.problem import Problem
from irem_core.space import Space
from irem_core.task import Task


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
    if space.ragged:
        raise InputFileError(
            f"{file} cannot be read, since the task has no files of its graphs; solve graphs that "
            "it draws with --difficulty, or a torch-geometric Batch in Python."
        )
    array = _questions(file, read_arrays(file))
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


def check_output(file: Path, task: Task) -> None:
    """Check before any work that answers can be written under this name.

    Raises:
        InputFileError: the ending is not known.
    """
    known = (*task.formats, *FORMATS)
    if file.suffix not in known:
        raise InputFileError(
            f"Answers cannot be written to {file}; its name must end in {', '.join(known)}."
        )


def write_answers(file: Path, task: Task, problem: Problem, y: Tensor) -> None:
    """Write answers to a file, in the format that its ending names.

    Raises:
        InputFileError: the ending is not known.
        StorageError: writing failed.
    """
    check_output(file, task)
    if file.suffix in task.formats:
        task.write(file, problem, y)
        return
    write_arrays(file, {"y": y.detach().cpu().numpy()})


def _questions(file: Path, arrays: dict[str, Array]) -> Array:
    if "x" in arrays:
        return arrays["x"]
    if len(arrays) != 1:
        raise InputFileError(
            f"{file} holds {len(arrays)} arrays ({', '.join(sorted(arrays))}); call the "
            "questions x."
        )
    return next(iter(arrays.values()))
