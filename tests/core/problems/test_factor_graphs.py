"""Factor graphs: built, taken apart, put together and checked as torch-geometric would."""

import pytest
import torch
from torch_geometric.data import Batch, HeteroData

from irem_core import (
    EntrySpace,
    FactorEnergy,
    FactorSpace,
    Layout,
    Problem,
    ShapeError,
    factor_graphs,
    graphs,
)
from irem_core.problems import trees

SPACE = FactorSpace(2, kinds={"pair": 1, "clause": 0}, roles={"clause": ("positive", "negative")})


def graph(entries, pairs, positive, negative, seed=0):
    """Make one factor graph by hand: pairs of entries, and clauses by their two roles."""
    generator = torch.Generator().manual_seed(seed)
    made = HeteroData()
    made["entry"].x = torch.rand(entries, 2, generator=generator)
    made["pair"].x = torch.rand(len(pairs), 1, generator=generator)
    made["clause"].num_nodes = len(positive)
    links = [(f, e) for f, pair in enumerate(pairs) for e in pair]
    made["pair", "member", "entry"].edge_index = (
        torch.tensor(links, dtype=torch.int64).reshape(-1, 2).T
    )
    for role, clauses in (("positive", positive), ("negative", negative)):
        links = [(f, e) for f, clause in enumerate(clauses) for e in clause]
        index = torch.tensor(links, dtype=torch.int64).reshape(-1, 2).T
        made["clause", role, "entry"].edge_index = index
    return made


SMALL = graph(3, [(0, 1), (1, 2)], [(0, 2)], [(1,)])
LARGE = graph(5, [(4, 0), (1, 3)], [(0,), (), (2, 3)], [(1, 2), (4,), ()], seed=1)
BATCH = Batch.from_data_list([SMALL, LARGE, SMALL])


def same(first, second):
    """Assert that two batches hold the same, in the same types of nodes and edges."""
    assert first.num_graphs == second.num_graphs
    assert first.num_nodes_dict == second.num_nodes_dict
    for key in (*first.node_types, *first.edge_types):
        # torch-geometric notes the number of nodes only where nothing else says it.
        held, other = (
            {name: value for name, value in each[key].items() if name != "num_nodes"}
            for each in (first, second)
        )
        assert held.keys() == other.keys()
        assert all(torch.equal(value, other[name]) for name, value in held.items())


def test_batches_come_apart_and_together_as_torch_geometric_makes_them():
    same(graphs.assemble(graphs.take_apart(BATCH)), BATCH)
    assert torch.equal(graphs.assemble(graphs.take_apart(BATCH))[1]["pair"].x, LARGE["pair"].x)
    chosen = graphs.select(BATCH, torch.tensor([1, 0, 1]))
    same(chosen, Batch.from_data_list([LARGE, SMALL, LARGE]))


def test_problems_are_selected_and_joined_with_their_rows():
    problem = Problem(BATCH, EntrySpace())
    assert problem.layout.owner.tolist() == [0] * 3 + [1] * 5 + [2] * 3
    part = trees.select(problem, problem.layout, torch.tensor([1, 2]))
    same(part.x, Batch.from_data_list([LARGE, SMALL]))
    joined, layout = trees.join(part, part.layout, problem, problem.layout)
    same(joined.x, Batch.from_data_list([LARGE, SMALL, SMALL, LARGE, SMALL]))
    assert layout.count == 5
    assert torch.equal(layout.owner, joined.x["entry"].batch)


def test_padded_lists_make_the_same_graphs_as_by_hand():
    features = graphs.Column(torch.cat([SMALL["entry"].x, LARGE["entry"].x]), torch.tensor([3, 5]))
    none = -1
    built = factor_graphs.build(
        features,
        {
            "pair": torch.tensor([[[0, 1], [1, 2]], [[4, 0], [1, 3]]]),
            "clause": {
                "positive": torch.tensor(
                    [
                        [[0, 2], [none, none], [none, none]],
                        [[0, none], [none, none], [2, 3]],
                    ]
                ),
                "negative": torch.tensor(
                    [
                        [[1, none], [none, none], [none, none]],
                        [[1, 2], [4, none], [none, none]],
                    ]
                ),
            },
        },
        factor_features={"pair": torch.stack([SMALL["pair"].x, LARGE["pair"].x])},
    )
    same(built, Batch.from_data_list([SMALL, LARGE]))
    SPACE.check_graphs("Test", built, torch.zeros(()))


def test_lists_without_problems_are_shared_by_all():
    features, pairs = torch.rand(3, 4, 1), torch.tensor([[0, 1], [2, 3]])
    shared = factor_graphs.build(features, {"pair": pairs})
    same(shared, factor_graphs.build(features, {"pair": pairs.expand(3, 2, 2)}))


def test_a_problem_without_entries_is_refused():
    empty = graph(0, [], [], [])
    with pytest.raises(ShapeError, match="Problem 1 of the batch has no entry"):
        Problem(Batch.from_data_list([SMALL, empty]), EntrySpace())


def changed(change):
    made = LARGE.clone()
    change(made)
    return Batch.from_data_list([LARGE, made])


def without_links(made):
    made["pair", "member", "entry"].edge_index = torch.tensor([[1, 1], [1, 3]])


def lone(made):
    made["entry"].x = torch.rand(6, 2)


def twice(made):
    made["clause", "negative", "entry"].edge_index = torch.tensor([[0, 1, 2], [1, 4, 3]])


def unknown(made):
    made["triple"].num_nodes = 1


def other_role(made):
    made["pair", "left", "entry"].edge_index = torch.tensor([[0], [1]])


def wide(made):
    made["pair"].x = torch.rand(2, 3)


def bare(made):
    del made["pair"].x
    made["pair"].num_nodes = 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_links, "a problem 1 whose pair 0 joins no entries"),
        (lone, "a problem 1 whose entry 5 belongs to no factor"),
        (twice, "a problem 1 whose clause 2 names the entry 3 twice"),
    ],
)
def test_what_is_linked_to_nothing_or_twice_is_refused(change, said):
    batch = changed(change)
    with pytest.raises(ShapeError, match=said):
        SPACE.check_graphs("Test", batch, torch.zeros(()))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (unknown, "the kind 'triple'"),
        (other_role, r"links of \('pair', 'left', 'entry'\)"),
        (wide, r"'pair' nodes with features x of shape \(2, 3\); expected \(2, 1\)"),
        (bare, r"'pair' nodes with features x of shape \(2, 0\)"),
    ],
)
def test_kinds_roles_and_widths_that_were_not_trained_are_refused(change, said):
    made = LARGE.clone()
    change(made)
    with pytest.raises(ShapeError, match=said):
        SPACE.check_graphs("Test", Batch.from_data_list([made]), torch.zeros(()))


def test_features_of_another_type_than_the_weights_are_refused():
    with pytest.raises(ShapeError, match=r"features of torch.float32 on cpu and has weights of"):
        SPACE.check_graphs("Test", BATCH, torch.zeros((), dtype=torch.float64))


def test_what_is_no_factor_graph_is_refused():
    with pytest.raises(ShapeError, match="x of type Tensor; expected a batch of factor graphs"):
        SPACE.check_graphs("Test", torch.zeros(3), torch.zeros(()))
    assert not factor_graphs.is_one(Layout(3))


def test_single_factors_are_drawn_with_their_own_entries():
    generator = torch.Generator().manual_seed(0)
    kinds, members = [], []
    for _ in range(200):
        drawn, rows = factor_graphs.single(BATCH, generator)
        SPACE.check_graphs("A test", drawn)
        assert torch.equal(drawn["entry"].x, BATCH["entry"].x[rows])
        assert drawn["pair"].ptr.diff().tolist() == [
            1 - each for each in drawn["clause"].ptr.diff().tolist()
        ]
        # Of the second problem.
        one = factor_graphs.take_apart(drawn)
        kinds.append(int(one["pair num_nodes"].values[1]))
        own = rows[drawn["entry"].batch == 1] - 3
        if kinds[-1]:
            members.append(tuple(own.tolist()))
            feature = drawn["pair"].x[drawn["pair"].batch == 1]
            assert feature == LARGE["pair"].x[0 if members[-1] == (0, 4) else 1]
        else:
            assert tuple(own.tolist()) in {(0, 1, 2), (4,), (2, 3)}
    assert 70 < sum(kinds) < 130
    assert set(members) == {(0, 4), (1, 3)}
    assert 25 < members.count((0, 4)) < len(members) - 25


def test_single_factors_need_factors():
    bare = HeteroData()
    bare["entry"].x, bare["pair"].x = torch.rand(3, 2), torch.rand(0, 1)
    bare["pair", "member", "entry"].edge_index = torch.zeros(2, 0, dtype=torch.int64)
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(ShapeError, match="Problem 0 of the batch has no factor"):
        factor_graphs.single(Batch.from_data_list([bare]), generator)
    with pytest.raises(ShapeError, match="got a Tensor"):
        factor_graphs.single(torch.zeros(3), generator)


def test_energies_of_single_factors_add_up_to_those_of_whole_problems():
    energy = FactorEnergy(SPACE, EntrySpace(), width=4, rounds=0)
    y = torch.rand(11, 1, generator=torch.Generator().manual_seed(0))
    whole = energy(Problem(BATCH), y).tolist()
    found = {0: {}, 1: {}, 2: {}}
    generator = torch.Generator().manual_seed(1)
    for _ in range(200):
        drawn, rows = factor_graphs.single(BATCH, generator)
        values = energy(Problem(drawn), y[rows])
        for problem, value in enumerate(values.tolist()):
            found[problem][round(value, 5)] = value
    for problem, values in found.items():
        assert sum(values.values()) == pytest.approx(whole[problem], rel=1e-4)
