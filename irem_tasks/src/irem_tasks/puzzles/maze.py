"""Mazes: which cells lie on the way from the start to the goal."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from torch import Tensor

from irem_core import EntrySpace, FactorSpace, Grid, Problem, factor_graphs
from irem_tasks._declared import DeclaredTask, Range

Size = Annotated[
    int,
    Range("a whole number of at least 2", lambda size: isinstance(size, int) and size >= 2),
]
_PASSAGE = "passage"
_NEIGHBOURS = 4


class Maze(DeclaredTask):
    """Find the way through a perfect maze: y is 1 for the cells on it, and 0 elsewhere.

    A maze has size x size cells, and the passages between neighbours are a random spanning tree of
    the grid, so there is one way from the start to the goal, two random cells. Cells are entries,
    which know whether they are either of these and how many passages they have; each passage is a
    factor of two cells.
    """

    difficulties: ClassVar = {"train": {}, "same": {}, "harder": {"size": 13}}
    interim: ClassVar[int] = 100

    def __init__(self) -> None:
        """Set the spaces."""
        self.question = FactorSpace(2, kinds={_PASSAGE: 0})
        self.answer = EntrySpace()

    def generate(
        self, count: int, generator: torch.Generator, *, size: Size = 9
    ) -> tuple[Problem, Float[Tensor, "rows 1"]]:
        """Draw mazes and find their ways, all at once."""
        passages = _spanning_trees(count, size, generator)
        ends = torch.rand(count, size**2, generator=generator, device=generator.device)
        ends = ends.argsort(1)[:, :2]
        degrees = _degrees(torch.ones_like(passages[..., 0], dtype=torch.bool), passages, size**2)
        is_end = torch.zeros_like(degrees, dtype=torch.bool).scatter_(1, ends, True)
        features = torch.stack([is_end.float(), degrees / _NEIGHBOURS], -1)
        x = factor_graphs.build(features, {_PASSAGE: passages})
        way = _way(passages, is_end)
        return Problem(x, self.answer), way.to(features).view(-1, 1)

    def verify(self, problem: Problem, y: Tensor) -> Bool[Tensor, " problems"]:
        """Say whether the cells above 1/2 are one way from the start to the goal.

        Both are among them, with one neighbour on the way, and all others have two: where nothing
        goes in circles that is the way.
        """
        x, chosen = problem.x, y[:, 0] > 0.5
        is_end = x[factor_graphs.ENTRY].x[:, 0] > 0
        first, second = _pairs(x)
        along = (chosen[first] & chosen[second]).to(torch.int64)
        degree = torch.zeros_like(chosen, dtype=torch.int64)
        degree = degree.index_add(0, first, along).index_add(0, second, along)
        right = torch.where(chosen, degree == 2 - is_end.to(degree), ~is_end)
        return problem.layout.all(right)

    def picture(self, problem: Problem, y: Tensor, *, number: int = 0) -> Grid:
        """Return a maze with its walls: `o` at both ends, and `*` where the answer says the way."""
        maze = problem.x[number]
        ends = maze[factor_graphs.ENTRY].x[:, 0].cpu() > 0
        size = math.isqrt(len(ends))
        on = y[problem.layout.rows_of(torch.tensor([number], device=y.device)), 0].cpu() > 0.5
        marks = ["o" if end else "*" if way else " " for end, way in zip(ends, on, strict=True)]
        first, second = _pairs(maze).cpu().sort(0).values
        row, column = second // size, second % size
        across = first // size == row
        beside = torch.ones(size, size + 1, dtype=torch.bool)
        beside[row[across], column[across]] = False
        above = torch.ones(size + 1, size, dtype=torch.bool)
        above[row[~across], column[~across]] = False
        return Grid(
            texts=[marks[begin : begin + size] for begin in range(0, len(marks), size)],
            given=ends.view(size, size),
            beside=beside,
            above=above,
        )

    def oracle(self, problem: Problem) -> Tensor:
        """Return the ways that scipy finds by breadth-first search, maze after maze."""
        found = []
        for maze in problem.x.to_data_list():
            pairs = _pairs(maze).cpu().numpy()
            cells = maze[factor_graphs.ENTRY].x.shape[0]
            ends = (maze[factor_graphs.ENTRY].x[:, 0] > 0).nonzero()[:, 0].tolist()
            tree = coo_array((np.ones(pairs.shape[1]), tuple(pairs)), (cells, cells)).tocsr()
            _, before = breadth_first_order(tree, ends[0], directed=False)
            way, cell = torch.zeros(cells, 1), ends[1]
            while cell != ends[0]:
                way[cell] = 1
                cell = int(before[cell])
            way[cell] = 1
            found.append(way)
        return torch.cat(found).to(problem.device, problem.dtype)


def _pairs(x: Any) -> Int[Tensor, "2 passages"]:
    """Return the two cells of each passage."""
    links: Tensor = x[_PASSAGE, factor_graphs.ROLE, factor_graphs.ENTRY].edge_index
    return links[1, links[0].argsort(stable=True)].view(-1, 2).T


def _spanning_trees(
    count: int, size: int, generator: torch.Generator
) -> Int[Tensor, "mazes passages 2"]:
    """Draw spanning trees of grids, those of least weight where weights are random."""
    grid = torch.arange(size**2).view(size, size)
    pairs = torch.cat(
        [
            torch.stack([grid[:, :-1].flatten(), grid[:, 1:].flatten()], 1),
            torch.stack([grid[:-1].flatten(), grid[1:].flatten()], 1),
        ]
    )
    weights = torch.rand(count, len(pairs), generator=generator, device=generator.device)
    # All grids are one graph, whose spanning forest has a tree of each.
    first = torch.arange(count)[:, None, None] * size**2
    places = (pairs + first).flatten(0, 1).numpy()
    values = 1 + weights.flatten().cpu().double().numpy()
    nodes = count * size**2
    forest = minimum_spanning_tree(coo_array((values, tuple(places.T)), (nodes, nodes)).tocsr())
    chosen = torch.from_numpy(np.stack(forest.nonzero(), 1).astype(np.int64))
    chosen = chosen[chosen[:, 0].argsort(stable=True)]
    return (chosen.view(count, -1, 2) - first).to(generator.device)


def _degrees(
    is_open: Bool[Tensor, "mazes passages"], passages: Int[Tensor, "mazes passages 2"], cells: int
) -> Int[Tensor, "mazes cells"]:
    """Count the open passages of each cell."""
    degrees = torch.zeros(len(passages), cells, dtype=torch.int64, device=passages.device)
    for ends in passages.unbind(-1):
        degrees = degrees.scatter_add(1, ends, is_open.to(torch.int64))
    return degrees


def _way(
    passages: Int[Tensor, "mazes passages 2"], is_end: Bool[Tensor, "mazes cells"]
) -> Bool[Tensor, "mazes cells"]:
    """Close dead ends until the ways alone are left."""
    on = torch.ones_like(is_end)
    while True:
        is_open = on.gather(1, passages[..., 0]) & on.gather(1, passages[..., 1])
        left = on & (is_end | (_degrees(is_open, passages, is_end.shape[1]) > 1))
        if torch.equal(left, on):
            return on
        on = left
