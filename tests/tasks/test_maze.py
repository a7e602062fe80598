"""Mazes: trees of passages, whose ways are found and checked independently."""

import networkx
import pytest
import torch

from irem_core import load_task
from irem_core.problems import graphs


def sample(count, difficulty="same", seed=0):
    return load_task("maze").sample(
        count, difficulty, generator=torch.Generator().manual_seed(seed)
    )


def trees_of(problem):
    """Yield each maze as a graph of networkx, with its two ends."""
    columns = graphs.take_apart(problem.x)
    links = columns["passage member entry edge_index"]
    entries = columns["entry x"]
    for pairs, cells in zip(
        links.values[:, 1].split(links.lengths.tolist()),
        entries.values.split(entries.lengths.tolist()),
        strict=True,
    ):
        yield networkx.Graph(pairs.view(-1, 2).tolist()), cells


@pytest.mark.parametrize(("difficulty", "size"), [("same", 9), ("size=2", 2), ("size=5", 5)])
def test_passages_are_spanning_trees_of_the_grid_and_answers_their_ways(difficulty, size):
    problem, y = sample(6, difficulty)
    for (tree, cells), way in zip(trees_of(problem), y.view(6, -1), strict=True):
        assert networkx.is_tree(tree)
        assert set(tree) == set(range(size**2))
        assert all(abs(a - b) in (1, size) for a, b in tree.edges)
        start, goal = (cells[:, 0] > 0).nonzero()[:, 0].tolist()
        assert networkx.shortest_path(tree, start, goal) == path_of(tree, way, start)
        assert [4 * float(each) for each in cells[:, 1]] == [
            tree.degree(n) for n in range(len(cells))
        ]


def path_of(tree, way, start):
    return list(networkx.dfs_preorder_nodes(tree.subgraph(way.nonzero()[:, 0].tolist()), start))


def test_a_way_is_verified_and_every_other_set_of_cells_is_not():
    problem, y = sample(40, "size=3")
    assert problem.verified(0.2 + 0.6 * y).all()
    cells = torch.tensor([[n >> k & 1 for k in range(9)] for n in range(512)]).float()
    one, right = sample(1, "size=3", seed=5)
    found = [bool(one.verified(each[:, None])) for each in cells]
    assert cells[found.index(True)].equal(right[:, 0])
    assert sum(found) == 1


def test_mazes_are_drawn_with_walls_where_there_is_no_passage():
    problem, y = sample(3, "size=4")
    (tree, cells), way = list(trees_of(problem))[1], y.view(3, -1)[1]
    lines = str(load_task("maze").picture(problem, y, number=1)).splitlines()
    assert len(lines) == 9
    rows, borders = lines[1::2], lines[2::2]
    for cell in range(16):
        row, column = divmod(cell, 4)
        mark = "o" if cells[cell, 0] else "*" if way[cell] else " "
        assert rows[row][4 * column + 2] == mark
        if column < 3:
            assert (rows[row][4 * column + 4] == " ") == tree.has_edge(cell, cell + 1)
        if row < 3:
            assert (borders[row][4 * column + 2] == " ") == tree.has_edge(cell, cell + 4)


def test_draws_are_of_the_generator_alone():
    first, second, other = sample(3), sample(3), sample(3, seed=1)
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[1], other[1])
