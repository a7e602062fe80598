"""The paper's energy for graphs: its formula, its two paths, and what it refuses."""

from itertools import product

import pytest
import torch
from torch_geometric.data import Batch

from irem_core import (
    IREM,
    EdgeSpace,
    EnergyPlateau,
    FullUnroll,
    GINEEnergy,
    GradientDescent,
    Iterate,
    LastStep,
    NonFiniteError,
    Problem,
    Rollout,
    SettingError,
    ShapeError,
    VectorSpace,
    differentiate,
    graphs,
    load_task,
    minimize,
)
from irem_core.problems import trees
from irem_tasks.graphs import EdgeCopy, ShortestPath
from irem_tasks.sparse_graphs import SparseShortestPath

EDGES = EdgeSpace()
SIZES = [*range(1, 16), 3, 1, 7]


def gine(question=EDGES, answer=EDGES, *, seed=0, **settings):
    torch.manual_seed(seed)
    return GINEEnergy(question, answer, **{"width": 16} | settings)


def both(dtype=torch.float32, **settings):
    """Return the same energy by the two paths."""
    return [gine(path=path, **settings).to(dtype) for path in ("complete", "edges")]


def complete(nodes, channels=1, dtype=torch.float32, seed=0):
    """Return complete graphs with random values on their edges, and random candidates."""
    generator = torch.Generator().manual_seed(seed)
    rows = sum(n * n for n in nodes)
    x, y = (torch.rand(rows, channels, generator=generator, dtype=dtype) * 2 - 1 for _ in "xy")
    return Problem(graphs.complete(torch.tensor(nodes), x), EdgeSpace(channels)), y


def sparse(count=12, dtype=torch.float32):
    """Return sparse graphs with pairs that are no edges, and random candidates."""
    generator = torch.Generator().manual_seed(0)
    problem, y = SparseShortestPath().sample(count, "nodes=4..9,pairs=5", generator=generator)
    problem.x.edge_attr = problem.x.edge_attr.to(dtype)
    problem.x.x = problem.x.x.to(dtype)
    return problem, torch.rand(y.shape, generator=generator, dtype=dtype)


def evaluate(energy, problem, y):
    return differentiate(energy, energy.encode(problem), Iterate(y, problem.layout))


def assert_close(found, expected, share=1e-5):
    """Two tensors differ by no more than a share of the largest entry."""
    torch.testing.assert_close(found, expected, rtol=0, atol=share * float(expected.abs().max()))


def apply(layer, values):
    """Apply a linear layer by its definition."""
    return torch.stack([(row * values).sum() for row in layer.weight]) + layer.bias


def by_hand(energy, nodes, edges, x, pairs, y):
    """Compute the energy of one graph by its definition, message by message.

    Args:
        edges: pairs of nodes (i, j) that carry x, and y too where `pairs` is None.
        pairs: pairs of nodes that carry y.
    """
    zero = torch.zeros(energy.question_map.out_features, dtype=x.dtype)
    carried = []
    for edge, value in zip(edges, x, strict=True):
        own = zero if pairs is not None else apply(energy.answer_map, y[len(carried)])
        carried.append((edge, torch.cat([apply(energy.question_map, value), own])))
    for pair, value in zip(pairs or [], y, strict=pairs is not None):
        carried.append((pair, torch.cat([zero, apply(energy.answer_map, value)])))
    features = [torch.zeros(1, dtype=x.dtype) for _ in range(nodes)]
    for layer in energy.convolutions:
        summed = list(features)
        for (i, j), values in carried:
            summed[j] = summed[j] + (features[i] + apply(layer.lin, values)).clamp(min=0)
        features = [apply(layer.nn, each) for each in summed]
    largest = torch.stack(features).max(0).values
    return apply(energy.head[2], apply(energy.head[0], largest).clamp(min=0))


@pytest.mark.parametrize("path", ["complete", "edges"])
@pytest.mark.parametrize(("nodes", "channels", "layers"), [(3, 1, 3), (1, 2, 2), (2, 3, 1)])
def test_the_energy_is_its_formula(path, nodes, channels, layers):
    space = EdgeSpace(channels)
    energy = gine(space, space, width=6, layers=layers, path=path).double()
    problem, y = complete([nodes], channels, torch.float64)
    edges = list(product(range(nodes), repeat=2))

    expected = by_hand(energy, nodes, edges, problem.x.edge_attr, None, y)
    torch.testing.assert_close(energy(problem, y), expected, rtol=1e-12, atol=1e-12)


def test_answers_for_pairs_and_values_on_edges_travel_side_by_side():
    energy = gine(width=6).double()
    problem, y = sparse(4, torch.float64)

    for index, found in enumerate(energy(problem, y)):
        graph = problem.x.get_example(index)
        mine = y[problem.layout.owner == index]
        edges, pairs = graph.edge_index.T.tolist(), graph.pair_index.T.tolist()
        expected = by_hand(energy, graph.num_nodes, edges, graph.edge_attr, pairs, mine)
        torch.testing.assert_close(found[None], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("settings", [{"width": 128}, {"layers": 1}, {"layers": 5}])
def test_both_paths_give_equal_energies_and_gradients(settings):
    problem, y = complete(SIZES)
    dense, listed = (evaluate(energy, problem, y) for energy in both(**settings))

    assert_close(dense.energy, listed.energy)
    assert_close(dense.slope.y, listed.slope.y)
    assert dense.energy.std() > 1e-3
    assert dense.slope.y.abs().max() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_paths_train_alike(dtype):
    """The gradient of a loss on the last step holds second derivatives of the energy."""
    problem, y = complete(SIZES, dtype=dtype)
    slopes = []
    for energy in both(dtype, width=32):
        (last,) = LastStep().unroll(
            Rollout(
                energy=energy,
                problem=problem,
                start=Iterate(y, problem.layout),
                descent=GradientDescent(step_size=10.0),
                steps=2,
            )
        )
        (last.y - problem.x.edge_attr).square().mean().backward()
        slopes.append({name: each.grad for name, each in energy.named_parameters()})

    # An energy that is linear between the kinks of its ReLUs has a slope on which biases, and what
    # the question adds, have no influence but through the kinks.
    trained = {"answer_map.weight", "head.0.weight", "head.2.weight"}
    trained |= {f"convolutions.{n}.{part}.weight" for n in range(3) for part in ("lin", "nn")}
    assert {
        name for name, slope in slopes[1].items() if slope is not None and slope.any()
    } == trained
    for name in trained:
        assert_close(slopes[0][name], slopes[1][name], 1e-5 if dtype == torch.float32 else 1e-12)


BATCHES = {
    "complete": ("complete", lambda: complete([3, 1, 5, 2, 4, 3, 6, 1, 2, 5], dtype=torch.float64)),
    "edges": ("edges", lambda: complete([3, 1, 5, 2, 4, 3, 6, 1, 2, 5], dtype=torch.float64)),
    "pairs": ("auto", lambda: sparse(dtype=torch.float64)),
}


class Bowl(GINEEnergy):
    """The energy with a bowl added, steeper for some graphs, so that each halts in its own time."""

    def encode(self, problem):
        graph = problem.x.batch[problem.x.edge_index[0]]
        sums = torch.zeros(problem.layout.count, dtype=problem.dtype)
        sums = sums.index_add(0, graph, problem.x.edge_attr[:, 0].abs())
        return super().encode(problem), sums / torch.bincount(graph), problem.layout

    def energy(self, context, y):
        inner, steepness, layout = context
        return super().energy(inner, y) + steepness * layout.sum(y.square())


def singles(problem, y):
    """Cut a batch into problems of one graph, by torch-geometric."""
    for index in range(problem.layout.count):
        single = Batch.from_data_list([problem.x.get_example(index)])
        yield Problem(single, problem.answer), y[problem.layout.owner == index]


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_gives_what_its_graphs_give_one_by_one(name):
    path, make = BATCHES[name]
    problem, y = make()
    energy = gine(path=path).double()
    whole = evaluate(energy, problem, y)

    parts = [evaluate(energy, single, own) for single, own in singles(problem, y)]
    torch.testing.assert_close(torch.cat([part.energy for part in parts]), whole.energy)
    torch.testing.assert_close(torch.cat([part.slope.y for part in parts]), whole.slope.y)


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_whose_graphs_halt_one_by_one_is_solved_as_each_alone(name):
    path, make = BATCHES[name]
    problem, y = make()
    torch.manual_seed(0)
    energy = Bowl(EDGES, EDGES, width=16, path=path).double()
    settings = {
        "descent": GradientDescent(step_size=0.3),
        "halting": EnergyPlateau(tolerance=1e-3, patience=2),
        "max_steps": 60,
    }
    whole = minimize(energy, problem, start=y, **settings)

    assert len(whole.steps.unique()) > 3
    for index, (single, own) in enumerate(singles(problem, y)):
        alone = minimize(energy, single, start=own, **settings)
        assert alone.steps.item() == whole.steps[index].item()
        mine = problem.layout.owner == index
        torch.testing.assert_close(alone.y, whole.y[mine], rtol=0, atol=1e-9)
        torch.testing.assert_close(alone.energy, whole.energy[[index]], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", BATCHES)
def test_contexts_are_cut_to_some_of_their_graphs(name):
    path, make = BATCHES[name]
    problem, y = make()
    energy = gine(path=path).double()
    context, kept = energy.encode(problem), torch.tensor([0, 2, 3, 8])

    some = trees.select(context, problem.layout, kept)
    found = energy.energy(some, y[problem.layout.rows_of(kept)])
    torch.testing.assert_close(found, energy.energy(context, y)[kept])
    # And once more, from a context that was cut.
    fewer = trees.select(some, problem.layout.select(kept), torch.tensor([1, 3]))
    left = y[problem.layout.rows_of(kept[[1, 3]])]
    torch.testing.assert_close(energy.energy(fewer, left), found[[1, 3]])


def test_the_paths_are_what_they_are_called():
    problem, _ = complete([2, 3])
    dense, listed = (gine(path=path).encode(problem) for path in ("complete", "edges"))

    assert type(gine().encode(problem)) is type(dense)
    assert type(dense) is not type(listed)
    assert type(gine().encode(sparse()[0])) is type(listed)
    # A graph with an edge more, and one whose edges are in another order.
    for changed in (swapped(problem.x), doubled(problem.x)):
        assert type(gine().encode(Problem(changed, EDGES))) is type(listed)
        with pytest.raises(ShapeError, match="path='complete' and graphs whose edges are not"):
            gine(path="complete").encode(Problem(changed, EDGES))


def swapped(batch):
    """Return the batch with two edges of its first graph in the other order."""
    changed, order = batch.clone(), torch.arange(batch.num_edges)
    order[[1, 2]] = order[[2, 1]]
    changed.edge_index, changed.edge_attr = batch.edge_index[:, order], batch.edge_attr[order]
    return changed


def doubled(batch):
    """Return the batch with its first edge listed twice."""
    changed, order = batch.clone(), torch.cat([torch.tensor([0]), torch.arange(batch.num_edges)])
    changed.edge_index, changed.edge_attr = batch.edge_index[:, order], batch.edge_attr[order]
    return changed


def test_the_order_of_edges_does_not_matter_where_they_are_listed():
    problem, y = complete([2, 3])
    order = torch.tensor([0, 2, 1, *range(3, 13)])

    found = gine()(Problem(swapped(problem.x), EDGES), y[order])
    torch.testing.assert_close(found, gine()(problem, y))


def test_the_size_is_the_papers():
    energy = GINEEnergy.for_task(ShortestPath())
    layers = [(128 * inputs + inputs) + (inputs * 128 + 128) for inputs in (1, 128, 128)]

    counted = sum(weight.numel() for weight in energy.parameters())
    assert counted == 2 * (64 + 64) + sum(layers) + (128 * 128 + 128) + (128 + 1) == 83_330
    assert isinstance(IREM.for_task(ShortestPath()).energy, GINEEnergy)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"question": VectorSpace(3)}, r"question=VectorSpace\(.*expected an EdgeSpace"),
        ({"answer": VectorSpace(3)}, r"answer=VectorSpace\(.*expected an EdgeSpace"),
        ({"width": 7}, "width=7; expected an even number"),
        ({"width": 0}, "width=0; expected a whole number of at least 1"),
        ({"layers": 0}, "layers=0; expected a whole number of at least 1"),
        ({"path": "dense"}, "path='dense'; expected 'auto' or 'complete' or 'edges'"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(SettingError, match=message):
        gine(**settings)


def changed(**fields):
    """Return a small batch with other fields."""
    batch = complete([2, 3])[0].x
    for name, value in fields.items():
        batch[name] = value
    return batch


BAD = [
    (lambda: torch.zeros(4, 1), ShapeError, "x of type Tensor; expected a torch-geometric Batch"),
    (lambda: changed(edge_attr=None), ShapeError, r"13 edges and edge_attr none; expected \(13, 1"),
    (
        lambda: complete([2, 3], channels=2)[0].x,
        ShapeError,
        r"edge_attr of shape \(13, 2\); expected \(13, 1\)",
    ),
    (lambda: changed(edge_attr=torch.zeros(13)), ShapeError, r"of shape \(13,\); expected"),
    (
        lambda: complete([2, 3], dtype=torch.float64)[0].x,
        ShapeError,
        r"edge_attr of torch.float64 .* weights of torch.float32 .*convert one of them",
    ),
    (
        lambda: changed(edge_attr=torch.zeros(13, 1, dtype=torch.int64)),
        ShapeError,
        "edge_attr of torch.int64",
    ),
    (
        lambda: changed(edge_attr=torch.tensor([[0.0]] * 5 + [[torch.nan]] * 8)),
        NonFiniteError,
        "x's edge_attr holds NaN or infinity, first in row 5",
    ),
]


@pytest.mark.parametrize("path", ["auto", "edges"])
@pytest.mark.parametrize(("make", "error", "message"), BAD)
def test_what_is_no_batch_of_graphs_with_values_is_refused(make, error, message, path):
    with pytest.raises(error, match=message):
        minimize(gine(path=path), make(), descent=GradientDescent(step_size=1.0), max_steps=2)


def preactivations(made, problem, y):
    """Return what the ReLUs of every layer see, messages and then the read-out's."""
    seen = []
    features, hooks = [None], []
    for layer in made.convolutions:
        hooks.append(layer.register_forward_pre_hook(lambda _, given: features.append(given[0])))
        hooks.append(layer.lin.register_forward_hook(lambda _, __, out: seen.append(out)))
    hooks.append(made.head[0].register_forward_hook(lambda _, __, out: seen.append(out)))
    made.path = "edges"
    with torch.no_grad():
        made(problem, y)
    for hook in hooks:
        hook.remove()
    index = made._edge_features(problem.x, y)[1]
    messages = zip(seen[:-1], features[1:], strict=True)
    return [out + nodes[index[0]] for out, nodes in messages] + [seen[-1]]


@pytest.mark.parametrize(
    ("name", "kinks", "seeds"),
    [
        ("shortest-path", "starts", 3),
        ("edge-copy", "starts", 3),
        ("sparse-shortest-path", "starts", 1),
        ("edge-copy", "edges", 3),
    ],
)
def test_the_kinks_of_a_task_lie_among_the_values_that_occur(name, kinks, seeds):
    task = load_task(name)
    for seed in range(seeds):
        made = GINEEnergy.for_task(task, seed=seed, kinks=kinks)
        generator = torch.Generator().manual_seed(100 + seed)
        problem, _ = task.sample(40, generator=generator)
        first, *others = preactivations(made, problem, made.start(problem, generator).y)
        assert abs(first.mean()) < 0.1 * first.std()
        assert 0.05 < (first > 0).double().mean() < 0.95
        assert len(others) == 3
        for values in others:
            # At a random value a unit is open for a share of values that is uniform on (0, 1).
            open_share = (values > 0).double().mean(0)
            assert abs(open_share.mean() - 0.5) < 0.12
            assert ((open_share > 0.02) & (open_share < 0.98)).double().mean() > 0.85
        again = GINEEnergy.for_task(task, seed=seed, kinks=kinks)
        assert all(map(torch.equal, again.parameters(), made.parameters()))


@pytest.mark.parametrize(("kinks", "share"), [("starts", 1), ("edges", 1 / 3)])
def test_kinks_of_edges_lie_on_the_way_to_the_answers(monkeypatch, kinks, share):
    """Of values uniform on (-1, 1) two differ by 2 / 3 squared; uniformly between, by a third."""
    seen = []
    monkeypatch.setattr(GINEEnergy, "_spread_kinks", lambda self, *given: seen.append(given))
    GINEEnergy.for_task(EdgeCopy(), kinks=kinks)
    ((batch, y, _),) = seen
    missed = (y - batch.edge_attr).square().mean()
    assert float(missed) == pytest.approx(share * 2 / 3, rel=0.05)


def test_edges_are_louder_than_nodes_where_answers_hang_on_edges():
    """Spreads of node features beside those of an edge's share of the next layer's messages."""
    task = EdgeCopy()
    generator = torch.Generator().manual_seed(7)
    problem, _ = task.sample(400, generator=generator)
    for seed in range(3):
        ratios = {}
        for kinks in ("starts", "edges"):
            made = GINEEnergy.for_task(task, seed=seed, kinks=kinks)
            with torch.no_grad():
                edges, index = made._edge_features(problem.x, made.start(problem, generator).y)
                features, found = edges.new_zeros(problem.x.num_nodes, 1), []
                for layer, following in zip(made._layers, made._layers[1:], strict=False):
                    features = layer(features, index, edges)
                    own = (edges @ following.lin.weight.T).std(0).mean()
                    found.append(float(features.std(0).mean() / own))
            ratios[kinks] = found
        assert ratios["edges"] == pytest.approx([0.3, 0.3], rel=0.25)
        assert max(ratios["starts"]) > 1.5


@pytest.mark.parametrize("backprop", [LastStep(), FullUnroll()])
def test_no_loss_after_descent_moves_a_kink(backprop):
    """So where the kinks are at first matters: the energy is linear in pieces."""
    task = ShortestPath()
    made = GINEEnergy.for_task(task, width=8)
    solver = IREM(made, steps=3, descent=GradientDescent(step_size=1.0), backprop=backprop)
    generator = torch.Generator().manual_seed(0)
    problem, target = task.sample(20, generator=generator)
    solver.loss(problem, target, generator).backward()
    slopes = {
        name: weight.grad
        for name, weight in made.named_parameters()
        if weight.grad is not None and bool((weight.grad != 0).any())
    }
    still = {name for name, _ in made.named_parameters() if name.endswith("bias")}
    still.add("question_map.weight")
    assert set(slopes) == {name for name, _ in made.named_parameters()} - still
    for layer in range(3):
        on_question, on_answer = slopes[f"convolutions.{layer}.lin.weight"].chunk(2, 1)
        assert bool((on_question == 0).all())
        assert bool((on_answer != 0).any())
