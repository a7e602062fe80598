"""Tasks on sparse graphs of hundreds of nodes, whose answers are wanted for given pairs of nodes.

A question is a torch-geometric batch: edges in both directions with a number each, and the pairs
that are asked about in `pair_index`. An answer is a number per pair, `(rows, 1)`. Graphs differ in
their number of edges, so nothing is as regular as a matrix.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor

from irem_core import Between, EdgeSpace, Problem, Space, graphs
from irem_tasks._common import uniform
from irem_tasks._declared import Count
from irem_tasks._graph_tasks import ComponentTask, GraphTask, Nodes, PathTask, draw_nodes

_SOURCES = 4
_TRAINED = Between(100, 200)


class SparseGraphTask(GraphTask):
    """A task on sparse graphs: 100 to 200 nodes in training, 200 on "same" and 400 on "harder".

    The graphs have an average degree of 4, and 64 pairs are asked about: 16 random nodes as seen
    from each of 4 random ones. With `every`, all nodes are asked about as seen from each of the 4,
    so that answers can be checked against each other.

    Args:
        every: whether all nodes are asked about.
    """

    difficulties: ClassVar = {"train": {}, "same": {"nodes": 200}, "harder": {"nodes": 400}}

    def __init__(self, *, every: bool = False) -> None:
        """Set the spaces, and the energy that is preferred."""
        self.every = every
        self.question = EdgeSpace()
        self.answer = EdgeSpace()
        if every:
            self.preferred = "sparse-pairwise"

    @property
    def parameters(self) -> dict[str, Any]:
        """The difficulty parameters; where all nodes are asked about, no number of pairs."""
        known = super().parameters
        return {key: each for key, each in known.items() if not (self.every and key == "pairs")}

    def asked(self, nodes: Tensor, pairs: int, generator: torch.Generator) -> _Asked:
        """Draw what is asked about graphs of so many nodes."""
        return _all(nodes, generator) if self.every else _some(nodes, pairs, generator)


@attrs.frozen(eq=False)
class _Asked:
    """What is asked about graphs.

    Args:
        sources: for each graph the nodes to see others from.
        counts: `(problems,)` how many pairs.
        which: for each pair, which of its graph's sources it is seen from.
        seen: for each pair the node that is seen.
    """

    sources: Int[Tensor, "problems sources"]
    counts: Int[Tensor, " problems"]
    which: Int[Tensor, " pairs"]
    seen: Int[Tensor, " pairs"]

    @property
    def graph(self) -> Int[Tensor, " pairs"]:
        """The graph of each pair."""
        numbers = torch.arange(len(self.counts), device=self.counts.device)
        return numbers.repeat_interleave(self.counts)

    def pairs(self) -> graphs.Column:
        """Return the nodes of each pair."""
        source = self.sources[self.graph, self.which]
        return graphs.Column(torch.stack([source, self.seen], -1), self.counts)


def _some(nodes: Int[Tensor, " problems"], pairs: int, generator: torch.Generator) -> _Asked:
    """Ask about random nodes, pair p as seen from source p modulo the number of sources."""
    shape = (nodes.shape[0], min(_SOURCES, pairs) + pairs)
    drawn = (uniform(shape, 0, 1, generator) * nodes[:, None]).long()
    sources, seen = drawn.split([shape[1] - pairs, pairs], 1)
    which = torch.arange(pairs, device=nodes.device) % sources.shape[1]
    return _Asked(
        sources, torch.full_like(nodes, pairs), which.repeat(nodes.shape[0]), seen.flatten()
    )


def _all(nodes: Int[Tensor, " problems"], generator: torch.Generator) -> _Asked:
    """Ask about all nodes, as seen from one random source after the other."""
    drawn = uniform((nodes.shape[0], _SOURCES), 0, 1, generator)
    counts = _SOURCES * nodes
    place = graphs.within(counts)
    size = nodes.repeat_interleave(counts)
    return _Asked((drawn * nodes[:, None]).long(), counts, place // size, place % size)


def _problem(
    nodes: Tensor, edges: graphs.Column, lengths: Tensor, asked: _Asked, answer: Space
) -> Problem:
    """Put graphs and the pairs that are asked about together."""
    batch = graphs.assemble(
        {
            "num_nodes": graphs.Column(nodes),
            "x": graphs.Column(lengths.new_zeros(int(nodes.sum()), 1), nodes),
            "edge_index": edges,
            "edge_attr": graphs.Column(lengths[:, None], edges.counts),
            graphs.PAIRS: asked.pairs(),
        }
    )
    return Problem(batch, answer)


def _both_ways(
    graph: Tensor, first: Tensor, second: Tensor, nodes: Tensor
) -> tuple[Tensor, graphs.Column]:
    """Drop loops and repetitions of undirected edges and list each in both directions.

    Returns:
        For each directed edge the number of its undirected one, and the directed edges by graph.
    """
    size = int(nodes.max())
    low, high = torch.minimum(first, second), torch.maximum(first, second)
    key = (graph * size + low) * size + high
    key = key[low != high].unique()
    low, high = key // size % size, key % size
    owner = (key // size**2).repeat(2)
    order = owner.argsort(stable=True)
    edges = torch.stack([torch.cat([low, high]), torch.cat([high, low])], 1)[order]
    undirected = torch.arange(key.shape[0], device=key.device).repeat(2)[order]
    return undirected, graphs.Column(edges, torch.bincount(owner, minlength=nodes.shape[0]))


class SparseShortestPath(PathTask, SparseGraphTask):
    """Return the length of the shortest path between given nodes of a sparse, connected graph.

    Every node but the first is joined to a random earlier one, so that every distance is finite,
    and as many random edges again are added, one more, for an average degree of 4; the few that
    repeat an edge are dropped. Lengths are uniform on (0, 1).
    """

    def generate(
        self,
        count: int,
        generator: torch.Generator,
        *,
        nodes: Nodes = _TRAINED,
        pairs: Count = 64,
    ) -> tuple[Problem, Float[Tensor, "rows 1"]]:
        """Draw graphs and find the distances by Bellman and Ford's algorithm, all at once."""
        sizes = draw_nodes(nodes, count, generator)
        asked = self.asked(sizes, pairs, generator)
        graph = torch.arange(count, device=sizes.device).repeat_interleave(sizes)
        node = graphs.within(sizes)
        # A tree, then random pairs; node 0 has no earlier one and draws a loop, which is dropped.
        ends = uniform((3, node.shape[0]), 0, 1, generator)
        of = sizes.repeat_interleave(sizes)
        first = torch.cat([node, (ends[1] * of).long()])
        second = torch.cat([(ends[0] * node).long(), (ends[2] * of).long()])
        undirected, edges = _both_ways(graph.repeat(2), first, second, sizes)
        lengths = uniform((int(undirected.max()) + 1,), 0, 1, generator)[undirected]
        problem = _problem(sizes, edges, lengths, asked, self.answer)
        distances = _distances(sizes, edges, lengths, asked.sources)
        return problem, distances[asked.graph, asked.which, asked.seen][:, None]


def _distances(
    nodes: Tensor, edges: graphs.Column, lengths: Tensor, sources: Int[Tensor, "problems sources"]
) -> Float[Tensor, "problems sources size"]:
    """Relax all edges of all graphs until no distance falls any more (Bellman and Ford)."""
    count, size = nodes.shape[0], int(nodes.max())
    distances = lengths.new_full((sources.shape[1], count * size), torch.inf)
    first = torch.arange(count, device=nodes.device) * size
    distances.scatter_(1, (first[:, None] + sources).T, 0.0)
    start, end = (edges.values + first.repeat_interleave(edges.lengths)[:, None]).T
    ends = end.expand(sources.shape[1], -1)
    while True:
        through = distances[:, start] + lengths
        shorter = distances.scatter_reduce(1, ends, through, "amin")
        if torch.equal(shorter, distances):
            found: Tensor = distances.unflatten(1, (count, size))
            return found.transpose(0, 1)
        distances = shorter


class SparseComponents(ComponentTask, SparseGraphTask):
    """Say for given pairs of nodes whether a path joins them in a sparse graph.

    Nodes fall into 4 groups at random, and edges are drawn within groups alone, for an average
    degree of 4; repetitions and loops are dropped. So a component is a group, but for a few nodes
    that no edge reached. x is 1 on edges.
    """

    def generate(
        self,
        count: int,
        generator: torch.Generator,
        *,
        nodes: Nodes = _TRAINED,
        pairs: Count = 64,
        groups: Count = 4,
    ) -> tuple[Problem, Float[Tensor, "rows 1"]]:
        """Draw graphs and find their components, all at once."""
        sizes = draw_nodes(nodes, count, generator)
        asked = self.asked(sizes, pairs, generator)
        graph = torch.arange(count, device=sizes.device).repeat_interleave(sizes)
        group = torch.randint(groups, graph.shape, generator=generator, device=sizes.device)
        group = graph * groups + group
        # Partners come from a node's own stretch of the nodes when these are sorted by group.
        order = group.argsort(stable=True)
        members = torch.bincount(group, minlength=count * groups)
        begin = (members.cumsum(0) - members)[group].repeat(2)
        ends = uniform(begin.shape, 0, 1, generator)
        partner = order[begin + (ends * members[group].repeat(2)).long()]
        node = graphs.within(sizes)
        _, edges = _both_ways(graph.repeat(2), node.repeat(2), node[partner], sizes)
        lengths = torch.ones(edges.values.shape[0], device=sizes.device)
        problem = _problem(sizes, edges, lengths, asked, self.answer)
        label = _labels(problem.x.edge_index, graph.shape[0])
        first, second = label[problem.x[graphs.PAIRS]]
        return problem, (first == second).to(lengths.dtype)[:, None]


def _labels(edges: Int[Tensor, "2 edges"], nodes: int) -> Int[Tensor, " nodes"]:
    """Give every node the smallest node of its component: take the neighbours' least, then jump."""
    label = torch.arange(nodes, device=edges.device)
    while True:
        least = label.scatter_reduce(0, edges[1], label[edges[0]], "amin")
        least = least[least]
        if torch.equal(least, label):
            return label
        label = least
