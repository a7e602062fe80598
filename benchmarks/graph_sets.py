"""Sets of graphs with answers for their nodes or edges, made with numpy and scipy.

A set is a function of a random graph that gives features of nodes and edges, and answers. Graphs
have 6 to 14 nodes and a mean degree of 3, harder ones 30 to 60 nodes. Both directions of an edge
are there, and answers of edges that are of the nature of flows have its sign.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra, minimum_spanning_tree
from torch_geometric.data import Data

Array = NDArray[np.float64]
Rng = np.random.Generator

_DEGREE = 3.0
_NODES, _MORE = (6, 14), (30, 60)


@attrs.frozen
class GraphSet:
    """A kind of question about graphs.

    Args:
        answer: a generator and symmetric weights `(n, n)`, 0 where no edge is, to features of nodes
            `(n, f)` or None, and answers `(n,)` or `(n, n)`.
        about: "nodes" or "edges".
    """

    answer: Callable[[Rng, Array], tuple[Array | None, Array]]
    about: str

    def graphs(self, count: int, *, seed: int, harder: bool = False) -> list[Data]:
        """Make graphs with their answers."""
        rng = np.random.default_rng([seed, harder])
        return [self._graph(rng, *(_MORE if harder else _NODES)) for _ in range(count)]

    def _graph(self, rng: Rng, least: int, most: int) -> Data:
        nodes = int(rng.integers(least, most + 1))
        # A random tree joins all nodes, and other edges make up the degree.
        weights = np.zeros((nodes, nodes))
        for node in range(1, nodes):
            weights[rng.integers(node), node] = 1
        share = max(0.0, (_DEGREE * nodes / 2 - (nodes - 1)) / (nodes * (nodes - 1) / 2))
        weights = np.maximum(weights, np.triu(rng.random((nodes, nodes)) < share, 1))
        weights = weights * rng.uniform(0.1, 2, weights.shape)
        weights += weights.T
        x, y = self.answer(rng, weights)
        source, target = weights.nonzero()
        features = {} if x is None else {"x": torch.from_numpy(x).float()}
        rows = y if self.about == "nodes" else y[source, target]
        return Data(
            edge_index=torch.from_numpy(np.stack([source, target])),
            edge_attr=torch.from_numpy(weights[source, target]).float()[:, None],
            y=torch.from_numpy(rows).float()[:, None],
            num_nodes=nodes,
            **features,
        )


def potential(rng: Rng, weights: Array) -> tuple[Array, Array]:
    """Potentials of a network of conductances that leaks, where currents are fed in."""
    leak, fed = rng.uniform(0.05, 0.55, len(weights)), rng.normal(size=len(weights))
    laplacian = np.diag(weights.sum(1) + leak) - weights
    potentials = np.asarray(np.linalg.solve(laplacian, fed), np.float64)
    return np.stack([leak, fed], 1), potentials


def flow(rng: Rng, weights: Array) -> tuple[Array, Array]:
    """The currents along the edges of such a network."""
    x, potentials = potential(rng, weights)
    return x, weights * (potentials[:, None] - potentials)


def distance(rng: Rng, weights: Array) -> tuple[Array, Array]:
    """The length of the shortest way to the nearest of one to three sources."""
    source = np.zeros(len(weights))
    source[rng.choice(len(weights), rng.integers(1, 4), replace=False)] = 1
    lengths = dijkstra(csr_array(weights), indices=source.nonzero()[0])
    return source[:, None], lengths.min(0)


def tree(rng: Rng, weights: Array) -> tuple[None, Array]:
    """Which edges are in the minimum spanning tree."""
    kept = minimum_spanning_tree(csr_array(weights)).toarray() > 0
    return None, (kept | kept.T).astype(np.float64)


SETS = {
    "potential": GraphSet(potential, "nodes"),
    "distance": GraphSet(distance, "nodes"),
    "flow": GraphSet(flow, "edges"),
    "tree": GraphSet(tree, "edges"),
}
