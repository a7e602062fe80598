"""The sparse pairwise energy: its formula, and that it visits wanted pairs and edges alone."""

import pytest
import torch
from torch.nn import functional
from torch_geometric.data import Batch, Data

from irem_core import (
    EdgeSpace,
    FixedSteps,
    GradientDescent,
    MatrixSpace,
    Problem,
    SettingError,
    SparsePairwiseEnergy,
    minimize,
)
from irem_core.energies import triangles
from irem_tasks.sparse_graphs import SparseComponents, SparseShortestPath


def energy(blocks=2):
    torch.manual_seed(0)
    return SparsePairwiseEnergy(EdgeSpace(), EdgeSpace(), width=6, blocks=blocks).double()


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def graph(nodes, edges, pairs, seed=0):
    """Make one graph with random values on its edges."""
    return Data(
        edge_index=torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T,
        edge_attr=draw(len(edges), 1, seed=seed),
        pair_index=torch.tensor(pairs).T,
        num_nodes=nodes,
    )


def problem_of(*graphs):
    return Problem(Batch.from_data_list(list(graphs)), EdgeSpace())


# A diamond seen from 0, a pair that is no edge and has no way, a loop, and a graph without edges.
DIAMOND = graph(
    4,
    [(0, 1), (0, 2), (1, 3), (2, 3), (3, 0), (3, 3)],
    [(0, 0), (0, 1), (0, 2), (0, 3), (3, 3), (3, 0), (1, 2)],
)
BARE = graph(2, [], [(0, 1), (0, 0)])
LINE = graph(3, [(0, 1), (1, 2)], [(0, 2), (0, 1), (0, 0)], seed=3)


def by_the_formula(made, graph, y):
    """Return the energy of the answers to one graph, written out pair by pair."""
    weights = dict(made.named_parameters())

    def linear(name, value):
        return functional.linear(value, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    edges = dict(zip(map(tuple, graph.edge_index.T.tolist()), graph.edge_attr[:, 0], strict=True))
    pairs = list(map(tuple, graph.pair_index.T.tolist()))
    h = {}
    for place, (i, j) in enumerate(pairs):
        known = torch.zeros(3, dtype=torch.float64)
        if (i, j) in edges:
            known[:2] = torch.stack([edges[i, j], torch.ones_like(known[0])])
        known[2] = float(i == j)
        h[i, j] = linear("question_map", known) + linear("answer_map", y[place])
    for block in range(len(made.blocks)):
        added = {}
        for i, j in pairs:
            ways = [
                linear(f"blocks.{block}.before", h[i, k])
                + linear(f"blocks.{block}.onward", value[None])
                for (k, end), value in edges.items()
                if end == j and (i, k) in h
            ]
            pooled = torch.stack(ways).amax(0) if ways else torch.zeros(6, dtype=torch.float64)
            hidden = linear(f"blocks.{block}.first", torch.cat([h[i, j], pooled]))
            added[i, j] = linear(f"blocks.{block}.second", functional.silu(hidden))
        h = {pair: h[pair] + added[pair] for pair in pairs}
    residuals = torch.stack([linear("read_out", h[pair]) for pair in pairs])
    return weights["log_scale"].exp() / 2 * residuals.square().mean(-1).sum()


@pytest.mark.parametrize("graphs", [(DIAMOND,), (BARE,), (LINE, BARE, DIAMOND, LINE)])
def test_the_energy_is_that_of_its_formula(graphs):
    made = energy()
    y = [draw(each.pair_index.shape[1], 1, seed=place) for place, each in enumerate(graphs)]
    expected = torch.stack([by_the_formula(made, *each) for each in zip(graphs, y, strict=True)])
    torch.testing.assert_close(made(problem_of(*graphs), torch.cat(y)), expected)


def test_the_largest_way_is_found_and_carries_the_derivatives():
    left, right = draw(5, 3).requires_grad_(), draw(5, 6, 3, seed=1).requires_grad_()
    generator = torch.Generator().manual_seed(2)
    before = torch.randint(5, (5, 6), generator=generator)
    real = torch.rand(5, 6, generator=generator) < 0.6
    real[2] = False
    sums = (left[before] + right).masked_fill(~real[..., None], -torch.inf).amax(1)
    expected = torch.where(real.any(1, keepdim=True), sums, 0.0)
    found = triangles.max_plus_over_ways(left, before, right, real)
    torch.testing.assert_close(found, expected)
    for one, other in zip(
        torch.autograd.grad(found.square().sum(), (left, right)),
        torch.autograd.grad(expected.square().sum(), (left, right)),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", [SparseShortestPath, SparseComponents])
def test_a_batch_of_mixed_sizes_is_solved_as_one_graph_at_a_time(kind):
    problem, _ = kind(every=True).sample(
        4, "nodes=5..30", generator=torch.Generator().manual_seed(0)
    )
    problem.x.edge_attr = problem.x.edge_attr.double()
    start = draw(problem.layout.rows, 1)
    options = {"descent": GradientDescent(step_size=0.05), "halting": FixedSteps(steps=3)}
    whole = minimize(energy(), problem, start=start, max_steps=3, **options)
    for number, each in enumerate(problem.x.to_data_list()):
        rows = problem.layout.owner == number
        alone = minimize(energy(), problem_of(each), start=start[rows], max_steps=3, **options)
        torch.testing.assert_close(alone.y, whole.y[rows], rtol=0, atol=1e-9)


def test_renumbered_nodes_and_pairs_give_the_same_energy():
    order = torch.tensor([2, 0, 3, 1])
    shuffled = DIAMOND.clone()
    kept = torch.tensor([3, 6, 0, 5, 1, 4, 2])
    shuffled.pair_index = order[DIAMOND.pair_index][:, kept]
    shuffled.edge_index = order[DIAMOND.edge_index][:, [4, 1, 5, 0, 3, 2]]
    shuffled.edge_attr = DIAMOND.edge_attr[[4, 1, 5, 0, 3, 2]]
    y = draw(7, 1)
    made = energy()
    torch.testing.assert_close(made(problem_of(shuffled), y[kept]), made(problem_of(DIAMOND), y))


def test_other_spaces_are_refused():
    with pytest.raises(SettingError, match=r"SparsePairwiseEnergy got answer=.*EdgeSpace"):
        SparsePairwiseEnergy(EdgeSpace(), MatrixSpace(2, 2))
