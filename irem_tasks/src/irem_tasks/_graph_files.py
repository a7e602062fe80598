"""Files of graphs: n x n edge values as .npy, .npz or .csv."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from irem_core import (
    InputFileError,
    NonFiniteError,
    ShapeError,
    read_arrays,
    tensor_of,
    write_arrays,
)

# What stands beside answers in files that hold several arrays.
_BESIDE = ("energy", "steps", "outcome")


def read_graphs(file: Path) -> tuple[Int[Tensor, " problems"], Float[Tensor, " rows"]]:
    """Read complete graphs: how many nodes each has, and the values of their edges.

    Args:
        file: .npy or .csv with an array (n, n), or (B, n, n) in .npy; .npz or .safetensors with any
            number of such arrays, which may differ in size; what is told of answers beside them is
            left out.

    Raises:
        InputFileError: the file cannot be read, or does not hold square matrices of finite numbers
            with at least 2 rows.
    """
    found: list[Tensor] = []
    for name, array in read_arrays(file).items():
        if name in _BESIDE:
            continue
        where = f"{file}{name and f' ({name})'}"
        try:
            found += square(tensor_of(file, array, torch.get_default_dtype()), where)
        except (ShapeError, NonFiniteError) as error:
            raise InputFileError(str(error)) from error
    if not found:
        raise InputFileError(f"{file} holds no array; expected (n, n) edge values of a graph.")
    return torch.tensor([len(each) for each in found]), torch.cat(
        [each.flatten() for each in found]
    )


def square(values: Float[Tensor, "..."], where: str) -> Tensor:
    """Return the edge values of complete graphs as `(B, n, n)`.

    Args:
        values: `(n, n)` or `(B, n, n)`.
        where: what an error calls them.

    Raises:
        ShapeError: they are not square, or of one node.
        NonFiniteError: a value is no finite number.
    """
    stacked = values[None] if values.ndim == 2 else values
    if stacked.ndim != 3 or stacked.shape[1] != stacked.shape[2] or not stacked.numel():
        raise ShapeError(
            f"{where} holds an array of shape {tuple(values.shape)}; expected (n, n) or "
            "(B, n, n), the values of a complete graph's edges."
        )
    if not stacked.isfinite().all():
        raise NonFiniteError(
            f"{where} holds values that are no finite numbers; every edge of a complete graph "
            "needs one. For two nodes that are not joined write 0 in connected-components, and "
            "in shortest-path a length longer than any path."
        )
    if stacked.shape[1] < 2:
        raise ShapeError(
            f"{where} holds a graph of one node, which has nothing to solve; expected 2 nodes "
            "or more."
        )
    return stacked


def write_graphs(file: Path, matrices: Sequence[NDArray[np.floating]]) -> None:
    """Write one matrix a graph; .npz and .safetensors files name them graph0, graph1, ...

    Raises:
        InputFileError: the file's format cannot hold these graphs.
        StorageError: writing failed.
    """
    if len(matrices) == 1:
        write_arrays(file, {"graph0": matrices[0]})
    elif file.suffix.lower() == ".npy" and len({each.shape for each in matrices}) == 1:
        write_arrays(file, {"graphs": np.stack(matrices)})
    else:
        write_arrays(file, {f"graph{n}": each for n, each in enumerate(matrices)})
