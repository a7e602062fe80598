"""The pairwise energy: its poolings, its formula, batches of mixed sizes and permuted nodes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from irem_core import (
    EdgeSpace,
    FixedSteps,
    GradientDescent,
    Iterate,
    MatrixSpace,
    PairwiseEnergy,
    Problem,
    SettingError,
    ShapeError,
    VectorSpace,
    differentiate,
    graphs,
    minimize,
)
from irem_core.energies import triangles
from irem_core.problems import trees

EDGES = EdgeSpace()


def energy(space=EDGES, pooling="max", blocks=2):
    torch.manual_seed(0)
    return PairwiseEnergy(space, space, width=6, blocks=blocks, pooling=pooling).double()


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def problem_of(matrices):
    """Return complete graphs whose edges have the entries of matrices as values."""
    nodes = torch.tensor([len(each) for each in matrices])
    return Problem(graphs.complete(nodes, torch.cat([each.reshape(-1, 1) for each in matrices])))


def by_the_formula(made, x, y, pool):
    """Return the energy of one pair of matrices, written out."""
    weights = dict(made.named_parameters())

    def linear(name, value):
        return functional.linear(value, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    size = len(x)
    eye = torch.eye(size, dtype=x.dtype)
    h = linear("question_map", torch.stack([x, eye], -1)) + linear("answer_map", y[..., None])
    for block in range(len(made.blocks)):
        left, right = linear(f"blocks.{block}.sides", h).chunk(2, -1)
        pooled = torch.stack(
            [torch.stack([pool(left[i], right[:, j]) for j in range(size)]) for i in range(size)]
        )
        joined = torch.cat([h, h.transpose(0, 1), pooled], -1)
        hidden = functional.silu(linear(f"blocks.{block}.first", joined))
        h = h + linear(f"blocks.{block}.second", hidden)
    return weights["log_scale"].exp() / 2 * linear("read_out", h).square().mean(-1).sum()


POOLS = {
    "max": lambda left, right: (left + right).amax(0),
    "product": lambda left, right: torch.asinh((left * right).sum(0)),
}


@pytest.mark.parametrize("pooling", POOLS)
def test_the_energy_is_that_of_its_formula(pooling):
    made = energy(pooling=pooling)
    sizes = (3, 1, 5, 4)
    x = [draw(size, size, seed=size) for size in sizes]
    y = [draw(size, size, seed=10 + size) for size in sizes]
    expected = torch.stack(
        [by_the_formula(made, *pair, POOLS[pooling]) for pair in zip(x, y, strict=True)]
    )
    found = made(problem_of(x), torch.cat([each.reshape(-1, 1) for each in y]))

    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("pooling", POOLS)
def test_matrices_and_complete_graphs_of_one_size_are_the_same(pooling):
    on_edges, on_matrices = energy(EDGES, pooling), energy(MatrixSpace(4, 4), pooling)
    x, y = draw(3, 4, 4), draw(3, 4, 4, seed=1)

    torch.testing.assert_close(on_matrices(x, y), on_edges(problem_of(list(x)), y.reshape(-1, 1)))


@pytest.mark.parametrize(("pooling", "fill"), [("max", -torch.inf), ("product", 0.0)])
def test_poolings_have_the_derivatives_of_the_plain_ones(pooling, fill):
    pool, given_fill = triangles.POOLINGS[pooling]
    assert given_fill == fill

    def plain(left, right):
        pairs = (left[:, :, :, None], right[:, None])
        if pooling == "max":
            return (pairs[0] + pairs[1]).amax(2)
        return (pairs[0] * pairs[1]).sum(2).asinh()

    # Large enough for several blocks of problems.
    left, right = draw(40, 5, 5, 30), draw(40, 5, 5, 30, seed=1)
    outer = draw(40, 5, 5, 30, seed=2)
    found = []
    for each in (pool, plain):
        ends = (left.clone().requires_grad_(), right.clone().requires_grad_())
        value = each(*ends)
        first = torch.autograd.grad((outer * value.square()).sum(), ends, create_graph=True)
        second = torch.autograd.grad(sum((part**3).sum() for part in first), ends)
        found.append((value, *first, *second))
    torch.testing.assert_close(*found)


def test_entries_that_only_fill_up_take_no_part():
    left, right = draw(2, 3, 3, 2), draw(2, 3, 3, 2, seed=1)
    for name, (pool, fill) in triangles.POOLINGS.items():
        wide = [functional.pad(each, (0, 0, 0, 2, 0, 2), value=fill) for each in (left, right)]
        found = pool(*wide)[:, :3, :3]
        torch.testing.assert_close(found, pool(left, right), msg=name)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), st.integers(0, 1000), st.booleans())
def test_a_batch_gives_the_answers_of_its_problems_alone(sizes, seed, largest):
    made = energy(pooling="max" if largest else "product")
    x = [draw(size, size, seed=seed + place) for place, size in enumerate(sizes)]
    y = [draw(size, size, seed=seed + 50 + place) for place, size in enumerate(sizes)]

    def solved(chosen):
        solution = minimize(
            made,
            problem_of([x[each] for each in chosen]),
            start=torch.cat([y[each].reshape(-1, 1) for each in chosen]),
            descent=GradientDescent(step_size=0.1),
            halting=FixedSteps(steps=3),
        )
        return solution.y, solution.energy

    together = solved(range(len(sizes)))
    alone = [solved([each]) for each in range(len(sizes))]
    for place, value in enumerate(together):
        expected = torch.cat([each[place] for each in alone])
        torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(5)), st.integers(0, 1000), st.booleans())
def test_permuted_nodes_have_permuted_answers(order, seed, largest):
    made = energy(pooling="max" if largest else "product")
    x, y = draw(5, 5, seed=seed), draw(5, 5, seed=seed + 1)

    def slope(x, y):
        problem = problem_of([x])
        iterate = Iterate(y.reshape(-1, 1), problem.layout)
        found = differentiate(made, made.encode(problem), iterate)
        return found.energy, found.slope.y.reshape(5, 5)

    value, at = slope(x, y)
    permuted, moved = slope(x[order][:, order], y[order][:, order])
    torch.testing.assert_close(permuted, value)
    torch.testing.assert_close(moved, at[order][:, order])


def test_a_context_is_right_for_the_problems_that_are_left():
    made = energy()
    x = [draw(size, size, seed=size) for size in (3, 6, 2, 4)]
    problem = problem_of(x)
    y = draw(problem.layout.rows, 1)
    context = made.encode(problem)
    kept = torch.tensor([0, 2, 3])
    some = trees.select(context, problem.layout, kept)
    rest = trees.select(y, problem.layout, kept)

    torch.testing.assert_close(made.energy(some, rest), made.energy(context, y)[kept])


def test_entries_show_what_each_adds():
    made, x, y = energy(MatrixSpace(4, 4)), draw(2, 4, 4), draw(2, 4, 4, seed=1)
    context = made.encode(made.problem(x))
    contributions = made.contributions(context, y)

    assert contributions.shape == (2, 4, 4)
    assert (contributions >= 0).all()
    torch.testing.assert_close(contributions.sum((1, 2)), made(x, y))


def test_matrices_of_another_size():
    made = energy(MatrixSpace(4, 4))
    x = draw(2, 6, 6)
    solution = minimize(made, x, descent=GradientDescent(step_size=0.1), max_steps=2)
    assert solution.y.shape == x.shape
    with pytest.raises(ShapeError, match="4 x 5"):
        minimize(made, draw(2, 4, 5), descent=GradientDescent(step_size=0.1))


@pytest.mark.parametrize(
    "spaces",
    [
        (VectorSpace(4), VectorSpace(4)),
        (MatrixSpace(3, 4), MatrixSpace(3, 4)),
        (MatrixSpace(3, 3), MatrixSpace(4, 4)),
        (MatrixSpace(3, 3), EDGES),
        (EDGES, MatrixSpace(3, 3)),
    ],
    ids=str,
)
def test_other_spaces_are_refused(spaces):
    with pytest.raises(SettingError, match="PairwiseEnergy got"):
        PairwiseEnergy(*spaces)


@pytest.mark.parametrize("wrong", [{"width": 0}, {"blocks": 0}, {"pooling": "mean"}], ids=str)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(SettingError, match=next(iter(wrong))):
        PairwiseEnergy(EDGES, EDGES, **wrong)
