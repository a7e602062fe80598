"""What all learned baselines keep to: layers of the paper's tables, graphs apart and unordered."""

import pytest
import torch
from torch.nn import functional

from hand_gine import all_pairs, carried, complete, decode, gine, zeros
from irem_baselines import Feedforward, IterativeFeedforward, Ponder, Recurrent
from irem_baselines.networks import make_network
from irem_core import (
    EdgeSpace,
    ImageSpace,
    MatrixSpace,
    NonFiniteError,
    Problem,
    SettingError,
    ShapeError,
    VectorSpace,
    graphs,
)
from irem_core.energies import default_energy
from irem_core.problems import trees
from irem_tasks import Add
from irem_tasks.graphs import EdgeCopy
from irem_tasks.matrices import MatrixInverse
from irem_tasks.sparse_graphs import SparseShortestPath

EDGES, TWO = EdgeSpace(), VectorSpace(2)
ALL = [Feedforward, Recurrent, Ponder, IterativeFeedforward]


def linear(inputs, outputs):
    return inputs * outputs + outputs


def lstm(width):
    return 4 * (width * width + width * width + width + width)


def parameters(module):
    return sum(weight.numel() for weight in module.parameters())


def small(kind, question=EDGES, answer=EDGES, *, seed=0, **settings):
    torch.manual_seed(seed)
    return kind(question, answer, width=6, **settings).double()


def test_parameters_of_the_tables_of_vectors():
    for task, x, y in ((Add(), 800, 400), (MatrixInverse(), 400, 400)):
        hidden, head = 2 * linear(512, 512), linear(512, y)
        expected = {
            Feedforward: linear(x, 512) + hidden + head,
            Recurrent: linear(x, 196) + lstm(196) + linear(196, y),
            Ponder: linear(x + y, 512) + hidden + head + linear(512, 1),
            IterativeFeedforward: linear(x + y, 512) + hidden + head,
        }
        assert {kind: parameters(kind.for_task(task)) for kind in ALL} == expected


def test_parameters_of_the_tables_of_graphs():
    # A layer's own map, and the one from an edge's features to messages.
    first, later = linear(1, 128) + linear(128, 1), 2 * linear(128, 128)
    edge, halves, head = linear(1, 128), 2 * linear(1, 64), linear(256, 1)
    expected = {
        Feedforward: edge + first + 2 * later + head,
        Recurrent: edge + first + lstm(128) + later + head,
        Ponder: edge + first + 2 * later + head + linear(128, 1),
        IterativeFeedforward: halves + first + 2 * later + head,
    }
    assert {kind: parameters(kind.for_task(EdgeCopy())) for kind in ALL} == expected


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("answer", [VectorSpace(1), EDGES])
def test_the_preset_of_the_paper_builds_what_the_tables_say(kind, answer):
    preset = kind.presets["paper"](answer, answer)
    edges = answer.ragged

    assert dict(preset.training) == {
        "iterations": 10_000,
        "batch_size": 64 if edges else 128,
        "learning_rate": 1e-4,
    }
    assert parameters(kind(answer, answer, **preset.solver)) == parameters(kind(answer, answer))


@pytest.mark.parametrize("task", [Add(), MatrixInverse(), EdgeCopy()])
def test_a_matched_lstm_has_as_many_weights_as_the_energy(task):
    wanted = parameters(default_energy(task.answer).for_task(task))
    matched = Recurrent.for_task(task, width="matched", seed=3)
    width = matched.cell.hidden_size
    off = [
        abs(parameters(Recurrent.for_task(task, width=each)) - wanted)
        for each in (width - 1, width, width + 1)
    ]

    assert min(off) == off[1] < wanted / 50
    # Finding the width draws nothing.
    other = Recurrent.for_task(task, width=width, seed=3)
    assert all(map(torch.equal, matched.parameters(), other.parameters()))


@pytest.mark.parametrize(("nodes", "channels", "depth"), [(3, 1, 3), (1, 2, 2), (2, 3, 1)])
def test_feedforward_on_edges_is_its_formula(nodes, channels, depth):
    space = EdgeSpace(channels)
    solver = small(Feedforward, space, space, depth=depth)
    problem, target = complete([nodes], channels=channels)
    pairs = all_pairs(nodes)
    features = zeros(nodes)
    for place in range(depth):
        features = gine(
            solver.network, place, features, carried(solver.network, pairs, problem.x.edge_attr)
        )
    expected = decode(solver.network, features, pairs)

    torch.testing.assert_close(solver.solve(problem).y, expected)
    loss = solver.loss(problem, target, torch.Generator())
    torch.testing.assert_close(loss, functional.mse_loss(expected, target))


def sparse(count):
    """Return sparse graphs with pairs that are no edges, and random candidates."""
    generator = torch.Generator().manual_seed(0)
    problem, y = SparseShortestPath().sample(count, "nodes=4..9,pairs=5", generator=generator)
    for name in ("edge_attr", "x"):
        problem.x[name] = problem.x[name].double()
    return problem, torch.randn(y.shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("draw", [sparse, lambda count: complete([2, 3, 1][:count])])
def test_a_network_that_reads_candidates_is_its_formula(draw):
    torch.manual_seed(0)
    network = make_network("It", EDGES, EDGES, width=6, depth=2, reads_answer=True).double()
    problem, y = draw(3)
    reading = network.read(problem)
    found = network.body(reading, y)
    answers, pooled = network.decode(reading, found), network.pool(reading, found)

    for index in range(3):
        graph, mine = problem.x.get_example(index), problem.layout.owner == index
        edges = graph.edge_index.T.tolist()
        pairs = graph.pair_index.T.tolist() if graphs.PAIRS in graph else None
        messages = carried(network, edges, graph.edge_attr, pairs, y[mine])
        features = gine(network, 0, zeros(graph.num_nodes), messages)
        features = gine(network, 1, features, messages)
        torch.testing.assert_close(answers[mine], decode(network, features, pairs or edges))
        torch.testing.assert_close(pooled[index], torch.stack(features).max(0).values)


def test_a_dense_network_reads_candidates_before_questions():
    torch.manual_seed(0)
    question, answer = MatrixSpace(2, 3), MatrixSpace(2, 2)
    network = make_network("It", question, answer, width=5, depth=2, reads_answer=True)
    x, y = torch.randn(4, 2, 3), torch.randn(4, 2, 2)
    weights = list(network.parameters())
    features = torch.cat([y.reshape(4, 4), x.reshape(4, 6)], 1)
    for layer in range(2):
        features = functional.linear(features, *weights[2 * layer : 2 * layer + 2]).clamp(min=0)
    expected = functional.linear(features, *weights[4:]).reshape(4, 2, 2)

    reading = network.read(Problem(x))
    found = network.decode(reading, network.body(reading, y))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", ALL)
def test_graphs_of_a_batch_are_answered_as_each_alone(kind):
    solver = small(kind)
    problem, start = complete([3, 1, 7, 2, 3])
    whole = solver.solve(problem, max_steps=4, start=start).y

    for index in range(5):
        chosen = torch.tensor([index])
        alone = trees.select(problem, problem.layout, chosen)
        rows = problem.layout.rows_of(chosen)
        found = solver.solve(alone, max_steps=4, start=start[rows]).y
        torch.testing.assert_close(found, whole[rows])


@pytest.mark.parametrize("kind", ALL)
def test_relabelling_nodes_relabels_answers(kind):
    solver = small(kind)
    n, order = 5, torch.tensor([3, 0, 4, 1, 2])
    problem, start = complete([n])

    def relabelled(values):
        return values.view(n, n)[order][:, order].reshape(-1, 1)

    edges = relabelled(problem.x.edge_attr)
    other = Problem(graphs.complete(torch.tensor([n]), edges), EDGES)
    found = solver.solve(other, max_steps=3, start=relabelled(start)).y
    expected = relabelled(solver.solve(problem, max_steps=3, start=start).y)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(expected, expected.mean())


@pytest.mark.parametrize("kind", ALL)
def test_what_it_cannot_be_built_with_is_said_in_a_sentence(kind):
    for question, answer in ((EDGES, TWO), (TWO, EDGES)):
        with pytest.raises(SettingError, match="expected both to be values on edges, or neither"):
            kind(question, answer)
    with pytest.raises(SettingError, match="question=3; expected a Space"):
        kind(3, TWO)
    for width in (0, True, None, 2.5):
        with pytest.raises(SettingError, match=r"width=.*; expected a whole number of at least 1"):
            kind(TWO, TWO, width=width)
    with pytest.raises(SettingError, match="width='wide'; expected 'paper'"):
        kind(TWO, TWO, width="wide")


@pytest.mark.parametrize(
    ("kind", "spaces", "settings", "message"),
    [
        (Recurrent, TWO, {"steps": 0}, "steps=0; expected a whole number of at least 1"),
        (Ponder, TWO, {"steps": 0}, "steps=0; expected a whole number of at least 1"),
        (Ponder, TWO, {"depth": 0}, "depth=0; expected a whole number of at least 1"),
        (Ponder, EDGES, {"depth": 2}, "depth=2; expected at least 3 on edges"),
        (Ponder, TWO, {"prior": 1.0}, "prior=1.0; expected a number between 0 and 1"),
        (Ponder, TWO, {"penalty": -1.0}, "penalty=-1.0; expected a finite number of at least 0"),
        (Ponder, TWO, {"halt": "soon"}, "halt='soon'; expected 'expected' or 'sampled'"),
        (IterativeFeedforward, TWO, {"levels": 1}, "levels=1; expected .* at least 2"),
        (IterativeFeedforward, TWO, {"depth": 0}, "depth=0; expected a whole number"),
        (IterativeFeedforward, EDGES, {"width": 7}, "width=7; expected an even number"),
    ],
)
def test_settings_out_of_range_are_said_in_a_sentence(kind, spaces, settings, message):
    with pytest.raises(SettingError, match=message):
        kind(spaces, spaces, **settings)


FLOATS = (torch.float32, torch.float64)


@pytest.mark.parametrize("kind", ALL)
def test_questions_that_it_cannot_take_are_refused(kind):
    graph, vector = small(kind), small(kind, TWO, TWO)
    problem, _ = complete([2, 3])
    with pytest.raises(ShapeError, match=r"x has shape \(3, 4\)"):
        vector.solve(torch.zeros(3, 4).double())
    narrow, wide = (vector.solve(torch.zeros(3, 2, dtype=each)).y for each in FLOATS)
    torch.testing.assert_close(narrow, wide)
    with pytest.raises(NonFiniteError, match="x holds NaN"):
        vector.solve(torch.full((3, 2), torch.nan).double())
    with pytest.raises(ShapeError, match="x is a Tensor; expected a torch-geometric Batch"):
        graph.solve(Problem(torch.zeros(13, 1), EDGES, problem.layout))
    with pytest.raises(ShapeError, match=r"x is torch\.float32 .* convert"):
        graph.float().double().solve(complete([2], dtype=torch.float32)[0])
    problem.x.edge_attr[2] = torch.inf
    with pytest.raises(NonFiniteError, match="x's edge_attr holds NaN or infinity"):
        graph.solve(problem)
    problem.x.edge_attr = None
    with pytest.raises(ShapeError, match="x's edge_attr is a NoneType"):
        graph.solve(problem)


@pytest.mark.parametrize("kind", ALL)
def test_images_are_vectors_in_another_shape(kind):
    space = ImageSpace(1, 2, 3)
    x = torch.randn(4, 1, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    assert small(kind, space, space).solve(x, max_steps=2).y.shape == (4, 1, 2, 3)
