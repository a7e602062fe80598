"""Graphs of torch-geometric as problems made of parts.

An answer about nodes makes entries of the nodes, and a factor of every edge, with the roles
"source" and "target". An answer about edges makes entries of the edges, and a factor of every node,
with the roles "leaving" and "arriving". So one energy, that of factor graphs, serves both.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from irem_core.errors import ShapeError
from irem_core.problems import factor_graphs, graphs
from irem_core.problems.columns import Column
from irem_core.problems.factor_graphs import ENTRY, ROLE
from irem_core.problems.factored import FactorSpace
from irem_core.problems.graph_checks import cleaned, is_graph, is_of_parts

if TYPE_CHECKING:
    from torch_geometric.data import Batch

NODES, EDGES = "nodes", "edges"

_EDGE, _LOOP, _ALONE, _NODE = "edge", "loop", "alone", "node"
_ENDS, _SIDES = ("source", "target"), ("leaving", "arriving", "loop")


def is_about_edges(question: FactorSpace) -> bool:
    """Say whether factor graphs of a space are made of graphs with answers about their edges."""
    return _NODE in dict(question.kinds)


def factored(
    x: Any,
    question: FactorSpace | str | None,
    *,
    names: Sequence[str] | None = None,
    device: torch.device | str | None = None,
) -> Any:
    """Return graphs, one or many, as a batch of factor graphs; what is none stays as it is.

    Features are in double precision, as far as they are not of a batch of factor graphs already.

    Args:
        x: a `Data` or `HeteroData` of torch-geometric, a list of such, or a batch.
        question: "nodes" or "edges", what answers are about, or a space whose kinds say so.
        names: of the graphs, for errors; their numbers if None.
        device: where the batch goes; where it is if None.

    Raises:
        ShapeError: a graph is not as it should be, or they cannot be put together to a batch.
        NonFiniteError: a feature is NaN or infinite.
    """
    if not are_graphs(x):
        return x
    if factor_graphs.is_one(x):
        # torch-geometric moves in place, and the batch is the caller's.
        return x if device is None else copy(x).to(device)
    about = question
    if isinstance(question, FactorSpace):
        about = EDGES if is_about_edges(question) else NODES
    batch = _gathered(x, names)
    if not factor_graphs.is_one(batch):
        _check_asked(batch, about, names)
        batch = of_graphs(batch, str(about or NODES))
    return batch if device is None else batch.to(device)


def typed(batch: Batch, dtype: torch.dtype) -> Batch:
    """Return a batch of factor graphs with features of a type."""
    batch = copy(batch)
    for kind in batch.node_types:
        if batch[kind].get("x") is not None:
            batch[kind].x = batch[kind].x.to(dtype)
    return batch


def are_graphs(x: Any) -> bool:
    """Say whether these are a graph, a list of them or a batch, without torch-geometric."""
    if isinstance(x, list | tuple):
        return bool(x) and any(map(is_graph, x))
    return graphs.is_batch(x) or is_graph(x)


def are_of_parts(problems: Sequence[Any]) -> bool:
    """Say whether problems are factor graphs, rather than graphs of one type of nodes.

    Raises:
        ShapeError: some are, and others are not.
    """
    of_parts = [is_of_parts(each) for each in problems]
    if any(of_parts) and not all(of_parts):
        number = of_parts.index(not of_parts[0])
        raise ShapeError(
            f"Problem 0 is a {type(problems[0]).__name__}, and problem {number} a "
            f"{type(problems[number]).__name__}; expected all to be Data, or all HeteroData."
        )
    return all(of_parts)


def _gathered(x: Any, names: Sequence[str] | None) -> Batch:
    """Return graphs as a batch, each of them checked."""
    from torch_geometric.data import Batch

    several = x.to_data_list() if graphs.is_batch(x) else x
    several = list(several) if isinstance(several, list | tuple) else [several]
    of_parts = are_of_parts(several)
    called = _named(several, names)
    clean = [cleaned(each, name) for each, name in zip(several, called, strict=True)]
    _check_alike(clean, called)
    return Batch.from_data_list(_alike(clean) if of_parts else clean)


def _check_alike(problems: Sequence[Any], names: Sequence[str]) -> None:
    """Check that all have the same features, of the same width, on what they share."""
    known: dict[str, tuple[int, str]] = {}
    for each, name in zip(problems, names, strict=True):
        stores = each.node_types if is_of_parts(each) else ("x", "edge_attr")
        for kind in stores:
            values = each[kind].get("x") if is_of_parts(each) else each.get(kind)
            width = 0 if values is None else values.shape[1]
            other, first = known.setdefault(kind, (width, name))
            if width != other:
                raise ShapeError(
                    f"{name} has {width} features {kind}, and {first} has {other}; expected as "
                    "many on all."
                )


def _named(several: Sequence[Any], names: Sequence[str] | None) -> Sequence[str]:
    return [f"Problem {number}" for number in range(len(several))] if names is None else names


def _check_asked(batch: Batch, about: Any, names: Sequence[str] | None) -> None:
    """Check that every graph has something to answer about."""
    counts = batch.ptr.diff()
    if about == EDGES:
        counts = _counted(batch.batch[batch.edge_index[0]], len(counts))
    if not bool(counts.all()):
        first = int((counts == 0).nonzero()[0, 0])
        raise ShapeError(
            f"{_named(range(len(counts)), names)[first]} has no {str(about or NODES)[:-1]}, so "
            "there is nothing to answer; leave it out."
        )


def _alike(problems: Sequence[Any]) -> list[Any]:
    """Give every problem all kinds of factors that one of them has, empty where it has none."""
    kinds: dict[str, Any] = {}
    links: dict[Any, None] = {}
    for each in problems:
        for kind in each.node_types:
            kinds.setdefault(kind, each[kind].get("x"))
        links.update(dict.fromkeys(each.edge_types))
    for each in problems:
        for kind, held in kinds.items():
            if kind not in each.node_types:
                each[kind].num_nodes = 0
                if held is not None:
                    each[kind].x = held[:0]
        for key in links:
            if key not in each.edge_types:
                each[key].edge_index = torch.zeros(2, 0, dtype=torch.int64)
    return list(problems)


def of_graphs(batch: Batch, about: str) -> Batch:
    """Make factor graphs of graphs.

    Args:
        batch: of `Data`: `edge_index`, and `x` of nodes and `edge_attr` of edges where there are.
        about: whether answers are about "nodes" or "edges".

    Returns:
        A batch of `HeteroData`. Entries without features have a 1.
    """
    columns = graphs.take_apart(batch)
    nodes, edges = columns["num_nodes"].values, columns["edge_index"]
    own, between = columns.get("x"), columns.get("edge_attr")
    make = _about_nodes if about == NODES else _about_edges
    return make(nodes, edges, own, between)


def _about_nodes(
    nodes: Int[Tensor, " problems"], edges: Column, own: Column | None, between: Column | None
) -> Batch:
    ends = edges.values
    problem = torch.arange(len(nodes), device=nodes.device).repeat_interleave(edges.lengths)
    loops = ends[:, 0] == ends[:, 1]
    columns = _entries(nodes, own)
    for kind, chosen, roles in ((_EDGE, ~loops, _ENDS), (_LOOP, loops, (ROLE,))):
        if bool(chosen.any()):
            counts = _counted(problem[chosen], len(nodes))
            number = graphs.within(counts)
            columns[f"{kind} num_nodes"] = Column(counts)
            if between is not None:
                columns[f"{kind} x"] = Column(between.values[chosen], counts)
            for place, role in enumerate(roles):
                links = torch.stack([number, ends[chosen, place]], 1)
                columns[f"{kind} {role} {ENTRY} edge_index"] = Column(links, counts)
    alone = ~_touched(nodes, edges)
    if bool(alone.any()):
        whose = torch.arange(len(nodes), device=nodes.device).repeat_interleave(nodes)
        counts = _counted(whose[alone], len(nodes))
        columns[f"{_ALONE} num_nodes"] = Column(counts)
        links = torch.stack([graphs.within(counts), graphs.within(nodes)[alone]], 1)
        columns[f"{_ALONE} {ROLE} {ENTRY} edge_index"] = Column(links, counts)
    return factor_graphs.assemble(columns)


def _about_edges(
    nodes: Int[Tensor, " problems"], edges: Column, own: Column | None, between: Column | None
) -> Batch:
    counts, ends = edges.lengths, edges.values
    problem = torch.arange(len(nodes), device=nodes.device).repeat_interleave(counts)
    # Nodes of no edge say nothing of any.
    kept = _touched(nodes, edges)
    first = nodes.cumsum(0) - nodes
    of_problem = torch.arange(len(nodes), device=nodes.device).repeat_interleave(nodes)
    left = _counted(of_problem[kept], len(nodes))
    number = torch.zeros_like(of_problem).masked_scatter(kept, graphs.within(left))
    columns = _entries(counts, between)
    columns[f"{_NODE} num_nodes"] = Column(left)
    if own is not None:
        columns[f"{_NODE} x"] = Column(own.values[kept], left)
    loops = ends[:, 0] == ends[:, 1]
    for role, place, chosen in zip(_SIDES, (0, 1, 0), (~loops, ~loops, loops), strict=True):
        if bool(chosen.any()):
            of_node = number[first[problem[chosen]] + ends[chosen, place]]
            links = torch.stack([of_node, graphs.within(counts)[chosen]], 1)
            several = Column(links, _counted(problem[chosen], len(nodes)))
            columns[f"{_NODE} {role} {ENTRY} edge_index"] = several
    return factor_graphs.assemble(columns)


def _entries(counts: Int[Tensor, " problems"], features: Column | None) -> dict[str, Column]:
    """Return the columns of the entries, whose feature is a 1 where they have none."""
    ones = torch.ones(int(counts.sum()), 1, dtype=torch.float64, device=counts.device)
    held = Column(ones, counts) if features is None else Column(features.values, counts)
    return {f"{ENTRY} num_nodes": Column(counts), f"{ENTRY} x": held}


def _touched(nodes: Int[Tensor, " problems"], edges: Column) -> Bool[Tensor, " all_nodes"]:
    """Say which nodes an edge ends at."""
    first = (nodes.cumsum(0) - nodes).repeat_interleave(edges.lengths)
    found = torch.zeros(int(nodes.sum()), dtype=torch.bool, device=nodes.device)
    found[(edges.values + first[:, None]).flatten()] = True
    return found


def _counted(problem: Int[Tensor, " rows"], problems: int) -> Int[Tensor, " problems"]:
    return torch.bincount(problem, minlength=problems)


def space_of(batch: Batch) -> FactorSpace:
    """Return the space of factor graphs that are like those of a batch.

    Raises:
        ShapeError: entries have no features, or nothing joins them.
        SettingError: kinds or roles have names that are no words.
    """
    kinds = [kind for kind in batch.node_types if kind != ENTRY]
    if batch[ENTRY].get("x") is None or not kinds:
        raise ShapeError(
            f"The problems have entries {'of no features x' if kinds else 'and no factor'}; "
            "expected features of each entry, a 1 if nothing else, and factors that join them."
        )
    roles = {kind: [role for owner, role, _ in batch.edge_types if owner == kind] for kind in kinds}
    return FactorSpace(
        _width(batch[ENTRY]),
        {kind: _width(batch[kind]) for kind in kinds},
        {kind: tuple(each) for kind, each in roles.items() if each != [ROLE]},
    )


def _width(store: Any) -> int:
    return 0 if store.get("x") is None else int(store.x.shape[1])
