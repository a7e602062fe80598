"""The elementwise energy: its formula, what an entry sees, and answers of any length."""

import pytest
import torch
from torch.nn import functional

from irem_core import (
    IREM,
    EdgeSpace,
    ElementwiseEnergy,
    GradientDescent,
    MatrixSpace,
    Problem,
    SettingError,
    ShapeError,
    VectorSpace,
    evaluate,
    fit,
    graphs,
    minimize,
)
from irem_tasks import Add
from irem_tasks.graphs import EdgeCopy


def energy(question, answer, **settings):
    """Return an energy whose network is not zero, as it is at first."""
    torch.manual_seed(0)
    made = ElementwiseEnergy(question, answer, width=5, hidden=7, **settings).double()
    torch.nn.init.normal_(made.network[2].weight)
    return made


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def by_the_formula(made, own, y):
    """Return what one entry adds, from its own numbers of x and of y."""
    h = functional.linear(own, made.question_map.weight, made.question_map.bias)
    h = h + made.answer_map.weight @ y
    first, _, last = made.network
    r = made.read_out(h + last(functional.silu(first(h))))
    return made.log_scale.exp() / 2 * r.square().mean()


def test_the_energy_is_that_of_its_formula():
    made = energy(VectorSpace(6), VectorSpace(3))
    x, y = draw(4, 6), draw(4, 3, seed=1)
    expected = [
        sum(by_the_formula(made, x[b, [i, 3 + i]], y[b, [i]]) for i in range(3)) for b in range(4)
    ]
    torch.testing.assert_close(made(x, y), torch.stack(expected))


def test_neighbours_are_seen_up_to_their_distance_and_zeros_beyond_the_ends():
    made = energy(VectorSpace(8), VectorSpace(4), neighbours=1)
    x, y = draw(2, 8), draw(2, 4, seed=1)
    first, second, candidate = (functional.pad(v, (1, 1)) for v in (x[:, :4], x[:, 4:], y))
    expected = [
        sum(
            by_the_formula(
                made,
                torch.cat([first[b, i : i + 3], second[b, i : i + 3]]),
                candidate[b, i : i + 3],
            )
            for i in range(4)
        )
        for b in range(2)
    ]
    torch.testing.assert_close(made(x, y), torch.stack(expected))


def test_matrices_and_edges_are_judged_as_vectors_of_their_entries():
    flat = energy(VectorSpace(9), VectorSpace(9))
    x, y = draw(2, 9), draw(2, 9, seed=1)
    expected = flat(x, y)
    matrices = energy(MatrixSpace(3, 3), MatrixSpace(3, 3))
    torch.testing.assert_close(matrices(x.view(2, 3, 3), y.view(2, 3, 3)), expected)
    edges = energy(EdgeSpace(), EdgeSpace())
    batch = graphs.complete(torch.tensor([3, 3]), x.view(-1, 1))
    torch.testing.assert_close(edges(batch, y.view(-1, 1)), expected)


@pytest.mark.parametrize("neighbours", [0, 2])
def test_questions_of_any_length_are_taken(neighbours):
    """Far from the ends an entry's answer does not depend on the length."""
    made = energy(VectorSpace(6), VectorSpace(3), neighbours=neighbours)
    x = draw(2, 2, 40)
    options = {"descent": GradientDescent(step_size=0.01), "max_steps": 3}
    long = minimize(made, x.flatten(1), start=torch.zeros(2, 40).double(), **options).y
    part = x[:, :, 10:30].flatten(1)
    short = minimize(made, part, start=torch.zeros(2, 20).double(), **options).y
    reach = 3 * 2 * neighbours
    torch.testing.assert_close(
        short[:, reach : 20 - reach], long[:, 10 + reach : 30 - reach], rtol=0, atol=1e-12
    )
    assert long.shape == (2, 40)


def test_a_length_that_is_no_multiple_is_refused():
    made = energy(VectorSpace(6), VectorSpace(3))
    with pytest.raises(ShapeError, match="2 vectors end to end"):
        minimize(made, draw(2, 7), descent=GradientDescent(step_size=0.1))
    with pytest.raises(ShapeError, match="2 vectors end to end"):
        minimize(made, draw(2, 2, 4), descent=GradientDescent(step_size=0.1))
    with pytest.raises(ShapeError, match="expected answers of 4 entries"):
        minimize(made, Problem(draw(2, 8), made.answer), descent=GradientDescent(step_size=0.1))


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (VectorSpace(7), VectorSpace(3)),
        (MatrixSpace(2, 3), MatrixSpace(3, 2)),
        (VectorSpace(4), EdgeSpace()),
        (EdgeSpace(), VectorSpace(1)),
    ],
)
def test_spaces_that_do_not_fit_are_refused(question, answer):
    with pytest.raises(SettingError, match="ElementwiseEnergy got question="):
        ElementwiseEnergy(question, answer)


def test_neighbours_are_of_vectors():
    with pytest.raises(SettingError, match="neighbours=1"):
        ElementwiseEnergy(EdgeSpace(), EdgeSpace(), neighbours=1)


def test_addition_is_learned_for_any_length_and_scale():
    task = Add(size=6)
    solver = IREM.for_task(
        task,
        energy=ElementwiseEnergy.for_task(task),
        descent=GradientDescent(step_size=1.0),
        replayed=0.0,
    )
    options = {"learning_rate": 0.01, "schedule": "cosine", "clip_norm": 1.0}
    fit(solver, task, iterations=300, batch_size=64, **options)
    assert evaluate(solver, task, problems=100).mse < 1e-6
    longer = evaluate(solver, Add(size=50), difficulty="scale=7", problems=20)
    assert longer.mse < 5e-5
    x = draw(2, 2 * 33).float()
    solution = solver.solve(x)
    assert float((solution.y - x[:, :33] - x[:, 33:]).abs().max()) < 0.01


def test_edge_copies_are_learned_by_rows():
    task = EdgeCopy()
    energy = ElementwiseEnergy.for_task(task)
    problem, target = task.sample(3, "train", generator=torch.Generator().manual_seed(0))
    assert energy(problem, target).shape == (3,)
    with pytest.raises(ShapeError, match="edge_attr"):
        energy(Problem(graphs.complete(torch.tensor([2]), torch.zeros(4, 2)), EdgeSpace()), target)
