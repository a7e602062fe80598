"""Batches of graphs taken apart and put together, against torch-geometric's own batches."""

from itertools import chain, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data
from torch_geometric.utils import add_self_loops, sort_edge_index

from irem_core import EdgeSpace, Problem, ShapeError, VectorSpace, graphs
from irem_core.problems.graphs import Column

# Nodes, edges, and pairs whose answers are wanted.
SHAPES = st.lists(
    st.tuples(st.integers(1, 5), st.integers(0, 6), st.integers(1, 4)), min_size=1, max_size=6
)
NODES = st.lists(st.integers(1, 6), min_size=1, max_size=6)


def random_graphs(shapes, seed=0):
    """Make graphs that have a tensor of every kind, all with entries of their own."""
    generator = torch.Generator().manual_seed(seed)

    def pairs(nodes, count):
        return torch.randint(nodes, (2, count), generator=generator)

    return [
        Data(
            x=torch.rand(nodes, 2, generator=generator),
            edge_index=pairs(nodes, edges),
            edge_attr=torch.rand(edges, 3, generator=generator),
            pair_index=pairs(nodes, wanted),
            level=torch.rand(1, 2, generator=generator),
            number=torch.randint(100, (1,), generator=generator),
            landmark_index=torch.randint(nodes, (2,), generator=generator),
            face=torch.randint(nodes, (3, wanted), generator=generator),
        )
        for nodes, edges, wanted in shapes
    ]


def assert_same(found, expected):
    """Two batches are the same, seen as one large graph and as many."""
    assert found.num_graphs == expected.num_graphs
    pairs = zip(found.to_data_list(), expected.to_data_list(), strict=True)
    for one, other in [(found, expected), *pairs]:
        assert one.num_nodes == other.num_nodes
        # The number of nodes may be noted or not.
        held, wanted = (
            {name: values for name, values in each.to_dict().items() if "num_nodes" not in name}
            for each in (one, other)
        )
        assert set(held) == set(wanted)
        for name, values in wanted.items():
            assert torch.equal(held[name], values), name


@settings(max_examples=25, deadline=None)
@given(shapes=SHAPES)
def test_a_batch_taken_apart_is_put_together_again(shapes):
    batch = Batch.from_data_list(random_graphs(shapes))
    columns = graphs.take_apart(batch)

    assert_same(graphs.assemble(columns), batch)
    assert columns["num_nodes"].values.tolist() == [nodes for nodes, _, _ in shapes]
    assert columns["edge_index"].lengths.tolist() == [edges for _, edges, _ in shapes]
    assert columns["pair_index"].lengths.tolist() == [wanted for _, _, wanted in shapes]
    # In each graph by itself nodes are numbered from 0.
    own = columns["edge_index"].values.split(columns["edge_index"].lengths.tolist())
    for part, data in zip(own, batch.to_data_list(), strict=True):
        assert torch.equal(part.T, data.edge_index)


@settings(max_examples=25, deadline=None)
@given(shapes=SHAPES, data=st.data())
def test_graphs_are_selected_in_any_order_and_with_repetitions(shapes, data):
    kept = data.draw(st.lists(st.integers(0, len(shapes) - 1), min_size=1, max_size=8))
    singles = random_graphs(shapes)
    found = graphs.select(Batch.from_data_list(singles), torch.tensor(kept))

    assert_same(found, Batch.from_data_list([singles[index] for index in kept]))
    # Once more, from a batch that torch-geometric has not made.
    again = graphs.select(found, torch.tensor([len(kept) - 1, 0]))
    assert_same(again, Batch.from_data_list([singles[kept[-1]], singles[kept[0]]]))
    assert torch.equal(found.get_example(0).level, singles[kept[0]].level)


def test_one_entry_a_graph_is_told_from_as_many_edges():
    # Three graphs with three edges in all, none with exactly one.
    singles = random_graphs([(2, 0, 1), (3, 3, 1), (2, 0, 1)])
    found = graphs.select(Batch.from_data_list(singles), torch.tensor([1, 0]))

    assert_same(found, Batch.from_data_list([singles[1], singles[0]]))


@settings(max_examples=25, deadline=None)
@given(nodes=NODES)
def test_complete_graphs_are_those_with_all_edges_in_the_order_of_a_matrix(nodes):
    values = torch.rand(sum(n * n for n in nodes), 2)
    parts = values.split([n * n for n in nodes])
    singles = [
        Data(
            x=torch.zeros(n, 1),
            edge_index=torch.tensor(list(product(range(n), repeat=2))).T,
            edge_attr=part,
        )
        for n, part in zip(nodes, parts, strict=True)
    ]
    batch = Batch.from_data_list(singles)

    assert_same(graphs.complete(torch.tensor(nodes), values), batch)
    assert torch.equal(graphs.complete_edges(torch.tensor(nodes)), batch.edge_index)


@settings(max_examples=25, deadline=None)
@given(nodes=NODES)
def test_matrices_hold_each_graphs_values_in_their_corner(nodes):
    values = torch.arange(1.0, 1 + sum(n * n for n in nodes))
    found = graphs.to_matrices(values, torch.tensor(nodes), -1.0)

    first = 0
    assert found.shape == (len(nodes), max(nodes), max(nodes))
    for matrix, n in zip(found, nodes, strict=True):
        for i, j in product(range(max(nodes)), repeat=2):
            inside = i < n and j < n
            assert matrix[i, j] == (values[first + i * n + j] if inside else -1)
        first += n * n
    assert torch.equal(graphs.from_matrices(found, torch.tensor(nodes)), values)


@settings(max_examples=50, deadline=None)
@given(counts=st.lists(st.integers(0, 4), min_size=1), data=st.data())
def test_columns_are_lists_of_entries(counts, data):
    other = data.draw(st.lists(st.integers(0, 4), min_size=1))
    kept = data.draw(st.lists(st.integers(0, len(counts) - 1)))

    def lists(counts, start=0):
        return [[start + 10 * n + each for each in range(count)] for n, count in enumerate(counts)]

    def column(lists):
        lengths = torch.tensor([len(each) for each in lists])
        return Column(torch.tensor(list(chain(*lists)), dtype=torch.int64), lengths)

    def entries(column):
        return [part.tolist() for part in column.values.split(column.lengths.tolist())]

    own, appended = lists(counts), lists(other, 1000)
    chosen = column(own).select(torch.tensor(kept, dtype=torch.int64))
    assert entries(chosen) == [own[index] for index in kept]
    assert entries(column(own).joined(column(appended))) == own + appended
    numbered = graphs.within(torch.tensor(counts)).tolist()
    assert numbered == [entry for count in counts for entry in range(count)]
    # A column without counts has one entry a problem, and joins those that have counts.
    plain = Column(torch.arange(len(counts)))
    assert plain.lengths.tolist() == [1] * len(counts)
    assert plain.select(torch.tensor(kept, dtype=torch.int64)).values.tolist() == kept
    assert plain.joined(plain).counts is None
    assert entries(plain.joined(column(own))) == [[n] for n in range(len(counts))] + own
    assert entries(column(own).joined(plain)) == own + [[n] for n in range(len(counts))]


def test_answers_belong_to_edges_or_to_the_pairs_that_are_wanted():
    batch = Batch.from_data_list(random_graphs([(2, 3, 1), (4, 1, 2), (1, 2, 3)]))
    assert graphs.owner(batch).tolist() == [0, 1, 1, 2, 2, 2]
    assert Problem(batch).layout.count == 3
    assert Problem(batch, EdgeSpace()).layout.rows == 6
    del batch.pair_index
    assert graphs.owner(batch).tolist() == [0, 0, 0, 1, 2, 2]
    assert Problem(batch).layout.owner.tolist() == [0, 0, 0, 1, 2, 2]
    # An answer of a graph as a whole is one row.
    assert Problem(batch, VectorSpace(2)).layout.owner is None
    assert Problem(batch, VectorSpace(2)).layout.rows == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_graph_of_one_node_is_a_problem_of_one_answer(dtype):
    problem = Problem(graphs.complete(torch.tensor([1]), torch.ones(1, 1, dtype=dtype)))

    assert problem.layout.owner.tolist() == [0]
    assert problem.dtype == dtype
    assert problem.x.edge_index.tolist() == [[0], [0]]
    assert_same(graphs.select(problem.x, torch.tensor([0])), problem.x)


EDGE = Data(x=torch.zeros(1, 1), edge_index=torch.zeros(2, 1, dtype=torch.int64))
EDGELESS = Data(x=torch.zeros(3, 1), edge_index=torch.zeros(2, 0, dtype=torch.int64))
WITHOUT_EDGES = {
    "no list of edges": [Data(x=torch.zeros(2, 1))],
    "an empty list of edges": [EDGE, EDGE, EDGELESS, EDGE],
}


@pytest.mark.parametrize("name", WITHOUT_EDGES)
def test_a_graph_without_edges_is_named(name):
    singles = WITHOUT_EDGES[name]
    number = 0 if len(singles) == 1 else 2
    with pytest.raises(ShapeError, match=f"Graph {number} of the batch has no edge.*pair_index"):
        Problem(Batch.from_data_list(singles))


def test_edges_that_are_not_sorted_by_graph_are_refused():
    batch = Batch.from_data_list(random_graphs([(3, 2, 1), (2, 2, 1)]))
    del batch.pair_index
    # Loops of all graphs are put behind the edges of all graphs.
    batch.edge_index, batch.edge_attr = add_self_loops(batch.edge_index, batch.edge_attr)
    with pytest.raises(ShapeError, match=r"not sorted by graph.*sort_edge_index"):
        Problem(batch)
    batch.edge_index, batch.edge_attr = sort_edge_index(batch.edge_index, batch.edge_attr)
    assert Problem(batch).layout.owner.tolist() == [0] * 5 + [1] * 4


def test_a_single_graph_is_told_to_be_wrapped():
    (single,) = random_graphs([(2, 3, 1)])
    with pytest.raises(ShapeError, match=r"a single graph, a Data; .*from_data_list\(\[graph\]\)"):
        Problem(single)


@pytest.mark.parametrize("shape", [(), (5, 2)])
def test_a_tensor_of_neither_nodes_edges_nor_graphs_is_refused(shape):
    batch = graphs.complete(torch.tensor([2, 2]), torch.rand(8, 1))
    batch.odd = torch.zeros(shape)
    with pytest.raises(ShapeError, match=r"odd of shape .*4 \(nodes\), 8 .* or 2 \(graphs\)"):
        graphs.select(batch, torch.tensor([0]))
