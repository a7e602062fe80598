"""The replay buffer: a ring against a plain list."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irem_core import (
    CheckpointError,
    Example,
    Iterate,
    Problem,
    ReplayBuffer,
    SettingError,
    ShapeError,
    build,
    graphs,
)
from irem_core.registry import SOLVERS, Target
from trainings import TASK, bits, small_solver, train


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def dense(names):
    """Return one problem per number, all of whose tensors carry that number."""
    number = torch.tensor(names, dtype=torch.float32)[:, None]
    problem = Problem({"x": number.repeat(1, 3)})
    return Example(problem, number * 10, Iterate(number * 100, problem.layout, number * 1000))


def ragged(names, rows):
    """Return problems of so many rows each; row r of problem n carries n + r / 10."""
    owner = torch.tensor([place for place, count in enumerate(rows) for _ in range(count)])
    values = [n + r / 10 for n, count in zip(names, rows, strict=True) for r in range(count)]
    values = torch.tensor(values)[:, None]
    number = torch.tensor(names, dtype=torch.float32)[:, None]
    problem = Problem((values.repeat(1, 2), number), owner=owner)
    return Example(problem, values * 10, Iterate(values * 100, problem.layout, number * 1000))


def graph_batch(names, nodes):
    """Return problems on complete graphs; edge e of problem n carries n + e / 100."""
    nodes = torch.tensor(nodes)
    counts, number = nodes.square(), torch.tensor(names, dtype=torch.float32)[:, None]
    values = number.repeat_interleave(counts, 0) + graphs.within(counts)[:, None] / 100
    columns = graphs.take_apart(graphs.complete(nodes, values))
    columns["x"] = graphs.Column(number.repeat_interleave(nodes, 0), nodes)
    problem = Problem(graphs.assemble(columns | {"level": graphs.Column(number.repeat(1, 2))}))
    return Example(problem, values * 10, Iterate(values * 100, problem.layout, number * 1000))


def content(buffer, seed=0):
    """Return the numbers held, read through many draws; each must be drawn whole."""
    drawn = buffer.draw(40 * len(buffer), generator(seed))
    numbers = drawn.problem.x["x"][:, 0]
    assert torch.equal(drawn.target[:, 0], numbers * 10)
    assert torch.equal(drawn.iterate.y[:, 0], numbers * 100)
    assert torch.equal(drawn.iterate.z[:, 0], numbers * 1000)
    return set(numbers.int().tolist())


@settings(max_examples=40, deadline=None)
@given(capacity=st.integers(1, 7), sizes=st.lists(st.integers(1, 10), min_size=1, max_size=6))
def test_holds_exactly_the_newest(capacity, sizes):
    buffer, everything = ReplayBuffer(capacity), []
    for size in sizes:
        batch = list(range(len(everything), len(everything) + size))
        everything += batch
        buffer.push(dense(batch))

        assert len(buffer) == min(capacity, len(everything))
        assert content(buffer) == set(everything[-capacity:])


def as_ragged_list(example):
    """Return the rows of each problem of a batch, checking that its tensors agree."""
    values, number = example.problem.x
    found = []
    for problem in range(example.layout.count):
        mine = example.layout.owner == problem
        assert torch.equal(example.target[mine], values[mine, :1] * 10)
        assert torch.equal(example.iterate.y[mine], values[mine, :1] * 100)
        assert example.iterate.z[problem].item() == number[problem].item() * 1000
        rows = [round(value, 1) for value in values[mine, 0].tolist()]
        found.append((int(number[problem]), rows))
    return found


def as_graph_list(example):
    """Return name and nodes of each graph of a batch, checking that its tensors agree."""
    batch = example.problem.x
    names, nodes = batch.level[:, 0].int().tolist(), batch.ptr.diff().tolist()
    expected = graph_batch(names, nodes)
    for name in ("x", "edge_index", "edge_attr", "level", "batch"):
        assert torch.equal(batch[name], expected.problem.x[name])
    assert torch.equal(example.layout.owner, expected.layout.owner)
    assert torch.equal(example.target, expected.target)
    assert torch.equal(example.iterate.y, expected.iterate.y)
    assert torch.equal(example.iterate.z, expected.iterate.z)
    return list(zip(names, nodes, strict=True))


# Problems of one row throughout are kept only once there have been others, so these come later.
RAGGED_BATCHES = st.tuples(
    st.lists(st.integers(1, 4), min_size=1, max_size=5).filter(lambda rows: max(rows) > 1),
    st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=5), max_size=4),
).map(lambda drawn: [drawn[0], *drawn[1]])


@settings(max_examples=40, deadline=None)
@given(capacity=st.integers(1, 6), batches=RAGGED_BATCHES)
def test_ragged_problems_come_back_with_all_of_their_rows(capacity, batches):
    buffer, everything = ReplayBuffer(capacity), []
    for rows in batches:
        names = list(range(len(everything), len(everything) + len(rows)))
        everything += [
            (name, [round(name + r / 10, 1) for r in range(count)])
            for name, count in zip(names, rows, strict=True)
        ]
        buffer.push(ragged(names, rows))

        held = as_ragged_list(buffer.draw(40 * len(buffer), generator()))
        newest = everything[-capacity:]
        assert len(buffer) == len(newest)
        assert all(each in newest for each in held)
        assert {name for name, _ in held} == {name for name, _ in newest}


@settings(max_examples=20, deadline=None)
@given(capacity=st.integers(1, 6), batches=RAGGED_BATCHES)
def test_graphs_come_back_with_all_of_their_nodes_and_edges(capacity, batches):
    buffer, everything = ReplayBuffer(capacity), []
    for nodes in batches:
        names = list(range(len(everything), len(everything) + len(nodes)))
        everything += zip(names, nodes, strict=True)
        buffer.push(graph_batch(names, nodes))

        assert len(buffer) == min(capacity, len(everything))
        held = as_graph_list(buffer.draw(40 * len(buffer), generator()))
        assert set(held) == set(everything[-capacity:])
        joined = as_graph_list(buffer.union(graph_batch([90, 91], [1, 3]), 5, generator()))
        assert joined[:2] == [(90, 1), (91, 3)]
        assert set(joined[2:]) <= set(everything[-capacity:])


def test_the_oldest_slot_is_overwritten_first():
    buffer = ReplayBuffer(4)
    for batch in ([0, 1, 2], [3, 4], [5, 6]):
        buffer.push(dense(batch))

    assert buffer.state()["store1"].flatten().tolist() == [40, 50, 60, 30]


def test_draws_are_uniform_and_come_from_the_generator_alone():
    buffer = ReplayBuffer(5)
    buffer.push(dense([0, 1, 2, 3, 4]))
    torch.manual_seed(1)
    first = buffer.draw(5000, generator(7)).target
    torch.manual_seed(2)
    state = torch.get_rng_state()

    assert torch.equal(first, buffer.draw(5000, generator(7)).target)
    assert not torch.equal(first, buffer.draw(5000, generator(8)).target)
    assert torch.equal(torch.get_rng_state(), state)
    # 1,000 of each expected, with a standard deviation of 28.
    assert (torch.bincount((first[:, 0] / 10).long()) - 1000).abs().max() < 150


def test_a_union_puts_replayed_problems_behind_fresh_ones():
    buffer = ReplayBuffer(5)
    assert buffer.union(dense([8, 9]), 3, generator()).target.tolist() == [[80], [90]]
    buffer.push(dense([1]))

    joined = buffer.union(dense([8, 9]), 3, generator())
    assert joined.layout.count == 5
    assert joined.target.tolist() == [[80], [90], [10], [10], [10]]
    assert joined.iterate.z.flatten().tolist() == [8000, 9000, 1000, 1000, 1000]
    assert buffer.union(dense([8]), 0, generator()).layout.count == 1


def test_a_ragged_union_counts_the_owners_on():
    buffer = ReplayBuffer(5)
    buffer.push(ragged([1], [3]))
    joined = buffer.union(ragged([8, 9], [2, 1]), 2, generator())

    assert joined.layout.owner.tolist() == [0, 0, 1, 2, 2, 2, 3, 3, 3]
    assert [name for name, _ in as_ragged_list(joined)] == [8, 9, 1, 1]


def test_what_is_stored_is_cut_off_and_copied():
    weight = torch.ones(2, 1, requires_grad=True)
    problem = Problem(torch.zeros(2, 1))
    iterate = Iterate(weight * 3, problem.layout)
    buffer = ReplayBuffer(4)
    buffer.push(Example(problem, torch.zeros(2, 1), iterate))
    with torch.no_grad():
        iterate.y.zero_()

    drawn = buffer.draw(9, generator()).iterate.y
    assert not drawn.requires_grad
    assert drawn.unique().tolist() == [3.0]


@pytest.mark.parametrize(
    "batches",
    [
        [dense([0, 1, 2]), dense([3, 4])],
        [ragged([0, 1], [2, 1]), ragged([2, 3], [1, 4])],
        [graph_batch([0, 1], [2, 1]), graph_batch([2, 3], [1, 4])],
    ],
)
@pytest.mark.parametrize("dtype", [None, "float16", "bfloat16"])
def test_a_restored_buffer_goes_on_as_the_first_would(batches, dtype):
    first, second = ReplayBuffer(3, dtype=dtype), ReplayBuffer(3, dtype=dtype)
    first.push(batches[0])
    second.restore({name: tensor.clone() for name, tensor in first.state().items()})

    for buffer in (first, second):
        buffer.push(batches[1])
    assert len(second) == 3
    one, two = (buffer.union(batches[0], 6, generator()) for buffer in (first, second))
    for drawn, redrawn in zip(one.columns(), two.columns(), strict=True):
        assert torch.equal(drawn.values, redrawn.values)
        assert torch.equal(drawn.lengths, redrawn.lengths)


def test_a_restored_buffer_is_drawn_from_before_its_first_push():
    first, second = ReplayBuffer(3), ReplayBuffer(3)
    first.push(dense([5]))
    second.restore(first.state())

    assert second.union(dense([8]), 1, generator()).target.tolist() == [[80], [50]]


HALVES = ["float16", "bfloat16"]
SHAPES = [dense, lambda names: ragged(names, names), lambda names: graph_batch(names, names)]


def spread_out(example, seed=0):
    """Return the example with other floating-point numbers, of the order of 1, in all places."""
    columns = []
    for column in example.columns():
        values = column.values
        if values.is_floating_point():
            values = torch.empty_like(values).uniform_(-1, 1, generator=generator(seed))
        columns.append(graphs.Column(values, column.counts))
    return example.filled(columns)


def sizes(buffer):
    """Return the bytes of the floating-point and of the other tensors that a buffer holds."""
    stores = [each for name, each in buffer.state().items() if name != "ring"]
    floating = sum(each.nbytes for each in stores if each.is_floating_point())
    return floating, sum(each.nbytes for each in stores) - floating


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("shape", SHAPES, ids=["dense", "ragged", "graphs"])
def test_half_precision_halves_the_memory(shape, dtype):
    whole, half = ReplayBuffer(50), ReplayBuffer(50, dtype=dtype)
    for buffer in (whole, half):
        buffer.push(shape([1, 3, 2]))
        buffer.push(shape([5, 4]))

    floating, others = sizes(whole)
    assert floating > 0
    assert sizes(half) == (floating // 2, others)


def as_half(values, dtype):
    """Round by numpy, or for want of its own bfloat16 by the bits of float32, ties to even."""
    if dtype == "float16":
        return torch.from_numpy(values.numpy().astype("float16").astype("float32"))
    bits = values.numpy().view("uint32").astype("uint64")
    bits = bits + 0x7FFF + ((bits >> 16) & 1)
    return torch.from_numpy((bits & 0xFFFF0000).astype("uint32").view("float32"))


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("shape", SHAPES, ids=["dense", "ragged", "graphs"])
def test_half_precision_rounds_and_gives_back_the_type(shape, dtype):
    first, second = (spread_out(shape(names), 5) for names in ([3], [2, 4]))
    buffer = ReplayBuffer(1, dtype=dtype)
    buffer.push(second)
    buffer.push(first)

    joined = buffer.union(second, 1, generator())
    expected = second.joined(first)
    pairs = zip(joined.columns(), expected.columns(), second.columns(), strict=True)
    for found, wanted, fresh in pairs:
        assert torch.equal(found.lengths, wanted.lengths)
        assert found.values.dtype == wanted.values.dtype
        head = len(fresh.values)
        assert torch.equal(found.values[:head], wanted.values[:head])
        replayed = wanted.values[head:]
        rounded = as_half(replayed, dtype) if replayed.is_floating_point() else replayed
        assert torch.equal(found.values[head:], rounded)
        assert not replayed.is_floating_point() or not torch.equal(rounded, replayed)
    for drawn, fresh in zip(buffer.draw(2, generator()).columns(), second.columns(), strict=True):
        assert drawn.values.dtype == fresh.values.dtype


@pytest.mark.parametrize(("dtype", "largest"), [("float16", 65504.0), ("bfloat16", 3.3895e38)])
def test_half_precision_leaves_finite_numbers_finite(dtype, largest):
    inf, nan, top = float("inf"), float("nan"), torch.finfo(torch.float32).max
    values = torch.tensor([[top], [-top], [inf], [-inf], [nan], [0.5]])
    problem = Problem(values)
    buffer = ReplayBuffer(6, dtype=dtype)
    buffer.push(Example(problem, values, Iterate(values, problem.layout)))

    drawn = buffer.draw(200, generator()).iterate.y.unique()
    kept = drawn[~drawn.isnan()]
    assert kept.tolist() == pytest.approx([-inf, -largest, 0.5, largest, inf], rel=1e-4)
    assert bool(drawn.isnan().any())


@pytest.mark.parametrize("dtype", HALVES)
def test_double_precision_comes_back_as_such(dtype):
    x = torch.full((2, 3), 1 / 3, dtype=torch.float64)
    problem = Problem(x)
    first, second = ReplayBuffer(2, dtype=dtype), ReplayBuffer(2, dtype=dtype)
    first.push(Example(problem, x, Iterate(x, problem.layout)))
    second.restore(first.state())

    fresh = Example(problem, x, Iterate(x, problem.layout))
    for buffer in (first, second):
        buffer.union(fresh, 1, generator())
        drawn = buffer.draw(1, generator()).target
        assert drawn.dtype == torch.float64
        assert 0 < (drawn - 1 / 3).abs().max() < 0.002


@pytest.mark.parametrize("dtype", [*HALVES, None])
def test_a_state_of_another_precision_is_refused(dtype):
    for other in {*HALVES, None} - {dtype}:
        first = ReplayBuffer(3, dtype=other)
        first.push(dense([1]))
        with pytest.raises(CheckpointError, match="precision of replay that training began with"):
            ReplayBuffer(3, dtype=dtype).restore(first.state())


@pytest.mark.parametrize("dtype", HALVES)
def test_training_with_replay_in_half_precision_resumes_to_the_bit(tmp_path, dtype):
    whole = train(solver=small_solver(replay_dtype=dtype))
    train(tmp_path, solver=small_solver(replay_dtype=dtype), iterations=20)
    resumed = train(tmp_path, solver=small_solver(replay_dtype=dtype), resume=True)

    assert bits(resumed.solver) == bits(whole.solver) != bits(train().solver)
    state, expected = (each.solver.training_state() for each in (resumed, whole))
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("dtype", HALVES)
def test_the_command_line_can_ask_for_half_precision(dtype):
    built = build(SOLVERS, f'irem(replay=4, replay_dtype="{dtype}")', target=Target(TASK))
    built.loss(*TASK.sample(4, generator=generator()), generator())
    floating = {str(each.dtype) for each in built.training_state().values() if len(each) == 4}
    assert floating == {f"torch.{dtype}"}


def test_an_empty_buffer_has_no_state_and_no_draws():
    buffer = ReplayBuffer(3)
    buffer.restore(buffer.state())

    assert buffer.state() == {}
    assert len(buffer) == 0
    with pytest.raises(SettingError, match="empty"):
        buffer.draw(1, generator())


def test_a_state_of_another_capacity_is_refused():
    first = ReplayBuffer(3)
    first.push(dense([1]))
    with pytest.raises(CheckpointError, match="holds 3 problems and this one 4"):
        ReplayBuffer(4).restore(first.state())


def test_tensors_of_another_shape_are_refused():
    buffer = ReplayBuffer(3)
    buffer.push(dense([1]))
    wide = dense([2])
    wide.problem.x["x"] = torch.zeros(1, 4)
    for other in (wide, ragged([1], [2]), graph_batch([1], [2])):
        with pytest.raises(ShapeError, match="must have the same shapes"):
            buffer.push(other)
    assert content(buffer) == {1}
