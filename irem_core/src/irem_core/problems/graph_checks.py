"""Graphs as users make them, checked one by one, with what is read of them alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from irem_core.errors import NonFiniteError, ShapeError
from irem_core.problems.factor_graphs import ENTRY

if TYPE_CHECKING:
    from torch_geometric.data import Data, HeteroData

_OF_GRAPHS = ("x", "y", "edge_index", "edge_attr", "num_nodes")
_OF_NODES = ("x", "y", "num_nodes")


def is_graph(x: Any) -> bool:
    """Say whether this is a `Data` or a `HeteroData`, without importing torch-geometric."""
    return hasattr(x, "edge_index") or hasattr(x, "node_types")


def is_of_parts(graph: Any) -> bool:
    """Say whether a graph has nodes of several types, as factor graphs have."""
    return hasattr(graph, "node_types")


def cleaned(graph: Any, name: str) -> Data | HeteroData:
    """Return a graph with what is read of it alone, features in double precision.

    Args:
        graph: a `Data` or a `HeteroData`.
        name: what to call it in errors.

    Raises:
        ShapeError: it is none, features are not as many as what they are of, or edges end at nodes
            that it does not have.
        NonFiniteError: a feature is NaN or infinite.
    """
    if not is_graph(graph):
        raise ShapeError(
            f"{name} is a {type(graph).__name__}; expected a Data or a HeteroData of "
            "torch-geometric."
        )
    return _of_parts(graph, name) if is_of_parts(graph) else _of_nodes(graph, name)


def _of_nodes(graph: Data, name: str) -> Data:
    from torch_geometric.data import Data

    edges = _edges(graph.get("edge_index"), f"{name}: edge_index")
    nodes = nodes_of(graph)
    _check_ends(edges, (nodes, nodes), f"{name}: edge_index")
    made = Data(edge_index=edges, num_nodes=nodes)
    for field, count in (("x", nodes), ("edge_attr", edges.shape[1])):
        values = graph.get(field)
        if values is not None:
            made[field] = features(values, count, f"{name}: {field}")
    return made


def nodes_of(graph: Data) -> int:
    """Count the nodes of a graph, up to the last that an edge ends at where nothing else says it.

    `Data.num_nodes` would warn there.
    """
    known, x, edges = (graph.get(name) for name in ("num_nodes", "x", "edge_index"))
    if known is not None or x is not None:
        return int(len(x) if known is None else known)
    return int(edges.max()) + 1 if isinstance(edges, Tensor) and edges.numel() else 0


def _of_parts(graph: HeteroData, name: str) -> HeteroData:
    from torch_geometric.data import HeteroData

    made = HeteroData()
    if ENTRY not in graph.node_types:
        raise ShapeError(
            f"{name} has no nodes of the type {ENTRY!r}; expected what is asked there."
        )
    counts = {}
    for kind in graph.node_types:
        values = graph[kind].get("x")
        known = graph[kind].num_nodes
        counts[kind] = len(values) if values is not None and not known else int(known or 0)
        made[kind].num_nodes = counts[kind]
        if values is not None:
            made[kind].x = features(values, counts[kind], f"{name}: x of {kind!r}")
    if not counts[ENTRY]:
        raise ShapeError(f"{name} has no entry, so there is nothing to answer; leave it out.")
    for key in graph.edge_types:
        what = f"{name}: edge_index of {key}"
        edges = _edges(graph[key].get("edge_index"), what)
        _check_ends(edges, (counts.get(key[0], 0), counts.get(key[2], 0)), what)
        made[key].edge_index = edges
    return made


def features(values: Any, rows: int, what: str) -> Float[Tensor, "rows width"]:
    """Return features as rows of numbers in double precision.

    Raises:
        ShapeError: they are no real numbers, or not as many rows.
        NonFiniteError: one is NaN or infinite.
    """
    held = numbers(values, what)
    held = held[:, None] if held.ndim == 1 else held.flatten(1)
    if held.shape[0] != rows or not held.shape[1]:
        raise ShapeError(f"{what} has shape {tuple(held.shape)}; expected {rows} rows of features.")
    if not bool(held.isfinite().all()):
        row = int((~held.isfinite().all(1)).nonzero()[0, 0])
        raise NonFiniteError(f"{what} holds NaN or infinity, first in row {row}; mend it.")
    return held


def numbers(values: Any, what: str) -> Tensor:
    """Return an array or a tensor of real numbers, with rows, in double precision.

    Raises:
        ShapeError: it is anything else.
    """
    try:
        held = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError):
        held = torch.zeros(())
    if not held.ndim or held.is_complex():
        given = f"{tuple(held.shape)} of {held.dtype}" if held.ndim else type(values).__name__
        raise ShapeError(f"{what} is {given}; expected rows of real numbers.")
    return held.double()


def _edges(edges: Any, what: str) -> Int[Tensor, "2 edges"]:
    kinds = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
    fits = isinstance(edges, Tensor) and edges.ndim == 2 and edges.shape[0] == 2
    if not fits or edges.dtype not in kinds:
        shape = f"{tuple(edges.shape)} of {edges.dtype}" if isinstance(edges, Tensor) else edges
        raise ShapeError(f"{what} is {shape}; expected whole numbers (2, edges).")
    found: Tensor = edges.long()
    return found


def _check_ends(edges: Int[Tensor, "2 edges"], counts: tuple[int, int], what: str) -> None:
    for ends, count in zip(edges, counts, strict=True):
        if ends.numel() and not 0 <= int(ends.min()) <= int(ends.max()) < count:
            raise ShapeError(
                f"{what} goes from {int(ends.min())} to {int(ends.max())}; there are {count} "
                "there, counted from 0."
            )


def unread(graph: Any) -> list[str]:
    """Name what a graph holds that is not read."""
    if not is_of_parts(graph):
        return [name for name in graph.to_dict() if name not in _OF_GRAPHS]
    of_nodes = [
        f"{name} of {kind}"
        for kind in graph.node_types
        for name in graph[kind]
        if name not in _OF_NODES or (name == "y" and kind != ENTRY)
    ]
    of_links = [
        f"{name} of {key[0]} {key[1]}"
        for key in graph.edge_types
        for name in graph[key]
        if name != "edge_index"
    ]
    return of_nodes + of_links
