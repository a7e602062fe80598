"""What tasks on complete and on sparse graphs share: scipy's answers, and what they are about."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated

import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra
from torch import Tensor

from irem_core import Between, NonFiniteError, Problem, graphs
from irem_tasks._declared import DeclaredTask, Range

if TYPE_CHECKING:
    from torch_geometric.data import Batch

Nodes = Annotated[
    int | Between[int],
    Range("at least 2, since a graph of one node has nothing to solve", lambda nodes: nodes >= 2),
]


def draw_nodes(
    nodes: int | Between[int], count: int, generator: torch.Generator
) -> Int[Tensor, " problems"]:
    """Draw how many nodes each graph has."""
    return Between.of(nodes).draw(count, generator, generator.device)


def asked(batch: Batch) -> str:
    """Return the name of the pairs of nodes that answers are about: by default all edges."""
    return graphs.PAIRS if graphs.PAIRS in batch else "edge_index"


class GraphTask(DeclaredTask):
    """A task on graphs, whose exact answers scipy finds."""

    max_steps = 40

    def oracle(self, problem: Problem) -> Tensor:
        """Return the answers that scipy gives for one graph after the other."""
        columns = graphs.take_apart(problem.x)
        parts = (
            columns[name].values.cpu().split(columns[name].lengths.tolist())
            for name in ("edge_index", "edge_attr", asked(problem.x))
        )
        found = []
        for nodes, edges, values, pairs in zip(
            columns["num_nodes"].values.tolist(), *parts, strict=True
        ):
            # Listed rather than dense, so that an edge of length 0 counts as an edge.
            listed = values[:, 0].double().numpy(), tuple(edges.T.numpy())
            found.append(self.solve_one(csr_array(listed, (nodes, nodes)), pairs))
        return torch.cat(found)[:, None].to(problem.device, problem.dtype)

    def classical(self, problem: Problem) -> Tensor:
        """Return the answers of the textbook algorithm, which is the oracle's."""
        return self.oracle(problem)

    @abstractmethod
    def solve_one(self, graph: csr_array, pairs: Int[Tensor, "pairs 2"]) -> Float[Tensor, " pairs"]:
        """Return the exact answers for the pairs of one graph, in double precision."""


class PathTask(GraphTask):
    """A task whose answers are the lengths of shortest paths."""

    def oracle(self, problem: Problem) -> Tensor:
        """Return the distances that scipy finds for one graph after the other.

        Raises:
            NonFiniteError: an edge has a negative length, or no path joins two nodes.
        """
        batch, lengths = problem.x, problem.x.edge_attr[:, 0]
        if (row := _first(~(lengths >= 0))) is not None:
            raise NonFiniteError(
                f"The edge {_ends(batch, batch.edge_index[:, row])} has the length "
                f"{float(lengths[row]):g}; expected at least 0, since a path could go back and "
                "forth over a negative edge and get shorter for ever."
            )
        distances = super().oracle(problem)
        if (row := _first(distances[:, 0].isinf())) is not None:
            raise NonFiniteError(
                f"No path leads {_ends(batch, batch[asked(batch)][:, row])}, so their distance is "
                "infinite; only pairs of nodes that a path joins have an answer."
            )
        return distances

    def solve_one(self, graph: csr_array, pairs: Int[Tensor, "pairs 2"]) -> Float[Tensor, " pairs"]:
        """Return the distances that scipy's Dijkstra finds."""
        starts, which = pairs[:, 0].unique(return_inverse=True)
        found = torch.as_tensor(dijkstra(graph, indices=starts.numpy()))
        return found[which, pairs[:, 1]]


class ComponentTask(GraphTask):
    """A task whose answers are 1 for nodes that a path joins, and 0 for others."""

    def solve_one(self, graph: csr_array, pairs: Int[Tensor, "pairs 2"]) -> Float[Tensor, " pairs"]:
        """Return the components that scipy finds by searching the graph."""
        graph.eliminate_zeros()
        label = torch.as_tensor(connected_components(graph, directed=False)[1])
        return (label[pairs[:, 0]] == label[pairs[:, 1]]).double()

    def measures(
        self, problem: Problem, y: Tensor, target: Tensor
    ) -> dict[str, Float[Tensor, " problems"]]:
        """Return the share of pairs that rounding to 0 or 1 classifies right."""
        right = (self.rounded(y) == target).to(y.dtype)
        return {"accuracy": problem.layout.mean(right)}

    def rounded(self, y: Tensor) -> Tensor:
        """Return 0 or 1, whichever is nearer."""
        return (y > 0.5).to(y)


def _first(wrong: Tensor) -> int | None:
    """Return the first row that is wrong."""
    return int(wrong.nonzero()[0, 0]) if bool(wrong.any()) else None


def _ends(batch: Batch, pair: Int[Tensor, " 2"]) -> str:
    graph = int(batch.batch[pair[0]])
    source, target = (pair - batch.ptr[graph]).tolist()
    return f"from node {source} to node {target} of graph {graph}"
