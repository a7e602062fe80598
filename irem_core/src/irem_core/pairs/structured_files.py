"""Problems with structure in files: one for each, or a folder of such."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from irem_core.errors import InputFileError
from irem_core.files.arrays import Array, read_arrays
from irem_core.problems.factor_graphs import ENTRY, ROLE
from irem_core.problems.graph_checks import nodes_of

if TYPE_CHECKING:
    from torch_geometric.data import Data, HeteroData

ENDINGS = (".npz", ".safetensors")

# What graphs hold; of factor graphs all but x and y are kinds of factors.
_OF_GRAPHS = ("x", "edge_index", "edge_attr", "y")


def files_of(place: Path) -> list[Path]:
    """Return the files of a folder in the order of their names, or the one file that is given.

    Raises:
        InputFileError: there is none.
    """
    if place.is_dir():
        found = sorted(each for each in place.iterdir() if each.suffix.lower() in ENDINGS)
        if not found:
            raise InputFileError(
                f"The folder {place} holds no file like problem.npz; expected one for each problem."
            )
        return found
    if not place.is_file():
        raise InputFileError(
            f"{place} does not exist; expected a folder of {' or '.join(ENDINGS)} files, or one."
        )
    if place.suffix.lower() not in ENDINGS:
        raise InputFileError(
            f"{place} holds no graph; expected a folder of {' or '.join(ENDINGS)} files, or one."
        )
    return [place]


def read_problems(place: Path) -> tuple[list[Data | HeteroData], list[str]]:
    """Read the problems of a folder, or of one file, and name each by its file.

    A graph is the arrays `edge_index` `(2, edges)`, `x` `(nodes, features)` and `edge_attr`
    `(edges, features)`, of which the last two may be missing. A factor graph is an array `x`
    `(entries, features)`, and for each kind of factors whole numbers `KIND` `(factors, size)`, the
    entries of each, filled up with -1; where entries have roles, `KIND.ROLE` for each of these; and
    perhaps features `KIND.x` `(factors, features)`. Answers `y` have a row for each node, edge or
    entry.

    What graphs hold is checked where they are put together (see `graph_checks.cleaned`).

    Raises:
        InputFileError: a file cannot be read as one of these.
    """
    files = files_of(place)
    return [_problem(file, read_arrays(file)) for file in files], [str(file) for file in files]


def _problem(file: Path, arrays: Mapping[str, Array]) -> Data | HeteroData:
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub" or not array.ndim:
            raise InputFileError(
                f"{file}: {name} holds {array.dtype} values of shape {array.shape}; expected rows "
                "of numbers."
            )
    if "edge_index" in arrays:
        return _graph(file, arrays)
    if "x" not in arrays:
        raise InputFileError(
            f"{file} holds {', '.join(sorted(arrays)) or 'no array'}; expected a graph "
            "(edge_index, perhaps x and edge_attr, and answers y), or a factor graph (x of the "
            "entries, the entries of each kind of factors, and answers y)."
        )
    return _factor_graph(file, arrays)


def _graph(file: Path, arrays: Mapping[str, Array]) -> Data:
    from torch_geometric.data import Data

    others = [name for name in arrays if name not in _OF_GRAPHS]
    if others:
        raise InputFileError(
            f"{file} holds {', '.join(others)} beside a graph; expected {', '.join(_OF_GRAPHS)} "
            "alone: put what is known of nodes into x, and of edges into edge_attr."
        )
    edges = arrays["edge_index"]
    held = {name: _tensor(array) for name, array in arrays.items() if name != "edge_index"}
    graph = Data(edge_index=torch.from_numpy(edges), **held)
    graph.num_nodes = nodes_of(graph)
    # Without x, answers about nodes say how many there are; those about edges are of another size.
    if "x" not in arrays and "y" in arrays and len(arrays["y"]) != edges.shape[-1]:
        graph.num_nodes = max(graph.num_nodes, len(arrays["y"]))
    return graph


def _factor_graph(file: Path, arrays: Mapping[str, Array]) -> HeteroData:
    from torch_geometric.data import HeteroData

    problem = HeteroData()
    problem[ENTRY].x = _tensor(arrays["x"])
    if "y" in arrays:
        problem[ENTRY].y = _tensor(arrays["y"])
    entries, counts = len(arrays["x"]), dict[str, int]()
    for name, array in arrays.items():
        kind, _, role = name.partition(".")
        if name in ("x", "y"):
            continue
        if counts.setdefault(kind, len(array)) != len(array):
            raise InputFileError(
                f"{file}: {name} has {len(array)} rows, and other arrays of the kind {kind!r} "
                f"{counts[kind]}; expected a row for each factor."
            )
        if role == "x":
            problem[kind].x = _tensor(array)
        else:
            links = _links(f"{file}: {name}", array, entries)
            problem[kind, role or ROLE, ENTRY].edge_index = links
    for kind, count in counts.items():
        problem[kind].num_nodes = count
    return problem


def _links(what: str, array: Array, entries: int) -> Tensor:
    members = array[:, None] if array.ndim == 1 else array
    fits = members.ndim == 2 and members.dtype.kind in "iu"
    if not fits or (members.size and not -1 <= members.min() <= members.max() < entries):
        raise InputFileError(
            f"{what} is {array.dtype} of shape {array.shape}; expected (factors, size) whole "
            f"numbers of entries, 0 to {entries - 1}, and -1 where a factor has fewer."
        )
    factor, place = (members >= 0).nonzero()
    return torch.from_numpy(np.stack([factor, members[factor, place].astype(np.int64)]))


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.array(array, np.float64, order="C"))
