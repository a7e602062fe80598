"""Questions made of parts: factor graphs, as batches of torch-geometric's `HeteroData`.

The nodes of the type "entry" are what is asked, a row of the answer each. Every other type of nodes
is a kind of factor, and an edge (kind, role, "entry") says that an entry belongs to a factor, in a
role. Features, where there are any, are the `x` of the nodes. torch-geometric makes batches of such
graphs and moves them between devices; here they are taken apart and put together by the thousand,
as `graphs` does with graphs of one type of nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from irem_core.errors import ShapeError
from irem_core.problems.columns import Column

if TYPE_CHECKING:
    from torch_geometric.data import Batch

ENTRY = "entry"
"""The type of the nodes that answers are about."""
ROLE = "member"
"""The role of entries in factors that treat all of theirs alike."""

_COUNT = "num_nodes"
_LINKS = "edge_index"
# What torch-geometric notes of each type of nodes in a batch, and `assemble` makes anew.
_NOTED = ("batch", "ptr", _COUNT)


def is_one(x: Any) -> bool:
    """Say whether x is a batch of factor graphs, without importing torch-geometric."""
    return hasattr(x, "num_graphs") and ENTRY in getattr(x, "node_types", ())


def owner(batch: Batch) -> Int[Tensor, " rows"]:
    """Return the problem of each entry.

    Raises:
        ShapeError: a problem has no entry.
    """
    counts = batch[ENTRY].ptr.diff()
    if not bool(counts.all()):
        first = int((counts == 0).nonzero()[0, 0])
        raise ShapeError(
            f"Problem {first} of the batch has no entry, so there is nothing to answer; give every "
            "problem at least one."
        )
    found: Tensor = batch[ENTRY].batch
    return found


def build(
    features: Float[Tensor, "problems entries features"] | Column,
    factors: Mapping[str, Tensor | Mapping[str, Tensor]],
    *,
    factor_features: Mapping[str, Float[Tensor, "problems _factors _own"]] | None = None,
) -> Batch:
    """Make factor graphs from lists of the entries that belong together.

    Args:
        features: of the entries: `(B, n, features)`, or a column of `(rows, features)` where
            problems differ in their number of entries.
        factors: by kind the entries of each factor, numbered from 0 in each problem: `(B, factors,
            size)`, or `(factors, size)` where all problems have the same. Where a factor has fewer
            entries the rest is -1, and one of -1 alone is none. A kind whose entries have roles has
            such a tensor for each role.
        factor_features: by kind the features of its factors, `(B, factors, features)`.

    Returns:
        A batch of `HeteroData`.
    """
    entries = features if isinstance(features, Column) else _column(features)
    problems = len(entries.lengths)
    columns = {f"{ENTRY} {_COUNT}": Column(entries.lengths), f"{ENTRY} x": entries}
    for kind, given in factors.items():
        roles = given if isinstance(given, Mapping) else {ROLE: given}
        members = {role: each.expand(problems, *each.shape[-2:]) for role, each in roles.items()}
        real = torch.stack([(each >= 0).any(-1) for each in members.values()]).any(0)
        number = real.cumsum(1) - 1
        columns[f"{kind} {_COUNT}"] = Column(real.sum(1))
        own = (factor_features or {}).get(kind)
        if own is not None:
            columns[f"{kind} x"] = Column(own[real], real.sum(1))
        for role, each in members.items():
            problem, factor, _ = (each >= 0).nonzero(as_tuple=True)
            links = torch.stack([number[problem, factor], each[each >= 0]], 1)
            counts = torch.bincount(problem, minlength=problems)
            columns[f"{kind} {role} {ENTRY} {_LINKS}"] = Column(links, counts)
    return assemble(columns)


def single(batch: Batch, generator: torch.Generator) -> tuple[Batch, Int[Tensor, " kept_rows"]]:
    """Draw one factor of each problem, with its own entries alone.

    An energy that is a sum over factors can be trained by these, and descended on whole problems.
    Kinds are drawn alike, and then the factors of the kind.

    Args:
        batch: problems, each with a factor at least.
        generator: lives where they do.

    Returns:
        The problems, and the rows of answers that they are about.

    Raises:
        ShapeError: it is no batch of factor graphs, or a problem has no factor.
    """
    if not is_one(batch):
        raise ShapeError(
            f"single got a {type(batch).__name__}; expected a batch of factor graphs, such as "
            "factor_graphs.build makes."
        )
    kinds = [kind for kind in batch.node_types if kind != ENTRY]
    none = batch[ENTRY].ptr.diff() >= 0
    for kind in kinds:
        none &= batch[kind].ptr.diff() == 0
    if bool(none.any()):
        raise ShapeError(
            f"Problem {int(none.nonzero()[0, 0])} of the batch has no factor; expected one of each "
            "problem at least, to draw from."
        )
    counts = torch.stack([batch[kind].ptr.diff() for kind in kinds])
    place: dict[str, Any] = {"generator": generator, "device": counts.device}
    chosen = torch.rand(counts.shape, **place).masked_fill(counts == 0, -1).argmax(0)
    many = counts.gather(0, chosen[None])[0]
    which = (torch.rand(many.shape, **place) * many).long()
    kept = torch.zeros_like(batch[ENTRY].batch, dtype=torch.bool)
    links: dict[str, Tensor] = {}
    columns: dict[str, Column] = {}
    for number, kind in enumerate(kinds):
        own = chosen == number
        factors = (batch[kind].ptr[:-1] + which)[own]
        columns[f"{kind} {_COUNT}"] = Column(own.long())
        if batch[kind].get("x") is not None:
            columns[f"{kind} x"] = Column(batch[kind].x[factors], own.long())
        for key in batch.edge_types:
            if key[0] == kind:
                factor, entry = batch[key][_LINKS]
                member = entry[torch.isin(factor, factors)]
                links[" ".join((*key, _LINKS))] = member
                kept[member] = True
    rows = kept.nonzero().squeeze(1)
    lengths = torch.bincount(batch[ENTRY].batch[rows], minlength=len(many))
    found = {
        f"{ENTRY} {_COUNT}": Column(lengths),
        f"{ENTRY} x": Column(batch[ENTRY].x[rows], lengths),
        **columns,
    }
    place_of = kept.cumsum(0) - 1 - (lengths.cumsum(0) - lengths)[batch[ENTRY].batch]
    for title, member in links.items():
        problem = batch[ENTRY].batch[member]
        member = place_of[member[problem.argsort(stable=True)]]
        pairs = torch.stack([torch.zeros_like(member), member], 1)
        found[title] = Column(pairs, torch.bincount(problem, minlength=len(many)))
    return assemble(found), rows


def _column(values: Float[Tensor, "problems entries features"]) -> Column:
    counts = torch.full((values.shape[0],), values.shape[1], device=values.device)
    return Column(values.flatten(0, 1), counts)


def take_apart(batch: Batch) -> dict[str, Column]:
    """Return the columns of a batch by name; entries and factors are numbered in each problem.

    A name is the type of nodes or edges and what is held of them, such as "entry x" or "cell member
    entry edge_index". What is no tensor is left out.

    Raises:
        ShapeError: a tensor leads with something else than what it is held of.
    """
    columns = {}
    for kind in batch.node_types:
        nodes = batch[kind].ptr.diff()
        columns[f"{kind} {_COUNT}"] = Column(nodes)
        for name, values in batch[kind].items():
            if name not in _NOTED and isinstance(values, Tensor):
                columns[f"{kind} {name}"] = _held(f"{kind} {name}", values, nodes)
    for key in batch.edge_types:
        links = batch[key][_LINKS]
        problem = batch[key[0]].batch[links[0]]
        counts = torch.bincount(problem, minlength=int(batch.num_graphs))
        first = torch.stack([batch[each].ptr[problem] for each in (key[0], key[2])])
        for name, values in batch[key].items():
            title = " ".join((*key, name))
            local = (values - first).T if name == _LINKS else values
            columns[title] = _held(title, local, counts)
    return columns


def _held(title: str, values: Tensor, counts: Tensor) -> Column:
    if values.shape[:1] != (int(counts.sum()),):
        raise ShapeError(
            f"The batch holds {title} of shape {tuple(values.shape)}; its first dimension must be "
            f"{int(counts.sum())}, as many as there are."
        )
    return Column(values, counts)


def assemble(columns: Mapping[str, Column]) -> Batch:
    """Put columns together to a batch: the inverse of `take_apart`.

    Args:
        columns: by name, the "num_nodes" of every type of nodes among them.
    """
    from torch_geometric.data import Batch, HeteroData

    batch = Batch(_base_cls=HeteroData)
    slices: dict[Any, dict[str, Tensor]] = {}
    increments: dict[Any, dict[str, Tensor]] = {}
    for title, column in columns.items():
        *parts, name = title.split(" ")
        key = parts[0] if len(parts) == 1 else tuple(parts)
        held, first_of = slices.setdefault(key, {}), increments.setdefault(key, {})
        if name == _COUNT:
            nodes, store = column.values, batch[key]
            numbers = torch.arange(nodes.shape[0], device=nodes.device)
            store.batch = numbers.repeat_interleave(nodes)
            store.ptr = _ends(nodes)
            store.num_nodes = store.batch.shape[0]
            store._num_nodes = nodes.tolist()
            batch._num_graphs = nodes.shape[0]
            continue
        values, first = column.values, torch.zeros(len(column.lengths), dtype=torch.int64)
        if name == _LINKS:
            start = torch.stack([batch[each].ptr[:-1] for each in (parts[0], parts[2])], 1)
            values = (values + start.repeat_interleave(column.lengths, 0)).T
            first = start[:, :, None]
        batch[key][name] = values
        held[name], first_of[name] = _ends(column.lengths).cpu(), first.cpu()
    # What torch-geometric itself notes when it makes a batch, so that its own methods work here.
    batch._slice_dict, batch._inc_dict = slices, increments
    return batch


def _ends(counts: Int[Tensor, " problems"]) -> Int[Tensor, " ends"]:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
