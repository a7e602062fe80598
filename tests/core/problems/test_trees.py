"""The operations on contexts and states."""

import attrs
import pytest
import torch

from irem_core import EdgeSpace, EnergyFn, GradientDescent, Layout, Problem, minimize
from irem_core.problems import trees
from irem_core.problems.graphs import Column


@attrs.frozen(eq=False)
class State:
    rows: torch.Tensor
    counter: torch.Tensor
    inner: object
    note: str = "kept"


RAGGED = Layout.of_owner(torch.tensor([0, 0, 1, 2, 2, 2]))
CHOSEN = torch.tensor([0, 2])


def tree(offset=0.0):
    rows = torch.arange(6.0) + offset
    problems = torch.arange(3.0) + offset
    return State(rows, problems, (problems[:, None].clone(), {"rows": [rows[:, None] * 2]}, RAGGED))


def test_select_takes_rows_and_problems_through_every_kind_of_branch():
    kept = trees.select(tree(), RAGGED, CHOSEN)

    assert kept.rows.tolist() == [0, 1, 3, 4, 5]
    assert kept.counter.tolist() == [0, 2]
    assert kept.inner[0].tolist() == [[0], [2]]
    assert kept.inner[1]["rows"][0].flatten().tolist() == [0, 2, 6, 8, 10]
    assert kept.inner[2].owner.tolist() == [0, 0, 1, 1, 1]
    assert kept.note == "kept"


def test_put_writes_back_what_select_took():
    whole, part = tree(), trees.select(tree(10.0), RAGGED, CHOSEN)
    trees.put(whole, RAGGED, CHOSEN, part)

    assert whole.rows.tolist() == [10, 11, 2, 13, 14, 15]
    assert whole.counter.tolist() == [10, 1, 12]
    assert whole.inner[1]["rows"][0].flatten().tolist() == [20, 22, 4, 26, 28, 30]


def test_where_decides_for_each_problem():
    mixed = trees.where(torch.tensor([True, False, True]), RAGGED, tree(10.0), tree())

    assert mixed.rows.tolist() == [10, 11, 2, 13, 14, 15]
    assert mixed.counter.tolist() == [10, 1, 12]
    assert mixed.inner[0].flatten().tolist() == [10, 1, 12]


def test_where_lets_no_nan_through():
    bad = torch.full((3, 2), torch.nan)
    kept = trees.where(torch.tensor([False, False, True]), Layout(3), bad, torch.zeros(3, 2))

    assert kept.isnan().tolist() == [[False] * 2, [False] * 2, [True] * 2]


def test_detach_cuts_every_tensor():
    leaf = torch.ones(3, requires_grad=True)
    cut = trees.detach(State(leaf * 1, leaf * 2, (leaf * 3, None)))

    assert [tensor.requires_grad for tensor in trees.tensors(cut)] == [False] * 3
    assert leaf.requires_grad


def test_fill_rebuilds_around_listed_tensors():
    layout = Layout(3)
    listed = trees.columns(tree(), layout)
    rebuilt = trees.fill(tree(), [Column(each.values + 1) for each in listed], layout)

    expected = [(each.values + 1).tolist() for each in listed]
    assert [each.tolist() for each in trees.tensors(rebuilt)] == expected
    assert rebuilt.inner[2].owner is None


@pytest.mark.parametrize("shape", [(), (4,), (1, 3)])
def test_a_tensor_that_leads_with_something_else_is_refused(shape):
    with pytest.raises(ValueError, match=r"3 \(problems\) or 6 \(answer rows\)"):
        trees.select((torch.zeros(shape),), RAGGED, CHOSEN)


class GraphQuadratic(EnergyFn):
    """E = sum y^2 / 2 - y * feature, times a rate of each graph's own; x is a Batch."""

    def energy(self, context, y):
        graph = context.batch[context.edge_index[0]]
        per_edge = context.x[graph, 0] * (y.square() / 2 - y * context.edge_attr).sum(1)
        return y.new_zeros(context.num_graphs).index_add(0, graph, per_edge)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_torch_geometric_batches_are_contexts(mode):
    from torch_geometric.data import Batch, Data

    def graph(nodes, seed):
        pairs = torch.cartesian_prod(torch.arange(nodes), torch.arange(nodes)).T
        features = torch.randn(nodes**2, 1, generator=torch.Generator().manual_seed(seed))
        return Data(x=torch.zeros(nodes, 1), edge_index=pairs, edge_attr=features)

    with mode():
        sizes = [2, 1, 3, 2, 4, 2, 3, 1, 2, 3, 2, 2]
        batch = Batch.from_data_list([graph(nodes, nodes) for nodes in sizes])
        # Graph g converges at a rate of its own, so that graphs leave the batch one by one.
        batch.x[: len(sizes), 0] = torch.linspace(0.3, 1.0, len(sizes))
        owner = batch.batch[batch.edge_index[0]]
        problem = Problem(batch, EdgeSpace(1), owner=owner)
        solution = minimize(GraphQuadratic(), problem, descent=GradientDescent(step_size=1.0))

    solution.check()
    assert len(solution.steps.unique()) > 3
    torch.testing.assert_close(solution.y, batch.edge_attr.clone(), rtol=0, atol=0.02)
