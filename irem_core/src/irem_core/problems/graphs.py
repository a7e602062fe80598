"""Batches of graphs, taken apart and put together without a Python loop over graphs.

torch-geometric keeps a batch of graphs as one large graph. Here a batch is taken apart into columns
in which every graph counts its own nodes from 0, so that graphs can be selected, stored, joined and
drawn by the thousand; `assemble` gives a torch-geometric `Batch` again. Batches of factor graphs
are taken apart likewise (see `factor_graphs`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from irem_core.errors import ShapeError
from irem_core.problems import factor_graphs
from irem_core.problems.columns import Column as Column
from irem_core.problems.columns import within as within

if TYPE_CHECKING:
    from torch_geometric.data import Batch

PAIRS = "pair_index"
"""Where a graph names the pairs of nodes whose answers are wanted; by default, those of its edges.

Like `edge_index` it is `(2, pairs)`, and torch-geometric treats it so.
"""


def is_batch(x: Any) -> bool:
    """Say whether x is a torch-geometric batch, without importing torch-geometric."""
    return hasattr(x, "num_graphs")


def owner(batch: Batch) -> Int[Tensor, " rows"]:
    """Return the graph of each pair of nodes whose answer is wanted, or of each entry.

    Raises:
        ShapeError: a graph has no such pair, or the pairs are not sorted by graph.
    """
    if factor_graphs.is_one(batch):
        return factor_graphs.owner(batch)
    index = batch.get(PAIRS, batch.edge_index)
    graph: Tensor = batch.batch[:0] if index is None else batch.batch[index[0]]
    counts = torch.bincount(graph, minlength=int(batch.num_graphs))
    if not bool(counts.all()):
        first = int((counts == 0).nonzero()[0, 0])
        raise ShapeError(
            f"Graph {first} of the batch has no edge, so there is nothing to answer; give every "
            "graph at least one (a complete graph of one node has its self loop), or name the "
            f"pairs that are wanted in {PAIRS}."
        )
    if bool((graph.diff() < 0).any()):
        raise ShapeError(
            "The edges of the batch are not sorted by graph, so that answers would go to the wrong "
            "graphs; sort them by torch_geometric.utils.sort_edge_index."
        )
    return graph


def take_apart(batch: Batch) -> dict[str, Column]:
    """Return the columns of a batch by name; nodes are numbered from 0 in each graph.

    What is no tensor is left out.

    Raises:
        ShapeError: a tensor leads with neither nodes, edges nor graphs.
    """
    if factor_graphs.is_one(batch):
        return factor_graphs.take_apart(batch)
    nodes = batch.ptr.diff()
    columns = {"num_nodes": Column(nodes)}
    for name, values in batch.to_dict().items():
        if name in ("batch", "ptr", "num_nodes") or not isinstance(values, Tensor):
            continue
        if _names_nodes(name):
            graph = batch.batch[values if values.ndim == 1 else values[0]]
            counts = torch.bincount(graph, minlength=nodes.shape[0])
            columns[name] = Column((values - batch.ptr[graph]).movedim(-1, 0), counts)
        elif batch.is_node_attr(name):
            columns[name] = Column(values, nodes)
        elif batch.is_edge_attr(name) and not _one_a_graph(batch, name):
            graph = batch.batch[batch.edge_index[0]]
            columns[name] = Column(values, torch.bincount(graph, minlength=nodes.shape[0]))
        elif values.shape[:1] == nodes.shape:
            columns[name] = Column(values)
        else:
            raise ShapeError(
                f"The batch holds {name} of shape {tuple(values.shape)}; its first dimension must "
                f"be {batch.num_nodes} (nodes), {batch.num_edges} (edges) or {len(nodes)} (graphs)."
            )
    return columns


def assemble(columns: dict[str, Column]) -> Batch:
    """Put columns together to a batch: the inverse of `take_apart`.

    Args:
        columns: by name, "num_nodes" and "edge_index" among them; those that hold numbers of
            nodes, as torch-geometric tells from "index" in their names, are `(entries, 2)`.
    """
    from torch_geometric.data import Batch

    if "num_nodes" not in columns:
        return factor_graphs.assemble(columns)
    nodes = columns["num_nodes"].values
    numbers = torch.arange(nodes.shape[0], device=nodes.device)
    ptr = torch.cat([nodes.new_zeros(1), nodes.cumsum(0)])
    fields = {}
    slices = {}
    for name, column in columns.items():
        values = column.values
        if _names_nodes(name):
            first = ptr[:-1].repeat_interleave(column.lengths)
            values = values.movedim(0, -1) + first
        fields[name] = values
        ends = column.lengths.cumsum(0)
        slices[name] = torch.cat([ends.new_zeros(1), ends]).cpu()
    del fields["num_nodes"], slices["num_nodes"]
    batch = Batch(**fields, ptr=ptr, batch=numbers.repeat_interleave(nodes))
    batch.num_nodes = int(ptr[-1])
    # What torch-geometric itself notes when it makes a batch, so that its own methods work here.
    batch._num_graphs = nodes.shape[0]
    batch._num_nodes = nodes.tolist()
    batch._slice_dict = slices
    batch._inc_dict = {
        name: (ptr[:-1] if _names_nodes(name) else torch.zeros_like(nodes)).cpu() for name in slices
    }
    return batch


def select(batch: Batch, graphs: Int[Tensor, " kept"]) -> Batch:
    """Return some graphs of a batch, in any order and with repetitions."""
    return assemble({name: each.select(graphs) for name, each in take_apart(batch).items()})


def complete_edges(nodes: Int[Tensor, " problems"]) -> Int[Tensor, "2 rows"]:
    """Return the `edge_index` of complete directed graphs with self loops.

    The edges of a graph are ordered as the entries of a matrix: from node 0 to every node, then
    from node 1, and so on.

    Args:
        nodes: of each graph.
    """
    first = (nodes.cumsum(0) - nodes).repeat_interleave(nodes.square())
    return first + complete_places(nodes)


def complete_places(nodes: Int[Tensor, " problems"]) -> Int[Tensor, "2 rows"]:
    """Return source and target of every edge of complete graphs, nodes numbered in each from 0."""
    counts = nodes.square()
    place, each = within(counts), nodes.repeat_interleave(counts)
    return torch.stack([place // each, place % each])


def complete(nodes: Int[Tensor, " problems"], values: Float[Tensor, "rows channels"]) -> Batch:
    """Make complete directed graphs with self loops, with values on their edges.

    Args:
        nodes: of each graph, at least 1.
        values: `(rows, channels)` of the edges, in the order of `complete_edges`.
    """
    counts = nodes.square()
    first = (nodes.cumsum(0) - nodes).repeat_interleave(counts)
    return assemble(
        {
            "num_nodes": Column(nodes),
            "x": Column(values.new_zeros(int(nodes.sum()), 1), nodes),
            "edge_index": Column((complete_edges(nodes) - first).T, counts),
            "edge_attr": Column(values, counts),
        }
    )


def to_matrices(
    values: Shaped[Tensor, " rows"], nodes: Int[Tensor, " problems"], fill: float
) -> Shaped[Tensor, "problems size size"]:
    """Write the edge values of complete graphs as matrices, all as large as the largest graph.

    Args:
        values: `(rows,)` in the order of `complete_edges`.
        nodes: of each graph.
        fill: what stands where a graph has no such node.
    """
    size = int(nodes.max())
    matrices = values.new_full((nodes.shape[0], size, size), fill)
    matrices[_entries(nodes, size)] = values
    return matrices


def from_matrices(
    matrices: Shaped[Tensor, "problems size size"], nodes: Int[Tensor, " problems"]
) -> Shaped[Tensor, " rows"]:
    """Return the edge values of complete graphs from their matrices, as `to_matrices` made them."""
    return matrices[_entries(nodes, matrices.shape[1])]


def _entries(nodes: Tensor, size: int) -> Tensor:
    """Mask the entries of `(B, size, size)` whose row and column are nodes of the graph."""
    real = torch.arange(size, device=nodes.device) < nodes[:, None]
    return real[:, :, None] & real[:, None, :]


def _one_a_graph(batch: Batch, name: str) -> bool:
    """Say whether a tensor is known to hold one entry a graph, though there are as many edges."""
    ends = getattr(batch, "_slice_dict", {}).get(name)
    return ends is not None and torch.equal(ends, torch.arange(len(ends)))


def _names_nodes(name: str) -> bool:
    return "index" in name or name == "face"


def are_complete(batch: Batch) -> bool:
    """Say whether all graphs are complete, edges ordered as by `complete_edges`, all wanted."""
    nodes = batch.ptr.diff()
    if PAIRS in batch or int(nodes.square().sum()) != batch.num_edges:
        return False
    return torch.equal(batch.edge_index, complete_edges(nodes))


def check_values(owner: str, batch: Any, channels: int, weight: Tensor) -> None:
    """Check that x is a batch of graphs with values on their edges.

    Args:
        owner: the energy that is asked, named in errors.
        batch: what it was given.
        channels: values of an edge.
        weight: whose type and device the values must have.

    Raises:
        ShapeError: x is anything else.
    """
    if not is_batch(batch):
        raise ShapeError(
            f"{owner} got x of type {type(batch).__name__}; expected a torch-geometric Batch, "
            "such as graphs.complete or Batch.from_data_list makes."
        )
    values = getattr(batch, "edge_attr", None)
    rows = batch.num_edges
    if values is None or tuple(values.shape) != (rows, channels):
        given = "none" if values is None else f"of shape {tuple(values.shape)}"
        raise ShapeError(
            f"{owner} got graphs with {rows} edges and edge_attr {given}; expected "
            f"({rows}, {channels}), the values of x on the edges."
        )
    if values.dtype != weight.dtype or values.device != weight.device:
        raise ShapeError(
            f"{owner} got edge_attr of {values.dtype} on {values.device} and has weights of "
            f"{weight.dtype} on {weight.device}; convert one of them with .to(...)."
        )
