"""The paper's energy for graphs: three GINE layers on edges that hold x and y (Table 6)."""

from __future__ import annotations

import warnings
from itertools import zip_longest
from typing import Any, Self, cast

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from irem_core import checks
from irem_core.energies.base import EnergyFn
from irem_core.energies.precision import ReadOut
from irem_core.errors import SettingError, ShapeError
from irem_core.part import Source
from irem_core.problems import graphs
from irem_core.problems.layout import Layout
from irem_core.problems.problem import Problem
from irem_core.problems.space import Space, require_edges

with warnings.catch_warnings():
    # torch-geometric 2.8 still calls parts of torch that torch itself has deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.nn import GINEConv


# Training problems whose messages say where the kinks of ReLUs are put.
_SHOWN = 256
# How much node features vary at first beside the next layer's own share of an edge, where kinks are
# to tell edges apart: of 1, 0.3 and 0.1 the best on validation problems of edge copy.
_NODE_SHARE = 0.3


@attrs.frozen(eq=False)
class _Messages:
    """The messages of a batch: from which node to which, and what is known of them before y.

    Nodes are numbered `graph * slots + place`, with as many slots a graph as the largest has nodes,
    so that the numbers stay right when graphs are dropped from the batch.

    Args:
        layout: whose rows the candidates are.
        source: `(rows,)` the node within its graph that a message comes from.
        target: `(rows,)` the node that it goes to.
        shares: for each layer `(rows, width)` the question's share of the message.
        nodes: `(B,)` of each graph.
        slots: of each graph.
    """

    layout: Layout
    source: Int[Tensor, " rows"]
    target: Int[Tensor, " rows"]
    shares: list[Float[Tensor, "rows width"]]
    nodes: Int[Tensor, " problems"]
    slots: int


@attrs.frozen(eq=False)
class _Edges:
    """What message passing over listed edges needs: the graphs, and whose rows candidates are."""

    layout: Layout
    batch: Any


class GINEEnergy(EnergyFn):
    """E(x, y) of values on edges: GINE layers, the largest features over nodes, an MLP (Table 6).

    The values of x and of y on an edge are mapped to half of the width each and put side by side.
    A layer sums over a node's incoming edges: h_j <- W (h_j + sum_i relu(h_i + U e_ij)) + b. Nodes
    begin with one zero each, so the first layer's messages are one number wide. What Table 6 leaves
    open, such as the hidden layer of the read-out, is as in the published code.

    On complete graphs the maps from edge features to messages are linear in the two values of an
    edge, so each collapses to two vectors and a bias, computed once, with the question's share once
    a solve. That is the path "complete"; "edges" runs torch-geometric's `GINEConv` as it is. Both
    give the same numbers. Where answers are wanted for pairs of nodes that are no edges
    (`graphs.PAIRS`), pairs carry y and edges carry x, each with zeros in place of the other.

    Args:
        question: space of x, values on edges.
        answer: space of y, values on edges or wanted pairs.
        width: features of a node and of an edge; the paper has 128.
        layers: number of GINE layers; the paper has 3.
        path: "complete", "edges", or "auto" for the first where all graphs are complete.
        kinks: where `for_task` puts those of ReLUs: at "starts", or "edges" for answers that hang
            on each edge by itself.

    Raises:
        SettingError: a space is not that of edges, the width is odd, or a number is out of range.
    """

    size_free = True

    def __init__(
        self,
        question: Space,
        answer: Space,
        *,
        width: int = 128,
        layers: int = 3,
        path: str = "auto",
        kinks: str = "starts",
    ) -> None:
        """Make the layers with torch-geometric's and torch's default initialisation."""
        super().__init__()
        checks.check(checks.count, "GINEEnergy", width=width, layers=layers)
        checks.check(checks.one_of("auto", "complete", "edges"), "GINEEnergy", path=path)
        checks.check(checks.one_of("starts", "edges"), "GINEEnergy", kinks=kinks)
        require_edges("GINEEnergy", question=question, answer=answer)
        if width % 2:
            raise SettingError(f"GINEEnergy got width={width}; expected an even number.")
        self.question = question
        self.answer = answer
        self.path = path
        self.kinks = kinks
        self.question_map = nn.Linear(question.size, width // 2)
        self.answer_map = nn.Linear(answer.size, width // 2)
        inputs = [1, *[width] * (layers - 1)]
        self.convolutions = nn.ModuleList(
            GINEConv(nn.Linear(each, width), edge_dim=width) for each in inputs
        )
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), ReadOut(width, 1))

    @classmethod
    def for_task(cls, task: Source, *, seed: int = 0, **settings: Any) -> Self:
        """Build the energy for a task, with the kink of every ReLU at a value that occurs.

        Between ReLUs nothing but sums and maxima stands, so the energy is linear in pieces, and its
        gradient, the step, is the same all over a piece. Where pieces meet is up to the biases and
        to the question's share of the messages, and these stay as they are drawn: a loss after a
        step (Eq. 6) depends on them only through which ReLUs are open, so their gradient is zero.
        As torch draws them most kinks lie close together, pieces are long elsewhere, and descent
        cannot tell answers apart there. So the bias of each unit is set to make it zero at a
        training problem of its own, at a start. The messages of the first layer are one number,
        which is made zero on average.

        Node features are sums over many edges. As torch draws the weights they vary several times
        as much as what a message tells of its own edge, so kinks tell nodes apart, and on graphs
        larger than those of training all messages lie beyond them. Paths need what nodes know; for
        answers that hang on each edge by itself it is noise. With kinks="edges" they therefore
        begin small, and units are made zero between starts and answers, where descent will be.

        Args:
            task: the task whose spaces give all shapes.
            seed: seed of the initial weights, and of the problems.
            settings: further constructor arguments.
        """
        made = super().for_task(task, seed=seed, **settings)
        generator = torch.Generator().manual_seed(seed)
        problem, target = task.sample(_SHOWN, generator=generator)
        y = made.start(problem, generator).y
        if made.kinks == "edges":
            y = torch.lerp(target, y, torch.rand(y.shape, generator=generator))
        with torch.no_grad():
            made._spread_kinks(problem.x, y, generator)
        return made

    def _spread_kinks(self, batch: Any, y: Tensor, generator: torch.Generator) -> None:
        edges, index = self._edge_features(batch, y)
        features = edges.new_zeros(batch.num_nodes, 1)
        for layer, following in zip_longest(self._layers, self._layers[1:]):
            message = layer.lin(edges) + features[index[0]]
            wide = message.shape[1] > 1
            layer.lin.bias.sub_(_drawn(message, generator) if wide else message.mean(0))
            features = layer(features, index, edges)
            if self.kinks == "edges" and following is not None:
                own = following.lin(edges).std(0).mean()
                share = _NODE_SHARE * own / features.std(0).mean()
                for parameter in layer.nn.parameters():
                    parameter.mul_(share)
                features = features * share
        first = cast(nn.Linear, self.head[0])
        first.bias.sub_(_drawn(first(self._pooled(batch, features)), generator))

    @property
    def _layers(self) -> list[Any]:
        # torch types what a ModuleList holds as modules, and a GINEConv's own parts as tensors.
        return list(self.convolutions)

    def encode(self, problem: Problem) -> _Messages | _Edges:
        """Return the messages and the question's share of them.

        Raises:
            ShapeError: x is no batch of graphs with values on their edges of the weights' type, or
                the path is "complete" and a graph is not.
        """
        batch = problem.x
        graphs.check_values("GINEEnergy", batch, self.question.size, self.question_map.weight)
        complete = self.path != "edges" and graphs.are_complete(batch)
        if complete:
            return self._messages(problem)
        if self.path == "complete":
            raise ShapeError(
                "GINEEnergy got path='complete' and graphs whose edges are not those of complete "
                "graphs with self loops, in the order of the entries of a matrix; use path='auto'."
            )
        return _Edges(problem.layout, batch)

    def energy(
        self, context: _Messages | _Edges, y: Float[Tensor, "rows channels"]
    ) -> Float[Tensor, " problems"]:
        """Return the energies `(B,)` of values on edges or wanted pairs."""
        if isinstance(context, _Edges):
            return self._over_edges(context, y)
        return self._over_complete_graphs(context, y)

    def _messages(self, problem: Problem) -> _Messages:
        batch = problem.x
        nodes = batch.ptr.diff()
        source, target = graphs.complete_places(nodes)
        half = self.question_map.out_features
        shares = []
        for layer in self._layers:
            on_question, on_answer = layer.lin.weight.split(half, 1)
            bias = layer.lin.bias + self.question_map.bias @ on_question.T
            bias = bias + self.answer_map.bias @ on_answer.T
            combined = on_question @ self.question_map.weight
            shares.append(torch.addmm(bias, batch.edge_attr, combined.T))
        return _Messages(
            layout=problem.layout,
            source=source,
            target=target,
            shares=shares,
            nodes=nodes,
            slots=int(nodes.max()),
        )

    def _over_complete_graphs(self, context: _Messages, y: Tensor) -> Tensor:
        layout, slots = context.layout, context.slots
        assert layout.owner is not None
        first = layout.owner * slots
        source, target = first + context.source, first + context.target
        half = self.answer_map.out_features
        features = None
        for layer, share in zip(self._layers, context.shares, strict=True):
            combined = layer.lin.weight[:, half:] @ self.answer_map.weight
            # In place where that is allowed, since what it costs is to go through memory.
            message = torch.addmm(share, y, combined.T)
            if features is None:
                summed = message.new_zeros(layout.count * slots, message.shape[1])
            else:
                summed = features
                message = message.add_(features.index_select(0, source))
            features = layer.nn(summed.index_add(0, target, message.relu_()))
        assert features is not None
        real = torch.arange(slots, device=y.device) < context.nodes[:, None]
        pooled = _largest(features.unflatten(0, (-1, slots)), real)
        return cast(Tensor, self.head(pooled)).squeeze(-1)

    def _over_edges(self, context: _Edges, y: Tensor) -> Tensor:
        batch = context.batch
        edges, index = self._edge_features(batch, y)
        features = edges.new_zeros(batch.num_nodes, 1)
        for layer in self._layers:
            features = layer(features, index, edges)
        return cast(Tensor, self.head(self._pooled(batch, features))).squeeze(-1)

    def _pooled(self, batch: Any, features: Tensor) -> Float[Tensor, "problems width"]:
        """Return the largest features over the nodes of each graph."""
        nodes, place = batch.ptr.diff(), torch.arange(len(features), device=features.device)
        real = torch.arange(int(nodes.max()), device=features.device) < nodes[:, None]
        padded = features.new_zeros(*real.shape, features.shape[1])
        where = (batch.batch, place - batch.ptr[batch.batch])
        return _largest(padded.index_put(where, features), real)

    def _edge_features(self, batch: Any, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of all edges and wanted pairs, and their two ends."""
        asked, wanted = self.question_map(batch.edge_attr), self.answer_map(y)
        index = batch.edge_index
        if graphs.PAIRS in batch:
            index = torch.cat([index, batch[graphs.PAIRS]], 1)
            asked, wanted = (
                torch.cat([asked, asked.new_zeros(wanted.shape)]),
                torch.cat([wanted.new_zeros(asked.shape), wanted]),
            )
        return torch.cat([asked, wanted], 1), index


def _largest(
    features: Float[Tensor, "problems slots width"], real: Tensor
) -> Float[Tensor, "problems width"]:
    """Return the largest features over the slots that are nodes."""
    return features.masked_fill(~real[..., None], -torch.inf).amax(1)


def _drawn(values: Float[Tensor, "rows width"], generator: torch.Generator) -> Tensor:
    """Draw a row for each unit, and return the unit's value there."""
    row = torch.randint(len(values), (values.shape[1],), generator=generator)
    return values[row, torch.arange(values.shape[1])]
