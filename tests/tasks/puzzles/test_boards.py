"""Boards, their symmetries, and those that come with the package."""

from itertools import permutations

import networkx as nx
import pytest
import torch

from irem_core import Between, SettingError
from irem_tasks.puzzles.base_sets import base_set, draw, known_kinds, load, save
from irem_tasks.puzzles.boards import VARIANTS, Kind, repeated, solves
from irem_tasks.puzzles.exact_search import search
from irem_tasks.puzzles.regions import random_regions
from irem_tasks.puzzles.symmetries import Symmetries, fingerprints

KINDS = known_kinds()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("kind", "groups"),
    [
        (Kind(4), 12),
        (Kind(6), 18),
        (Kind(9), 27),
        (Kind(16), 48),
        (Kind(9, "latin"), 18),
        (Kind(9, "diagonal"), 29),
    ],
)
def test_every_cell_lies_in_a_row_a_column_and_a_box(kind, groups):
    found = kind.groups()
    assert found.shape == (groups, kind.size)
    assert all(len(set(group)) == kind.size for group in found.tolist())
    times = found.flatten().bincount(minlength=kind.cells)
    usual = 2 if kind.variant == "latin" else 3
    assert (times >= usual).all()
    assert (times == usual).any()


def test_boxes_of_six_are_two_rows_of_three():
    assert Kind(6).groups()[12].tolist() == [0, 1, 2, 6, 7, 8]
    assert Kind(9, "diagonal").groups()[27:].tolist() == [
        list(range(0, 81, 10)),
        list(range(8, 80, 8)),
    ]


def test_groups_of_jigsaw_boards_are_those_of_their_regions():
    kind = Kind(6, "jigsaw")
    regions = random_regions(3, kind, generator=seeded())
    groups = kind.groups(regions)
    assert groups.shape == (3, 18, 6)
    for mine, theirs in zip(regions, groups, strict=True):
        for number, group in enumerate(theirs[12:].tolist()):
            assert set(mine[group].tolist()) == {number}


def test_regions_are_connected_and_of_one_size():
    for size in (6, 9):
        grid = nx.convert_node_labels_to_integers(nx.grid_2d_graph(size, size), ordering="sorted")
        drawn = random_regions(5, Kind(size, "jigsaw"), generator=seeded())
        assert len(drawn.unique(dim=0)) == 5
        for regions in drawn:
            for number in range(size):
                cells = (regions == number).nonzero()[:, 0].tolist()
                assert len(cells) == size
                assert nx.is_connected(grid.subgraph(cells))


@pytest.mark.parametrize(("variant", "regions"), [("plain", True), ("jigsaw", False)])
def test_jigsaw_boards_alone_have_regions(variant, regions):
    with pytest.raises(SettingError, match="expected a region for each cell of jigsaw boards"):
        Kind(4, variant).groups(torch.zeros(1, 16, dtype=torch.int64) if regions else None)


@pytest.mark.parametrize(("size", "variant"), [(5, "plain"), (9, "killer")])
def test_other_kinds_are_refused(size, variant):
    with pytest.raises(SettingError):
        Kind(size, variant)


def test_what_solves_a_board_is_full_keeps_its_givens_and_repeats_nothing():
    groups = Kind(4).groups()
    right = torch.tensor([[1, 2, 3, 4, 3, 4, 1, 2, 2, 1, 4, 3, 4, 3, 2, 1]])
    givens = right * (torch.arange(16) % 3 == 0)
    assert solves(right, givens, groups).tolist() == [True]
    for cell, value in ((1, 0), (1, 3), (0, 2)):
        wrong = right.clone()
        wrong[0, cell] = value
        assert not solves(wrong, givens, groups).any()
    # Of all 288 right boards, those that agree with the givens.
    others = search(right * 0, groups, at_most=1000).solutions
    agree = [all(g in (0, o) for g, o in zip(givens[0], each, strict=True)) for each in others]
    assert solves(others, givens.expand_as(others), groups).tolist() == agree
    assert repeated(givens, groups).sum() == 0


def moves(kind, count):
    drawn = Symmetries.draw(kind, count, generator=seeded())
    return {tuple(each) for each in drawn.source.tolist()}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Kind(4), 128),
        (Kind(4, "latin"), 2 * 24 * 24),
        (Kind(9, "jigsaw"), 8),
        (Kind(9, "diagonal"), 2 * 2 * 24),
    ],
)
def test_all_symmetries_are_drawn(kind, expected):
    assert len(moves(kind, 12 * expected)) == expected


@pytest.mark.parametrize("kind", [Kind(4), Kind(4, "diagonal"), Kind(4, "latin")])
def test_symmetries_of_small_boards_are_exactly_those_that_keep_groups(kind):
    """By brute force: of all orders of rows and columns, those that map groups to groups."""
    groups = {frozenset(group) for group in kind.groups().tolist()}
    kept = set()
    for rows in permutations(range(4)):
        for columns in permutations(range(4)):
            source = [4 * row + column for row in rows for column in columns]
            turned = [4 * row + column for column in columns for row in rows]
            for each in (source, turned):
                if {frozenset(each[cell] for cell in group) for group in groups} == groups:
                    kept.add(tuple(each))
    assert moves(kind, 12 * len(kept)) == kept


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_symmetries_keep_solutions_and_fingerprints(kind):
    boards = base_set(kind, "train")[:40]
    moved = boards.permuted(seeded())
    assert solves(moved.solutions, moved.givens, moved.groups).all()
    assert not torch.equal(moved.givens, boards.givens)

    prints = [fingerprints(each.solutions, each.givens, each.groups) for each in (boards, moved)]
    assert torch.equal(*prints)
    assert len(prints[0].unique()) == len(boards)


def test_there_are_36_minimal_boards_of_four_and_fingerprints_tell_them_apart():
    """That many are known, 13 of them of four givens; the smallest form of each is told apart."""
    boards = [base_set(Kind(4), part) for part in ("train", "test")]
    givens = torch.cat([each.givens for each in boards])
    assert (givens > 0).sum(1).bincount().tolist() == [0, 0, 0, 0, 13, 22, 1]

    places = torch.tensor(sorted(moves(Kind(4), 2000)))
    forms = set()
    for given in givens:
        turned = given[places].tolist()
        forms.add(min(tuple(_renamed(each)) for each in turned))
    assert len(forms) == 36


def _renamed(values):
    """Number values in the order in which they first occur."""
    names = {0: 0}
    return [names.setdefault(value, len(names)) for value in values]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_boards_that_come_with_the_package_have_one_solution_and_parts_are_apart(kind):
    parts = [base_set(kind, part) for part in ("train", "test")]
    prints = [fingerprints(each.solutions, each.givens, each.groups) for each in parts]
    assert not torch.isin(*prints).any()
    for each in parts:
        some = each[:: max(1, len(each) // 10)]
        found = search(some.givens, some.groups)
        assert found.unique.all()
        assert torch.equal(found.solutions[found.owner.argsort()], some.solutions)


def test_the_hardest_boards_need_more_search_and_are_none_to_train_with():
    hardest, usual = base_set(Kind(), "hardest"), base_set(Kind(), "test")
    found = search(hardest.givens[:40], hardest.groups)
    assert found.unique.all()
    few = search(usual.givens[::25], usual.groups).branches
    assert found.branches.double().mean() > 2 * few.double().mean()
    parts = (hardest, base_set(Kind(), "train"))
    prints = [fingerprints(each.solutions, each.givens, each.groups) for each in parts]
    assert not torch.isin(*prints).any()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_drawn_boards_have_as_many_givens_as_asked(kind):
    low = int((base_set(kind, "test").givens > 0).sum(1)[0]) + 1
    wanted = Between(low, low + 3)
    boards = draw(60, wanted, kind=kind, part="test", generator=seeded())

    many = (boards.givens > 0).sum(1)
    assert set(many.tolist()) == set(range(low, low + 4))
    assert solves(boards.solutions, boards.givens, boards.groups).all()
    again = draw(60, wanted, kind=kind, part="test", generator=seeded())
    assert torch.equal(again.givens, boards.givens)


@pytest.mark.parametrize("givens", [3, 82, Between(2, 30), Between(60, 90)])
def test_givens_that_no_board_can_have_are_refused(givens):
    with pytest.raises(SettingError, match=r"of size 9, plain, train, expected from \d\d to 81"):
        draw(1, givens, generator=seeded())


@pytest.mark.parametrize("part", ["train", "test"])
def test_minimal_boards_are_base_boards_after_a_symmetry(part):
    base = base_set(Kind(), part)
    boards = draw(50, Between(22, 23), part=part, minimal=True, generator=seeded())
    many = (boards.givens > 0).sum(1)
    assert set(many.tolist()) == {22, 23}
    prints = [fingerprints(each.solutions, each.givens, each.groups) for each in (boards, base)]
    assert torch.isin(*prints).all()
    with pytest.raises(SettingError, match=r"test, expected from 2\d to 2\d"):
        draw(1, Between(60, 70), part="test", minimal=True, generator=seeded())


def test_kinds_without_boards_are_refused_by_name():
    with pytest.raises(SettingError, match=r"size 4, jigsaw.* there are: .*plain-9"):
        draw(1, generator=seeded(), kind=Kind(4, "jigsaw"))


def test_base_sets_are_read_as_they_were_written(tmp_path):
    assert {kind.variant for kind in KINDS} <= set(VARIANTS)
    boards = base_set(KINDS[0], "train")
    save(boards, tmp_path / "boards.npz")
    again = load(boards.kind, tmp_path / "boards.npz")
    assert torch.equal(again.givens, boards.givens)
    assert torch.equal(again.solutions, boards.solutions)
