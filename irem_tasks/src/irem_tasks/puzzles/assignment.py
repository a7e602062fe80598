"""Assignment: which column each row of a cost matrix takes, so that the total is least."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from torch import Tensor

from irem_core import Between, EntrySpace, FactorSpace, Problem, factor_graphs, graphs
from irem_tasks._declared import DeclaredTask, Range

Size = Annotated[int | Between[int], Range("at least 2", lambda size: size >= 2)]
_KIND = "exactly_one"


class Assignment(DeclaredTask):
    """Choose one entry in each row and column of a matrix of costs so that they add up to least.

    Costs are uniform on (0, 1), and matrices have 3 to 8 rows in training, 8 on "same" and 16 on
    "harder". y is 1 for chosen entries and 0 for others. Rows and columns are factors of one kind,
    so that nothing tells them apart.
    """

    difficulties: ClassVar = {"train": {}, "same": {"size": 8}, "harder": {"size": 16}}
    interim: ClassVar[int] = 100

    def __init__(self) -> None:
        """Set the spaces."""
        self.question = FactorSpace(1, kinds={_KIND: 0})
        self.answer = EntrySpace()

    def generate(
        self,
        count: int,
        generator: torch.Generator,
        *,
        size: Size = Between(3, 8),  # noqa: B008 (frozen)
    ) -> tuple[Problem, Float[Tensor, "rows 1"]]:
        """Draw costs and the best assignments, all at once."""
        sizes = Between.of(size).draw(count, generator, generator.device)
        entries = int(sizes.square().sum())
        costs = torch.rand(entries, 1, generator=generator, device=generator.device)
        x = factor_graphs.build(graphs.Column(costs, sizes.square()), {_KIND: _lines(sizes)})
        return Problem(x, self.answer), _least(costs[:, 0], sizes)[:, None]

    def measures(
        self, problem: Problem, y: Tensor, target: Tensor
    ) -> dict[str, Float[Tensor, " problems"]]:
        """Round to assignments; say which are optimal, and how far above the optimum they cost.

        Entries count as chosen above 1/2, and the assignment that holds most of these is scored.
        Rounding y itself would solve the problem: of the costs, negated, it is the best.
        """
        sizes = _sizes(problem)
        chosen = _least((y[:, 0] <= 0.5).to(y), sizes)
        costs = problem.x[factor_graphs.ENTRY].x[:, 0]
        least = problem.layout.sum(costs * target[:, 0])
        optimal = problem.layout.all(chosen == target[:, 0])
        return {
            "optimal": optimal.to(y),
            "excess": problem.layout.sum(costs * chosen) / least - 1,
        }

    def oracle(self, problem: Problem) -> Tensor:
        """Return the assignments that scipy finds, matrix after matrix."""
        sizes = _sizes(problem)
        costs = problem.x[factor_graphs.ENTRY].x[:, 0].cpu().double()
        found = []
        for size, each in zip(sizes.tolist(), costs.split(sizes.square().tolist()), strict=True):
            chosen = torch.zeros(size, size)
            chosen[linear_sum_assignment(each.view(size, size).numpy())] = 1
            found.append(chosen.flatten())
        return torch.cat(found)[:, None].to(problem.device, problem.dtype)

    def classical(self, problem: Problem) -> Tensor:
        """Return the answers of the textbook algorithm, which is the oracle's."""
        return self.oracle(problem)


def _sizes(problem: Problem) -> Int[Tensor, " problems"]:
    lines: Tensor = problem.x[_KIND].ptr.diff()
    return lines // 2


def _lines(sizes: Int[Tensor, " problems"]) -> Int[Tensor, "problems lines size"]:
    """List the entries of rows, then of columns, filled up with -1 to the largest size."""
    most = int(sizes.max())
    place = torch.arange(most, device=sizes.device)
    rows = place[:, None] * sizes[:, None, None] + place
    inside = place < sizes[:, None]
    rows = torch.where(inside[:, :, None] & inside[:, None, :], rows, -1)
    return torch.cat([rows, rows.mT], 1)


def _least(
    costs: Float[Tensor, " rows"], sizes: Int[Tensor, " problems"]
) -> Float[Tensor, " rows"]:
    """Return 1 for the entries of the least assignments of matrices, and 0 for others.

    All matrices are blocks of one, of which scipy sees the blocks alone.
    """
    counts = sizes.square()
    place, size = graphs.within(counts), sizes.repeat_interleave(counts)
    first = (sizes.cumsum(0) - sizes).repeat_interleave(counts)
    row, column = first + place // size, first + place % size
    # scipy takes a zero for no entry at all; a constant more changes all assignments alike.
    values = (costs - costs.min() + 1).double().cpu().numpy()
    nodes = int(sizes.sum())
    matrix = coo_array((values, (row.cpu().numpy(), column.cpu().numpy())), (nodes, nodes))
    _, best = min_weight_full_bipartite_matching(matrix.tocsr())
    chosen = torch.from_numpy(best.astype(np.int64)).to(costs.device)
    return (chosen[row] == column).to(costs)
