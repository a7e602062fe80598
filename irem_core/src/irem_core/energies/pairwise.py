"""An energy that compares pairs of entries, for square matrices and complete graphs of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from irem_core import checks
from irem_core.energies import triangles
from irem_core.energies.base import EnergyFn
from irem_core.energies.precision import wide
from irem_core.energies.scaled import scaled, scaled_residuals
from irem_core.errors import SettingError, ShapeError
from irem_core.part import Preset
from irem_core.problems import graphs
from irem_core.problems.layout import Layout
from irem_core.problems.problem import Problem
from irem_core.problems.space import EdgeSpace, MatrixSpace, Space

# Matrices share a size to be filled up to where the smaller has more than this share of its rows.
_FILLED = 0.75

Pool = Callable[[Tensor, Tensor], Tensor]


@attrs.frozen(eq=False)
class _Matrices:
    """Entries of matrices of one size, where they stand: `(B, n, n, width)`.

    Args:
        features: of the question.
    """

    features: Float[Tensor, "problems n n width"]

    def pooling(self, pool: Pool, fill: float) -> Callable[[Tensor], Tensor]:
        """Return what pools two sides of entries, one half of the channels each."""
        return lambda sides: pool(*sides.chunk(2, -1))

    def transposed(self, features: Tensor) -> Tensor:
        """Return for each entry ij the features of ji."""
        return features.transpose(1, 2)

    def sum(self, values: Float[Tensor, "problems n n"]) -> Float[Tensor, " problems"]:
        """Add up the entries of each matrix."""
        return values.sum((1, 2))


@attrs.frozen(eq=False)
class _Edges:
    """Entries of matrices of several sizes, a row each: the edges of complete graphs.

    Nodes are numbered within their graph, so that numbers stay right when graphs are dropped.

    Args:
        layout: whose rows the entries are.
        features: `(rows, width)` of the question.
        source: `(rows,)` the row of the matrix.
        target: `(rows,)` its column.
        mirror: `(rows,)` how many rows further on the transposed entry stands.
        size: `(rows,)` of the matrix.
        limits: sizes, ascending: matrices up to the same one are filled up to it and pooled at a
            time, so that small ones are not filled up to the largest.
    """

    layout: Layout
    features: Float[Tensor, "rows width"]
    source: Int[Tensor, " rows"]
    target: Int[Tensor, " rows"]
    mirror: Int[Tensor, " rows"]
    size: Int[Tensor, " rows"]
    limits: tuple[int, ...]

    def pooling(self, pool: Pool, fill: float) -> Callable[[Tensor], Tensor]:
        """Return what pools two sides of entries, one half of the channels each."""
        groups = list(self._groups())
        order = torch.cat([rows for rows, *_ in groups]).argsort()

        def pooled(sides: Float[Tensor, "rows more_width"]) -> Float[Tensor, "rows width"]:
            found = []
            for rows, place, shape in groups:
                chosen = sides.index_select(0, rows)
                filled = chosen.new_full((torch.Size(shape).numel(), sides.shape[1]), fill)
                squares = filled.index_copy(0, place, chosen).unflatten(0, shape)
                found.append(pool(*squares.chunk(2, -1)).flatten(0, 2).index_select(0, place))
            return torch.cat(found).index_select(0, order)

        return pooled

    def _groups(self) -> Iterator[tuple[Tensor, Tensor, tuple[int, int, int]]]:
        """Yield the rows of matrices of similar size, where these stand, and in what shape."""
        assert self.layout.owner is not None
        limits = torch.tensor(self.limits, device=self.size.device)
        group = torch.bucketize(self.size, limits)
        for number, limit in enumerate(self.limits):
            rows = (group == number).nonzero().squeeze(1)
            if not rows.numel():
                continue
            graphs_held, graph = self.layout.owner[rows].unique_consecutive(return_inverse=True)
            place = (graph * limit + self.source[rows]) * limit + self.target[rows]
            yield rows, place, (len(graphs_held), limit, limit)

    def transposed(self, features: Float[Tensor, "rows width"]) -> Float[Tensor, "rows width"]:
        """Return for each entry ij the features of ji."""
        rows = torch.arange(len(features), device=features.device)
        return features.index_select(0, rows + self.mirror)

    def sum(self, values: Float[Tensor, " rows"]) -> Float[Tensor, " problems"]:
        """Add up the entries of each matrix."""
        return self.layout.sum(values)


def _limits(sizes: Sequence[int]) -> tuple[int, ...]:
    """Choose sizes to fill up to, from the largest down, so that little is filled up in vain."""
    limits: list[int] = []
    for size in sorted(set(sizes), reverse=True):
        if not limits or size < _FILLED * limits[-1]:
            limits.append(size)
    return tuple(reversed(limits))


class PairwiseEnergy(EnergyFn):
    """E(x, y) = scale / 2 sum_ij mean_c r_ijc^2, with a residual r_ij for every entry of y.

    Each entry has features h_ij, which begin as a linear map of x_ij, y_ij and whether i = j. Every
    block adds to them

        MLP[h_ij, h_ji, pool_k (a(h_ik), b(h_kj))],

    so that an entry is compared with what the ways from i to j over any k make of it: the largest
    sum for shortest paths and for what is connected, the product for inverses. Where the answer is
    right such checks are exact, and a residual that vanishes there makes it a minimum of zero
    energy. Neither weights nor poolings depend on the size.

    Args:
        question: space of x, square matrices or values on the edges of complete graphs.
        answer: space of y, of the same kind.
        width: features of an entry.
        blocks: number of blocks.
        pooling: "max" of sums over k, or "product", asinh of the sum of products; if None, the
            first on graphs and the second on matrices.

    Raises:
        SettingError: the spaces are of another kind, or a setting is out of range.
    """

    size_free = True

    def __init__(
        self,
        question: Space,
        answer: Space,
        *,
        width: int = 32,
        blocks: int = 2,
        pooling: str | None = None,
    ) -> None:
        """Make the layers with torch's default initialisation."""
        super().__init__()
        checks.check(checks.count, "PairwiseEnergy", width=width, blocks=blocks)
        if pooling is None:
            pooling = "max" if isinstance(answer, EdgeSpace) else "product"
        checks.check(checks.one_of(*triangles.POOLINGS), "PairwiseEnergy", pooling=pooling)
        inputs, outputs = (
            _channels(name, space) for name, space in (("question", question), ("answer", answer))
        )
        if question.ragged != answer.ragged or (
            question.shape != answer.shape and not answer.ragged
        ):
            raise SettingError(
                f"PairwiseEnergy got question={question!r} and answer={answer!r}; expected two "
                "spaces of square matrices of one size, or two of values on edges."
            )
        self.question = question
        self.answer = answer
        self.question_map = nn.Linear(inputs + 1, width)
        self.answer_map = nn.Linear(outputs, width, bias=False)
        self.pooling = triangles.POOLINGS[pooling]
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.read_out = nn.Linear(width, width)
        self.log_scale = nn.Parameter(torch.zeros(()))

    @classmethod
    def preset(cls, question: Space, answer: Space) -> Preset:
        """Return this library's settings: steps of size 1, and a rate that falls from 3e-3 to 0."""
        return scaled(answer, training={"learning_rate": 3e-3})

    def encode(self, problem: Problem) -> _Matrices | _Edges:
        """Return the features of the question's entries, and where these stand.

        Raises:
            ShapeError: graphs are not complete, or matrices not square.
        """
        if isinstance(problem.x, Tensor):
            rows, columns = problem.x.shape[1:]
            if rows != columns:
                raise ShapeError(
                    f"PairwiseEnergy got matrices of {rows} x {columns}; expected square ones."
                )
            values = problem.x[..., None]
            eye = torch.eye(rows, dtype=values.dtype, device=values.device).expand(values.shape[:3])
            return _Matrices(self.question_map(torch.cat([values, eye[..., None]], -1)))
        weight = self.question_map.weight
        graphs.check_values("PairwiseEnergy", problem.x, self.question.size, weight)
        if not graphs.are_complete(problem.x):
            raise ShapeError(
                "PairwiseEnergy got graphs whose edges are not those of complete graphs with self "
                "loops, in the order of the entries of a matrix; graphs.complete makes such."
            )
        values, nodes = problem.x.edge_attr, problem.x.ptr.diff()
        source, target = graphs.complete_places(nodes)
        eye = (source == target).to(values.dtype)[:, None]
        size = nodes[problem.layout.owner]
        return _Edges(
            layout=problem.layout,
            features=self.question_map(torch.cat([values, eye], 1)),
            source=source,
            target=target,
            mirror=(target - source) * (size - 1),
            size=size,
            limits=_limits(nodes.tolist()),
        )

    def energy(self, context: _Matrices | _Edges, y: Tensor) -> Float[Tensor, " problems"]:
        """Return the energies `(B,)` of matrices `(B, n, n)` or of values `(rows, channels)`."""
        return context.sum(self.contributions(context, y))

    def contributions(self, context: _Matrices | _Edges, y: Tensor) -> Tensor:
        """Return what each entry adds to the energy, `(B, n, n)` or `(rows,)`."""
        residual = self._misfit(context, y)
        return self.log_scale.exp() / 2 * residual.square().mean(-1)

    def residuals(self, context: _Matrices | _Edges, y: Tensor) -> Tensor:
        """Return the residuals of each entry, scaled, `(B, n, n, width)` or `(rows, width)`."""
        return scaled_residuals(self._misfit(context, y), self.log_scale)

    def _misfit(self, context: _Matrices | _Edges, y: Tensor) -> Tensor:
        values = y[..., None] if isinstance(context, _Matrices) else y
        features = context.features + self.answer_map(values)
        pooling = context.pooling(*self.pooling)
        for block in self.blocks:
            features = features + block(features, context, pooling)
        return wide(self.read_out(features))


class _Block(nn.Module):
    """What one block adds to the features of entries."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.sides = nn.Linear(width, 2 * width)
        self.first = nn.Linear(3 * width, 2 * width)
        self.second = nn.Linear(2 * width, width)

    def forward(
        self,
        features: Tensor,
        context: _Matrices | _Edges,
        pooling: Callable[[Tensor], Tensor],
    ) -> Tensor:
        pooled = pooling(self.sides(features))
        joined = torch.cat([features, context.transposed(features), pooled], -1)
        return cast(Tensor, self.second(functional.silu(self.first(joined))))


def _channels(name: str, space: Space) -> int:
    if isinstance(space, EdgeSpace):
        return space.size
    if isinstance(space, MatrixSpace) and space.height == space.width:
        return 1
    raise SettingError(
        f"PairwiseEnergy got {name}={space!r}; expected an EdgeSpace or a square MatrixSpace."
    )
