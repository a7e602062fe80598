"""An energy that checks given pairs of nodes by the edges of sparse graphs."""

from __future__ import annotations

from typing import Any, cast

import attrs
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from irem_core import checks
from irem_core.energies import triangles
from irem_core.energies.base import EnergyFn
from irem_core.energies.precision import wide
from irem_core.energies.scaled import scaled, scaled_residuals
from irem_core.part import Preset
from irem_core.problems import graphs
from irem_core.problems.layout import Layout
from irem_core.problems.problem import Problem
from irem_core.problems.space import Space, require_edges


@attrs.frozen(eq=False)
class _Ways:
    """For each wanted pair ij, the edges kj whose pair ik is wanted too.

    Args:
        layout: whose rows the pairs are.
        features: of the question, on the pair.
        further: how many rows further on the pair ik stands.
        values: of the question, on the edge kj.
        real: which of the ways there are; the others fill up to the most.
    """

    layout: Layout
    features: Float[Tensor, "rows width"]
    further: Int[Tensor, "rows ways"]
    values: Float[Tensor, "rows ways channels"]
    real: Bool[Tensor, "rows ways"]


class SparsePairwiseEnergy(EnergyFn):
    """E(x, y) = scale / 2 sum_ij mean_c r_ijc^2, with a residual r_ij for every wanted pair.

    Each pair has features h_ij, which begin as a linear map of y_ij, x_ij, whether ij is an edge
    and whether i = j. Every block adds to them

        MLP[h_ij, max_k (a(h_ik) + b(x_kj))],

    over the edges kj whose pair ik is wanted as well, which is how a shortest path is made of a
    shorter one and an edge (Bellman, 1958). So it visits wanted pairs and edges alone, and says
    most where all nodes are wanted as seen from some: of pairs that are picked here and there few
    check each other.

    Args:
        question: space of x, values on edges.
        answer: space of y, values on wanted pairs.
        width: features of a pair.
        blocks: number of blocks.

    Raises:
        SettingError: the spaces are of another kind, or a setting is out of range.
    """

    size_free = True

    def __init__(self, question: Space, answer: Space, *, width: int = 32, blocks: int = 2) -> None:
        """Make the layers with torch's default initialisation."""
        super().__init__()
        checks.check(checks.count, "SparsePairwiseEnergy", width=width, blocks=blocks)
        require_edges("SparsePairwiseEnergy", question=question, answer=answer)
        self.question = question
        self.answer = answer
        self.question_map = nn.Linear(question.size + 2, width)
        self.answer_map = nn.Linear(answer.size, width, bias=False)
        self.blocks = nn.ModuleList(_Block(question.size, width) for _ in range(blocks))
        self.read_out = nn.Linear(width, width)
        self.log_scale = nn.Parameter(torch.zeros(()))

    @classmethod
    def preset(cls, question: Space, answer: Space) -> Preset:
        """Return this library's settings for wanted pairs, of which a problem has hundreds.

        A step tells a pair about others that are a few edges away, so that paths of many edges take
        more steps than a training has; with three replayed problems to a fresh one most starts are
        some way down.
        """
        return scaled(
            answer,
            solver={"replayed": 3.0},
            training={"batch_size": 2, "learning_rate": 5e-3},
        )

    def encode(self, problem: Problem) -> _Ways:
        """Return the features of the question's pairs, and by which edges each is checked.

        Raises:
            ShapeError: x is no batch of graphs with values on their edges of the weights' type.
        """
        from torch_geometric.utils import to_dense_batch

        batch: Any = problem.x
        weight = self.question_map.weight
        graphs.check_values("SparsePairwiseEnergy", batch, self.question.size, weight)
        pairs = batch.get(graphs.PAIRS, batch.edge_index)
        row, further, edge = _ways(pairs, batch.edge_index, int(batch.num_nodes))
        # Ways come sorted by pair, and are put side by side, at least one to a pair.
        most = max(int(torch.bincount(row, minlength=1).max()), 1)
        beside = {"batch": row, "batch_size": pairs.shape[1], "max_num_nodes": most}
        values, real = to_dense_batch(batch.edge_attr[edge], **beside)
        steps, _ = to_dense_batch(further, **beside)
        own = _find(batch.edge_index, pairs, int(batch.num_nodes))
        is_edge = (own >= 0).to(values.dtype)[:, None]
        # The last row, of zeros, is that of pairs that are no edges.
        at_pair = functional.pad(batch.edge_attr, (0, 0, 0, 1))[own]
        is_same = (pairs[0] == pairs[1]).to(values.dtype)[:, None]
        return _Ways(
            layout=problem.layout,
            features=self.question_map(torch.cat([at_pair, is_edge, is_same], 1)),
            further=steps,
            values=values,
            real=real,
        )

    def energy(
        self, context: _Ways, y: Float[Tensor, "rows channels"]
    ) -> Float[Tensor, " problems"]:
        """Return the energies `(B,)` of values on wanted pairs."""
        return context.layout.sum(self.contributions(context, y))

    def contributions(
        self, context: _Ways, y: Float[Tensor, "rows channels"]
    ) -> Float[Tensor, " rows"]:
        """Return what each wanted pair adds to the energy."""
        residual = self._misfit(context, y)
        return self.log_scale.exp() / 2 * residual.square().mean(-1)

    def residuals(
        self, context: _Ways, y: Float[Tensor, "rows channels"]
    ) -> Float[Tensor, "rows width"]:
        """Return the residuals of each wanted pair, scaled."""
        return scaled_residuals(self._misfit(context, y), self.log_scale)

    def _misfit(self, context: _Ways, y: Tensor) -> Tensor:
        features = context.features + self.answer_map(y)
        rows = torch.arange(len(features), device=features.device)
        before = rows[:, None] + context.further
        for block in self.blocks:
            features = features + block(features, before, context.values, context.real)
        return wide(self.read_out(features))


class _Block(nn.Module):
    """What one block adds to the features of pairs."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.before = nn.Linear(width, width)
        self.onward = nn.Linear(channels, width)
        self.first = nn.Linear(2 * width, 2 * width)
        self.second = nn.Linear(2 * width, width)

    def forward(self, features: Tensor, before: Tensor, values: Tensor, real: Tensor) -> Tensor:
        pooled = triangles.max_plus_over_ways(
            self.before(features), before, self.onward(values), real
        )
        joined = torch.cat([features, pooled], -1)
        return cast(Tensor, self.second(functional.silu(self.first(joined))))


def _ways(
    pairs: Int[Tensor, "2 rows"], edges: Int[Tensor, "2 edges"], nodes: int
) -> tuple[Int[Tensor, " ways"], Int[Tensor, " ways"], Int[Tensor, " ways"]]:
    """Find for each pair ij the edges kj whose pair ik is there.

    Returns:
        The row of ij, ascending; how many rows further on ik stands; and the edge.
    """
    by_end = edges[1].argsort(stable=True)
    degree = torch.bincount(edges[1], minlength=nodes)
    first = degree.cumsum(0) - degree
    count = degree[pairs[1]]
    row = torch.arange(pairs.shape[1], device=pairs.device).repeat_interleave(count)
    edge = by_end[first[pairs[1]].repeat_interleave(count) + graphs.within(count)]
    before = _find(pairs, torch.stack([pairs[0][row], edges[0][edge]]), nodes)
    known = before >= 0
    return row[known], (before - row)[known], edge[known]


def _find(
    known: Int[Tensor, "2 items"], wanted: Int[Tensor, "2 others"], nodes: int
) -> Int[Tensor, " others"]:
    """Return where each wanted pair of nodes stands among the known ones, or -1 where it does not.

    Where one is known several times it is the first.
    """
    if not known.shape[1]:
        return torch.full_like(wanted[0], -1)
    keys, sought = (each[0] * nodes + each[1] for each in (known, wanted))
    keys, order = keys.sort(stable=True)
    place = torch.searchsorted(keys, sought).clamp(max=len(keys) - 1)
    return torch.where(keys[place] == sought, order[place], -1)
