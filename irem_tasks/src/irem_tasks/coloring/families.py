"""Random graphs of families that others publish figures for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Int
from scipy.spatial import Delaunay
from torch import Tensor

Edges = Int[Tensor, "edges 2"]

# Of Watts and Strogatz: the share of edges that lead elsewhere than to near nodes of the ring.
_REWIRED = 0.1
# Of Holme and Kim: how often an edge closes a triangle, where it can.
_CLOSING = 0.5
# Uniform numbers that are drawn at a time.
_BLOCK = 256


def erdos_renyi(nodes: int, degree: float, generator: torch.Generator) -> Edges:
    """Join each pair of nodes with one probability."""
    pairs = torch.combinations(torch.arange(nodes, device=generator.device))
    chance = torch.rand(len(pairs), generator=generator, device=generator.device)
    return pairs[chance < degree / (nodes - 1)].cpu()


def watts_strogatz(nodes: int, degree: float, generator: torch.Generator) -> Edges:
    """Join each node with those near to it on a ring, then let a tenth of the edges lead elsewhere.

    The degree is rounded to an even number, at least 2 and less than there are nodes.
    """
    chances = _uniform(generator)
    reach = max(1, min(round(degree / 2), (nodes - 1) // 2))
    beside = [{(node + step) % nodes for step in range(1, reach + 1)} for node in range(nodes)]
    for node, ends in enumerate(beside):
        for end in sorted(ends):
            free = [
                other
                for other in range(nodes)
                if other != node and other not in ends and node not in beside[other]
            ]
            if free and next(chances) < _REWIRED:
                ends.remove(end)
                ends.add(free[int(next(chances) * len(free))])
    return _edges((node, end) for node, ends in enumerate(beside) for end in ends)


def holme_kim(nodes: int, degree: float, generator: torch.Generator) -> Edges:
    """Join each new node with half as many as the degree, those of many edges first.

    An edge leads to a neighbour of the one before it in half of the cases, so that there are
    triangles (Holme and Kim, Physical Review E 2002).
    """
    chances = _uniform(generator)
    each = max(1, min(round(degree / 2), nodes - 1))
    beside: list[set[int]] = [set() for _ in range(nodes)]
    # Nodes as often as they have edges; the first, which have none yet, once.
    ends = list(range(each))
    for node in range(each, nodes):
        last: int | None = None
        while len(beside[node]) < each:
            near = [] if last is None else sorted(beside[last] - beside[node] - {node})
            pool = near if near and next(chances) < _CLOSING else ends
            last = pool[int(next(chances) * len(pool))]
            beside[node].add(last)
            beside[last].add(node)
        for other in beside[node]:
            ends += [node, other]
    return _edges((node, end) for node, all_ in enumerate(beside) for end in all_ if node < end)


def delaunay(nodes: int, degree: float, generator: torch.Generator) -> Edges:
    """Triangulate random points of a square, whatever the degree; such graphs are planar."""
    points = torch.rand(nodes, 2, generator=generator, device=generator.device, dtype=torch.float64)
    corners = torch.from_numpy(Delaunay(points.cpu().numpy()).simplices).long()
    sides = torch.cat([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
    joined: Edges = sides.sort(1).values.unique(dim=0)
    return joined


FAMILIES: dict[str, Callable[[int, float, torch.Generator], Edges]] = {
    "erdos-renyi": erdos_renyi,
    "watts-strogatz": watts_strogatz,
    "holme-kim": holme_kim,
    "delaunay": delaunay,
}
"""By name what draws a graph of so many nodes, of about such an average degree."""


def _uniform(generator: torch.Generator) -> Iterator[float]:
    """Yield numbers between 0 and 1 for ever."""
    while True:
        yield from torch.rand(_BLOCK, generator=generator, device=generator.device).tolist()


def _edges(pairs: Iterator[tuple[int, int]]) -> Edges:
    return torch.tensor(sorted(pairs), dtype=torch.int64).view(-1, 2)
