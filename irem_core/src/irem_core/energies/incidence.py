"""Which entries belong to which factors, and sums over either that no scatter is needed for.

An incidence is kept sorted by factors and by entries. Going one way adds up the rows of a bag for
each factor, going back those of a bag for each entry, and the derivative of one is the other: one
fused operation that takes its sums in a fixed order, on GPUs too.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import TYPE_CHECKING, Any, cast

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from irem_core.energies.precision import wide
from irem_core.problems.factor_graphs import ENTRY

if TYPE_CHECKING:
    from torch_geometric.data import Batch

# Where sorted batches say how many entries a factor has in a role, and the other way round.
_ENTRIES = "{role}_entries"
_FACTORS = "{kind}_{role}_factors"


class _Added(torch.autograd.Function):
    """Adds up rows, bag by bag."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, *bags: Tensor) -> Tensor:
        """Return for each bag the sum of its rows."""
        ctx.save_for_backward(*bags)
        order, ends, _, _ = bags
        return functional.embedding_bag(order, values, ends, mode="sum", include_last_offset=True)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        """Return for each row the sum of the slopes of its bags."""
        order, ends, back_order, back_ends = ctx.saved_tensors
        return _added(slope, back_order, back_ends, order, ends), None, None, None, None


def _added(values: Tensor, *bags: Tensor) -> Tensor:
    # In the precision of candidates, as all sums are that depend on how many there are.
    return cast(Tensor, _Added.apply(wide(values), *bags))  # type: ignore[no-untyped-call]


@attrs.frozen(eq=False)
class Incidence:
    """The entries of the factors of one kind, in one role.

    Args:
        entries: `(links,)` the entry of each link, by factors.
        factor_ends: `(factors + 1,)` where the links of each factor begin, and the last ends.
        factors: `(links,)` the factor of each link, by entries.
        entry_ends: `(rows + 1,)` where those of each entry begin.
    """

    entries: Int[Tensor, " links"]
    factor_ends: Int[Tensor, " ends"]
    factors: Int[Tensor, " links"]
    entry_ends: Int[Tensor, " more_ends"]

    def over_entries(self, values: Float[Tensor, "rows width"]) -> Float[Tensor, "factors width"]:
        """Return for each factor the sum over its entries."""
        return _added(values, self.entries, self.factor_ends, self.factors, self.entry_ends)

    def over_factors(self, values: Float[Tensor, "factors width"]) -> Float[Tensor, "rows width"]:
        """Return for each entry the sum over its factors."""
        return _added(values, self.factors, self.entry_ends, self.entries, self.factor_ends)


def both_ways(batch: Batch) -> Batch:
    """Return a batch of factor graphs whose links are sorted by factors, and by entries as well."""
    graph = copy(batch)
    for kind, role, _ in batch.edge_types:
        links = batch[kind, role, ENTRY].edge_index
        if bool((links[0].diff() < 0).any()):
            links = links[:, links[0].argsort(stable=True)]
        graph[kind, role, ENTRY].edge_index = links
        graph[ENTRY, role, kind].edge_index = links.flip(0)[:, links[1].argsort(stable=True)]
        factors, rows = batch[kind].batch.shape[0], batch[ENTRY].batch.shape[0]
        graph[kind][_ENTRIES.format(role=role)] = torch.bincount(links[0], minlength=factors)
        graph[ENTRY][_FACTORS.format(kind=kind, role=role)] = torch.bincount(
            links[1], minlength=rows
        )
    return graph


def incidences(graph: Batch, links: Iterable[tuple[str, str]]) -> dict[str, list[Incidence | None]]:
    """Return by kind the incidence of each role, None of those that the graph has no link of.

    Args:
        graph: what `both_ways` returned, some of its problems perhaps dropped.
        links: all kinds with all roles.
    """
    found: dict[str, list[Incidence | None]] = {}
    for kind, role in links:
        if kind in graph.node_types:
            found.setdefault(kind, []).append(_incidence(graph, kind, role))
    return found


def _incidence(graph: Batch, kind: str, role: str) -> Incidence | None:
    if (kind, role, ENTRY) not in graph.edge_types:
        return None
    return Incidence(
        graph[kind, role, ENTRY].edge_index[1],
        _ends(graph[kind][_ENTRIES.format(role=role)]),
        graph[ENTRY, role, kind].edge_index[1],
        _ends(graph[ENTRY][_FACTORS.format(kind=kind, role=role)]),
    )


def _ends(counts: Tensor) -> Tensor:
    return functional.pad(counts.cumsum(0), (1, 0))
