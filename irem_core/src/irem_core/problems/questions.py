"""Questions as users hold them, such as arrays and lists of numbers, as tensors."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from irem_core.errors import ShapeError
from irem_core.problems import graph_parts, trees
from irem_core.problems.factored import FactorSpace
from irem_core.problems.space import Space, VectorSpace


def as_questions(
    x: Any,
    question: Space | None,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
) -> Any:
    """Return questions as tensors that lead with problems; what is none of these stays as it is.

    Arrays of numpy, frames of pandas or polars and lists of numbers become tensors. Where questions
    are vectors, matrices or images, tensors of other types of numbers are converted too, and one
    question may lack its leading axis: it becomes a batch of one. Numbers in a row are that many
    questions of one entry, where questions have one. Graphs, one or a list of them, become factor
    graphs where questions are such.

    Args:
        x: what a user asks.
        question: the space of the questions; None where it is not known.
        dtype: of the questions; None to keep floating-point numbers as they are, and have others in
            double precision.
        device: where arrays go; tensors stay where they are.

    Raises:
        ShapeError: an array or a list holds something else than numbers.
    """
    if isinstance(question, FactorSpace):
        batch = graph_parts.factored(x, question, device=device)
        return batch if batch is x or dtype is None else graph_parts.typed(batch, dtype)
    dense = question is not None and not question.ragged
    if hasattr(x, "to_numpy"):
        x = x.to_numpy()
    lone = isinstance(x, Real) and question is not None and question.size == 1
    if lone or isinstance(x, np.ndarray | np.generic) or _listed(x):
        x = _tensor(x).to(device)
    if not isinstance(x, Tensor):
        return x
    if question is not None and dense:
        x = _batch(x, question)
        if not x.is_floating_point() and not x.is_complex():
            x = x.to(torch.float64 if dtype is None else dtype)
    return x.to(dtype) if dtype is not None and x.is_floating_point() else x


def _listed(x: Any) -> bool:
    return isinstance(x, list | tuple) and bool(x) and not trees.tensors(x)


def _tensor(values: Any) -> Tensor:
    """Copy an array or a list, whose own memory may be read-only or in another order of bytes."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ShapeError(
            "x is a list whose rows differ in length; expected as many numbers in each."
        ) from error
    if array.dtype.kind not in "fiub":
        raise ShapeError(f"x holds {array.dtype} values; expected numbers, one question a row.")
    if array.dtype.kind == "b":
        return torch.from_numpy(array.copy())
    kind = np.int64 if array.dtype.kind in "iu" else np.float64
    narrow = array.dtype.kind == "f" and array.dtype.itemsize <= 4
    return torch.from_numpy(np.array(array, np.float32 if narrow else kind, order="C"))


def _batch(x: Tensor, question: Space) -> Tensor:
    """Give one question its leading axis, and questions of one entry that entry's."""
    if isinstance(question, VectorSpace) and question.length == 1 and x.ndim < 2:
        return x.reshape(-1, 1)
    # Matrices and images may have other heights and widths than those of training.
    ends = question.shape if len(question.shape) == 1 else question.shape[:-2]
    return x[None] if x.ndim == len(question.shape) and x.shape[: len(ends)] == ends else x
