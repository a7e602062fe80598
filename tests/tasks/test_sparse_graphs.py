"""Tasks on sparse graphs: their distributions, oracles and bad input."""

from itertools import product
from math import comb

import networkx as nx
import pytest
import torch
from scipy.stats import binom
from torch_geometric.data import Batch, Data

from irem_core import EdgeSpace, NonFiniteError, Problem, SettingError, UnknownNameError
from irem_tasks.sparse_graphs import SparseComponents, SparseShortestPath

KINDS = [SparseComponents, SparseShortestPath]


def sample(task, difficulty="train", count=100, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return task.sample(count, difficulty, generator=generator)


def singles(problem, y):
    """Yield each graph with the answers to its pairs."""
    for index, graph in enumerate(problem.x.to_data_list()):
        yield graph, y[problem.layout.owner == index, 0].tolist()


def in_networkx(graph):
    found = nx.Graph()
    found.add_nodes_from(range(graph.num_nodes))
    lengths = graph.edge_attr[:, 0].tolist()
    ends = graph.edge_index.T.tolist()
    found.add_weighted_edges_from((*end, length) for end, length in zip(ends, lengths, strict=True))
    return found


DRAWN = [
    *((kind, "train", 2000) for kind in KINDS),
    *product(KINDS, ["same", "harder"], [100]),
    (SparseComponents, "nodes=2,groups=9,pairs=3", 50),
    (SparseComponents, "nodes=5..9,groups=1,pairs=1", 50),
    (SparseShortestPath, "nodes=2..4,pairs=5", 50),
]


@pytest.mark.parametrize(("kind", "difficulty", "count"), DRAWN)
def test_the_oracle_agrees_with_the_answers(kind, difficulty, count):
    problem, y = sample(kind(), difficulty, count)

    problem.answer.check("y", y, problem.layout.rows)
    assert problem.layout.count == count
    # Distances are sums of some ten lengths below 1, rounded to float32 after each.
    torch.testing.assert_close(kind().oracle(problem), y, rtol=0, atol=2e-6)


@pytest.mark.parametrize("difficulty", ["same", "nodes=20..30"])
def test_networkx_finds_the_same_distances_in_connected_graphs(difficulty):
    for graph, found in singles(*sample(SparseShortestPath(), difficulty, 8)):
        other = in_networkx(graph)
        assert nx.is_connected(other)
        expected = [nx.dijkstra_path_length(other, *pair) for pair in graph.pair_index.T.tolist()]
        assert found == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("difficulty", ["same", "nodes=20..30"])
def test_networkx_finds_the_same_components(difficulty):
    for graph, found in singles(*sample(SparseComponents(), difficulty, 8)):
        other = in_networkx(graph)
        assert (graph.edge_attr == 1).all()
        expected = [nx.has_path(other, *pair) for pair in graph.pair_index.T.tolist()]
        assert found == expected
        assert 0 < sum(found) < len(found)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("difficulty", ["train", "nodes=3..4"])
def test_edges_go_both_ways_without_loops_and_repetitions(kind, difficulty):
    problem, _ = sample(kind(), difficulty, 50)
    source, target = problem.x.edge_index
    lengths = {
        edge: length
        for edge, length in zip(
            zip(source.tolist(), target.tolist(), strict=True),
            problem.x.edge_attr[:, 0].tolist(),
            strict=True,
        )
    }
    assert len(lengths) == problem.x.num_edges
    assert (source != target).all()
    assert all(lengths[j, i] == length for (i, j), length in lengths.items())
    assert torch.equal(problem.x.batch[source], problem.x.batch[target])


def edges_of_shortest_path(nodes):
    """The expected number of edges: the tree's, and those that n random pairs add."""
    missed = (1 - 2 / nodes**2) ** nodes
    # Node j has each of the j earlier ones with probability 1 / j as its neighbour in the tree.
    return sum(j * (1 - (1 - 1 / j) * missed) for j in range(1, nodes))


def edges_of_components(nodes, groups=4):
    """The expected number of edges: both ends of a pair draw two partners in their group."""
    sizes = range(2, nodes + 1)
    each = sum(binom.pmf(m, nodes, 1 / groups) * comb(m, 2) * (1 - (1 - 1 / m) ** 4) for m in sizes)
    return groups * each


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(SparseShortestPath, edges_of_shortest_path), (SparseComponents, edges_of_components)],
)
@pytest.mark.parametrize(
    ("difficulty", "nodes"), [("same", 200), ("harder", 400), ("nodes=10", 10)]
)
def test_the_average_degree_is_4_but_for_what_is_dropped(kind, expected, difficulty, nodes):
    problem, _ = sample(kind(), difficulty, 100)
    degree = problem.x.num_edges / problem.x.num_nodes

    assert problem.x.ptr.diff().tolist() == [nodes] * 100
    # The standard error is below 0.5%, and 2% for the smallest graphs.
    assert degree == pytest.approx(2 * expected(nodes) / nodes, rel=0.06 if nodes == 10 else 0.015)
    if nodes > 10:
        assert 3.75 < degree < 4


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_are_16_nodes_as_seen_from_each_of_4(kind):
    problem, y = sample(kind(), "train", 600)
    sizes, owner = problem.x.ptr.diff(), problem.layout.owner
    own = (problem.x.pair_index - problem.x.ptr[owner]).reshape(2, 600, 16, 4)

    assert torch.bincount(owner).tolist() == [64] * 600
    assert problem.answer == EdgeSpace()
    assert y.shape == (600 * 64, 1)
    source, seen = own / sizes[:, None, None]
    assert (own[0] == own[0, :, :1]).all()
    # Uniform over the nodes; standard errors: 0.006 of sources and 0.0015 of the others.
    assert source[:, 0].mean() == pytest.approx(0.5, abs=0.02)
    assert seen.mean() == pytest.approx(0.5, abs=0.01)
    assert source[:, 0].var() == pytest.approx(1 / 12, abs=0.005)
    assert seen.var() == pytest.approx(1 / 12, abs=0.002)
    # Sizes are uniform on 100..200, with a standard error of the mean of 1.2.
    assert sizes.double().mean() == pytest.approx(150, abs=5)
    assert 100 <= sizes.min() < 105
    assert 195 < sizes.max() <= 200


def test_lengths_are_uniform():
    lengths = sample(SparseShortestPath())[0].x.edge_attr[:, 0]

    # Standard errors from 28,000 draws: 0.003 at most.
    for bound in (0.25, 0.5, 0.75):
        assert (lengths < bound).double().mean() == pytest.approx(bound, abs=0.012)
    assert lengths.min() >= 0
    assert 0.999 < lengths.max() < 1


def test_a_pair_is_joined_where_both_nodes_are_in_one_of_the_groups():
    # Of n nodes in 4 groups: they are one node, or fall into one group.
    share = 1 / 200 + (1 - 1 / 200) / 4
    _, y = sample(SparseComponents(), "same", 1000)

    # The standard error, of 4 sources a graph, is below 0.005.
    assert y.mean() == pytest.approx(share, abs=0.015)
    floor = SparseComponents().floor("same")
    assert floor.constant == pytest.approx(share * (1 - share), rel=0.03)
    assert floor.entrywise is None


def test_an_answer_is_accurate_where_it_rounds_to_the_right_side():
    problem, _ = sample(SparseComponents(), "nodes=9,pairs=4", 2)
    y = torch.tensor([0.4, 1.2, 0.6, 0.9, -3.0, 0.2, 0.0, 0.1])[:, None]
    target = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0])[:, None]

    (accuracy,) = SparseComponents().measures(problem, y, target).values()
    assert accuracy.tolist() == [0.5, 1.0]
    assert SparseShortestPath().measures(problem, y, target) == {}


def own_graphs(*lengths, pairs=((0, 2), (2, 0), (1, 1))):
    """Make graphs of a user's own: 0 - 1 - 2 one way, with 3 apart, of such lengths."""
    return Problem(
        Batch.from_data_list(
            [
                Data(
                    edge_index=torch.tensor([[0, 1, 2], [1, 2, 0]]),
                    edge_attr=torch.tensor(each)[:, None],
                    pair_index=torch.tensor(pairs).T,
                    num_nodes=4,
                )
                for each in lengths
            ]
        ),
        EdgeSpace(),
    )


def test_graphs_of_ones_own_are_solved():
    problem = own_graphs([0.5, 0.25, 2.0], [0.0, 0.0, 0.0])

    assert SparseShortestPath().oracle(problem)[:, 0].tolist() == [0.75, 2.0, 0, 0, 0, 0]
    assert SparseShortestPath().classical(problem)[:, 0].tolist() == [0.75, 2.0, 0, 0, 0, 0]
    ones = own_graphs([1.0, 1.0, 1.0], pairs=((0, 2), (3, 0), (3, 3)))
    assert SparseComponents().oracle(ones)[:, 0].tolist() == [1, 0, 1]


BAD = [
    (
        own_graphs([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], pairs=((0, 2), (1, 3))),
        "from node 1 to node 3 of graph 0, so their distance is infinite",
    ),
    (own_graphs([1.0] * 3, [1.0, -2.0, 1.0]), "from node 1 to node 2 of graph 1 has the length -2"),
    (own_graphs([1.0, 1.0, torch.nan]), "from node 2 to node 0 of graph 0 has the length nan"),
    (
        own_graphs([1.0] * 3, [1.0, torch.inf, 1.0]),
        "from node 0 to node 2 of graph 1, so their distance is infinite",
    ),
]


@pytest.mark.parametrize(("problem", "message"), BAD)
def test_pairs_without_a_finite_distance_are_named(problem, message):
    with pytest.raises(NonFiniteError, match=message):
        SparseShortestPath().oracle(problem)


@pytest.mark.parametrize(
    ("kind", "text", "error", "message"),
    [
        *((kind, "nodes=1", SettingError, "nodes got 1; expected at least 2") for kind in KINDS),
        *((kind, "pairs=0", SettingError, "pairs got 0; expected a whole num") for kind in KINDS),
        (SparseComponents, "groups=0", SettingError, "groups got 0; expected a whole number"),
        (SparseShortestPath, "groups=2", UnknownNameError, "names the parameter 'groups'"),
        (SparseShortestPath, "pairs=2..5", SettingError, r"pairs got '2\.\.5'; expected a whole"),
    ],
)
def test_a_bad_difficulty_is_explained(kind, text, error, message):
    with pytest.raises(error, match=message):
        sample(kind(), text)


@pytest.mark.parametrize("kind", KINDS)
def test_every_node_may_be_asked_about_as_seen_from_4(kind):
    task = kind(every=True)
    problem, y = sample(task, "nodes=5..9", 50)
    sizes = problem.x.ptr.diff()

    assert torch.bincount(problem.layout.owner).tolist() == (4 * sizes).tolist()
    for graph, _ in singles(problem, y):
        source, seen = graph.pair_index.reshape(2, 4, graph.num_nodes)
        assert (source == source[:, :1]).all()
        assert seen.tolist() == [list(range(graph.num_nodes))] * 4
    torch.testing.assert_close(task.oracle(problem), y, rtol=0, atol=2e-6)
    assert task.preferred == "sparse-pairwise"
    assert kind().preferred is None
    with pytest.raises(UnknownNameError, match="names the parameter 'pairs'"):
        sample(task, "pairs=5")
