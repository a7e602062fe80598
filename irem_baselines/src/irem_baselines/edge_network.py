"""The network of baselines on graphs: GINE layers, and answers decoded from the ends of edges."""

from __future__ import annotations

import warnings
from typing import Any

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from irem_baselines.network import Network, require_kind
from irem_core import Problem, ShapeError, Space, graphs


@attrs.frozen(eq=False)
class Reading:
    """What GINE layers need of a batch of graphs.

    Args:
        index: `(2, edges)` the nodes at the two ends of each edge.
        ends: `(2, rows)` those of each wanted answer.
        shares: for each layer `(edges, width)` the question's share of its messages.
        graph: `(nodes,)` whose node it is.
        count: of graphs.
    """

    index: Int[Tensor, "2 edges"]
    ends: Int[Tensor, "2 rows"]
    shares: list[Float[Tensor, "edges width"]]
    graph: Int[Tensor, " nodes"]
    count: int


class EdgeNetwork(Network):
    """GINE layers on edges that hold x, or x and y, and a linear read-out of edges (Tables 7-9).

    A layer is that of the paper's energy: h_j <- W (h_j + sum_i relu(h_i + U e_ij)) + b, where e is
    affine in the values of the edge; nodes begin with one zero each. An answer is linear in the
    features of the two ends of its edge, side by side. Where answers are wanted for pairs of nodes
    that are no edges (`graphs.PAIRS`), candidates travel along these pairs, and questions along
    edges.

    Args:
        question: space of x, values on edges.
        answer: space of y, values on edges or wanted pairs.
        width: features of a node and of an edge; x and y get half of an edge's each.
        depth: number of GINE layers.
        reads_answer: whether y is read too.
    """

    def __init__(
        self, question: Space, answer: Space, *, width: int, depth: int, reads_answer: bool
    ) -> None:
        """Make the layers with torch-geometric's and torch's default initialisation."""
        super().__init__()
        with warnings.catch_warnings():
            # torch-geometric 2.8 still calls parts of torch that torch itself has deprecated.
            warnings.simplefilter("ignore", DeprecationWarning)
            from torch_geometric.nn import GINEConv  # takes seconds to import
        self.question = question
        self.depth = depth
        self.question_map = nn.Linear(question.size, width // 2 if reads_answer else width)
        if reads_answer:
            self.answer_map = nn.Linear(answer.size, width // 2)
        inputs = [1, *[width] * (depth - 1)]
        # Not inside of GINEConv, so that the question's share is computed once a solve.
        self.edge_maps = nn.ModuleList(nn.Linear(width, each) for each in inputs)
        self.convolutions = nn.ModuleList(GINEConv(nn.Linear(each, width)) for each in inputs)
        self.head = nn.Linear(2 * width, answer.size)

    def read(self, problem: Problem) -> Reading:
        """Return the graphs, and the question's share of the messages of every layer."""
        batch = problem.x
        if not graphs.is_batch(batch):
            raise ShapeError(
                f"x is a {type(batch).__name__}; expected a torch-geometric Batch, such as "
                "graphs.complete or Batch.from_data_list makes."
            )
        values = getattr(batch, "edge_attr", None)
        self.question.check("x's edge_attr", values, batch.num_edges)
        require_kind(batch.edge_attr, self.question_map.weight)
        width = self.question_map.out_features
        shares = []
        maps: list[Any] = list(self.edge_maps)  # whose parts torch leaves without types
        for each in maps:
            weight, bias = _product(each.weight[:, :width], self.question_map)
            shares.append(functional.linear(batch.edge_attr, weight, bias + each.bias))
        ends = batch.get(graphs.PAIRS, batch.edge_index)
        return Reading(batch.edge_index, ends, shares, batch.batch, problem.layout.count)

    def layer(
        self, place: int, reading: Reading, features: Tensor | None, y: Tensor | None = None
    ) -> Float[Tensor, "nodes width"]:
        """Apply one GINE layer."""
        index, messages = reading.index, reading.shares[place]
        if y is not None:
            index, messages = self._with_answers(place, reading, y)
        if features is None:
            features = messages.new_zeros(reading.graph.shape[0], 1)
        convolved: Tensor = self.convolutions[place](features, index, messages)
        return convolved

    def _with_answers(self, place: int, reading: Reading, y: Tensor) -> tuple[Tensor, Tensor]:
        """Add the candidates to the messages along edges, or along pairs of their own."""
        each: Any = self.edge_maps[place]
        weight, bias = _product(each.weight[:, self.question_map.out_features :], self.answer_map)
        if reading.ends is reading.index:
            return reading.index, reading.shares[place] + functional.linear(y, weight, bias)
        own = functional.linear(y, weight, bias + each.bias)
        index = torch.cat([reading.index, reading.ends], 1)
        return index, torch.cat([reading.shares[place], own])

    def decode(
        self, reading: Reading, features: Float[Tensor, "nodes width"]
    ) -> Float[Tensor, "rows channels"]:
        """Return the answers of edges or wanted pairs, each from its two ends."""
        answers: Tensor = self.head(torch.cat([features[each] for each in reading.ends], 1))
        return answers

    def pool(
        self, reading: Reading, features: Float[Tensor, "nodes width"]
    ) -> Float[Tensor, "problems width"]:
        """Return the largest features over the nodes of each graph."""
        graph = reading.graph[:, None].expand_as(features)
        pooled = features.new_zeros(reading.count, features.shape[1])
        return pooled.scatter_reduce(0, graph, features, "amax", include_self=False)


def _product(weight: Tensor, inner: nn.Linear) -> tuple[Tensor, Tensor]:
    """Return the weight and bias of a linear map after another, without the outer map's bias."""
    return weight @ inner.weight, weight @ inner.bias
