"""Reductions per problem against loops."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irem_core import Iterate, Layout

ENTRIES = st.sampled_from([(), (1,), (3,), (2, 2)])
ROWS = st.lists(st.integers(1, 5), min_size=1, max_size=6)


def owners(rows):
    return [problem for problem, count in enumerate(rows) for _ in range(count)]


def layout_of(rows, ragged):
    return Layout.of_owner(torch.tensor(owners(rows))) if ragged else Layout(sum(rows))


def by_problem(values, rows, ragged):
    """Return the flattened entries of each problem as plain lists."""
    if not ragged:
        return [row.flatten().tolist() for row in values]
    return [
        [entry for owner, row in zip(owners(rows), values, strict=True) if owner == problem
         for entry in row.flatten().tolist()]
        for problem in range(len(rows))
    ]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, entries=ENTRIES, ragged=st.booleans(), seed=st.integers(0, 99))
def test_reductions_agree_with_loops(rows, entries, ragged, seed):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(sum(rows), *entries, generator=generator, dtype=torch.float64)
    layout, lists = layout_of(rows, ragged), by_problem(values, rows, ragged)

    def assert_is(found, expected):
        torch.testing.assert_close(
            found, torch.tensor(expected, dtype=found.dtype), rtol=0, atol=1e-12
        )

    assert layout.rows == sum(rows)
    assert layout.count == len(lists)
    assert_is(layout.sum(values), [sum(each) for each in lists])
    assert_is(layout.mean(values), [sum(each) / len(each) for each in lists])
    assert_is(layout.amax(values), [max(each) for each in lists])
    assert layout.entries(values).tolist() == [len(each) for each in lists]
    assert layout.all(values > -0.5).tolist() == [all(v > -0.5 for v in each) for each in lists]

    spread = layout.spread(layout.sum(values), values)
    assert (values + spread).shape == values.shape
    expected = [sum(lists[owner]) for owner in (owners(rows) if ragged else range(len(lists)))]
    assert_is(spread.flatten(), expected)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, ragged=st.booleans(), data=st.data())
def test_selecting_keeps_the_rows_of_the_chosen_problems(rows, ragged, data):
    layout = layout_of(rows, ragged)
    chosen = sorted(data.draw(st.sets(st.integers(0, layout.count - 1), min_size=1)))
    kept = layout.rows_of(torch.tensor(chosen)).tolist()
    selected = layout.select(torch.tensor(chosen))

    each_owner = owners(rows) if ragged else list(range(layout.count))
    assert kept == [row for row, owner in enumerate(each_owner) if owner in chosen]
    assert selected.count == len(chosen)
    if ragged:
        assert selected.owner.tolist() == [
            chosen.index(owner) for owner in each_owner if owner in chosen
        ]


@settings(max_examples=30, deadline=None)
@given(rows=ROWS, ragged=st.booleans(), scratchpad=st.booleans())
def test_norms_and_products_count_y_and_z(rows, ragged, scratchpad):
    generator = torch.Generator().manual_seed(sum(rows))
    layout = layout_of(rows, ragged)

    def draw():
        y = torch.randn(sum(rows), 2, generator=generator, dtype=torch.float64)
        z = torch.randn(layout.count, 3, generator=generator, dtype=torch.float64)
        return Iterate(y, layout, z if scratchpad else None)

    def flat(iterate):
        lists = by_problem(iterate.y, rows, ragged)
        z = [[]] * len(lists) if iterate.z is None else iterate.z.tolist()
        return [first + second for first, second in zip(lists, z, strict=True)]

    one, two = draw(), draw()
    scale = torch.arange(1.0, layout.count + 1, dtype=torch.float64)
    dots = [
        sum(a * b for a, b in zip(*pair, strict=True))
        for pair in zip(flat(one), flat(two), strict=True)
    ]
    torch.testing.assert_close(one.dot(two), torch.tensor(dots, dtype=torch.float64))
    torch.testing.assert_close(one.norm() ** 2, one.dot(one))
    torch.testing.assert_close(
        one.amax(), torch.tensor([max(map(abs, each)) for each in flat(one)], dtype=torch.float64)
    )
    torch.testing.assert_close((scale * one).dot(two), scale * one.dot(two))
    torch.testing.assert_close((one + 2 * two - two).dot(one), one.dot(one) + two.dot(one))


def test_one_bad_entry_spoils_its_own_problem_alone():
    layout = Layout.of_owner(torch.tensor([0, 0, 1, 2]))
    y, z = torch.zeros(4, 2), torch.zeros(3, 2)
    y[1, 0], z[2, 1] = torch.nan, torch.inf

    assert Iterate(y, layout).finite().tolist() == [False, True, True]
    assert Iterate(y, layout, z).finite().tolist() == [False, True, False]
