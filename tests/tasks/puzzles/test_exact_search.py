"""The exact search, against a SAT solver and against numbers that are known."""

from itertools import combinations

import pytest
import torch
from pysat.solvers import Solver

from irem_tasks.puzzles.base_sets import draw
from irem_tasks.puzzles.boards import Kind, solves
from irem_tasks.puzzles.exact_search import search
from irem_tasks.puzzles.making import exchanged, minimal, random_full

# A board that is known for needing several guesses (Inkala, 2006).
ESCARGOT = "100007090030020008009600500005300900010080002600004000300000010040000007007000300"


def board(text):
    return torch.tensor([[int(each, 36) if each.isalnum() else 0 for each in text]])


def by_sat(givens, groups, at_most):
    """Find up to so many solutions, as a set of tuples, by clauses."""
    size, cells = groups.shape[-1], range(len(givens))

    def true(cell, value):
        return cell * size + value

    with Solver("cadical153") as solver:
        units = [[true(cell, value) for value in range(1, size + 1)] for cell in cells]
        units += [
            [true(cell, value) for cell in group]
            for group in groups.tolist()
            for value in range(1, size + 1)
        ]
        for unit in units:
            solver.add_clause(unit)
            for pair in combinations(unit, 2):
                solver.add_clause([-each for each in pair])
        for cell, value in enumerate(givens):
            if value:
                solver.add_clause([true(cell, value)])
        found = set()
        while len(found) < at_most and solver.solve():
            model = [each for each in solver.get_model() if each > 0]
            found.add(tuple((each - 1) % size + 1 for each in model))
            solver.add_clause([-each for each in model])
    return found


@pytest.mark.parametrize("kind", [Kind(4), Kind(6), Kind(9), Kind(6, "latin"), Kind(4, "diagonal")])
def test_it_finds_the_solutions_that_a_sat_solver_finds(kind):
    generator = torch.Generator().manual_seed(0)
    groups = kind.groups()
    full, _ = random_full(4, groups, generator=generator)
    givens = minimal(full, groups, generator=generator)
    # Without one of its givens a minimal board has several solutions.
    givens[torch.arange(4), (givens > 0).long().argmax(1)] = 0
    found = search(givens, groups, at_most=1000)

    assert found.complete.all()
    assert (found.count > 1).all()
    for index, each in enumerate(givens.tolist()):
        ours = {tuple(row) for row in found.solutions[found.owner == index].tolist()}
        assert len(ours) == found.count[index]
        assert ours == by_sat(each, groups, 1000)


@pytest.mark.parametrize(
    ("kind", "boards"), [(Kind(4), 288), (Kind(4, "latin"), 576), (Kind(4, "diagonal"), 48)]
)
def test_it_counts_as_many_full_boards_as_there_are(kind, boards):
    found = search(torch.zeros(1, 16, dtype=torch.int64), kind.groups(), at_most=1000)
    assert found.count.tolist() == [boards]
    assert len(found.solutions.unique(dim=0)) == boards


def test_branches_tell_hard_boards_from_those_that_forced_cells_solve():
    hard = board(ESCARGOT)
    easy = search(hard, Kind().groups()).solutions
    easy[0, ::4] = 0
    found = search(torch.cat([hard, easy]), Kind().groups())

    assert found.unique.all()
    assert found.branches[0] > 5
    assert found.branches[1] == 0


def test_a_search_that_is_cut_short_says_so():
    found = search(board(ESCARGOT), Kind().groups(), branches=2)
    assert not found.complete
    assert not found.unique


def test_a_board_that_contradicts_itself_has_no_solution():
    found = search(board("11" + "0" * 14), Kind(4).groups())
    assert found.complete
    assert found.count.tolist() == [0]


@pytest.mark.parametrize("kind", [Kind(4), Kind(6), Kind(9), Kind(9, "diagonal"), Kind(9, "latin")])
def test_full_boards_hold_each_value_once_in_every_group(kind):
    generator = torch.Generator().manual_seed(1)
    full, filled = random_full(4, kind.groups(), generator=generator)
    assert filled.all()
    assert solves(full, full * 0, kind.groups()).all()
    for group in kind.groups():
        assert (full[:, group].sort().values == torch.arange(1, kind.size + 1)).all()


def test_no_given_of_a_minimal_board_can_go():
    generator = torch.Generator().manual_seed(2)
    groups = Kind(6).groups()
    full, _ = random_full(3, groups, generator=generator)
    for given, solution in zip(minimal(full, groups, generator=generator), full, strict=True):
        assert by_sat(given.tolist(), groups, 2) == {tuple(solution.tolist())}
        for cell in given.nonzero()[:, 0]:
            fewer = given.clone()
            fewer[cell] = 0
            assert len(by_sat(fewer.tolist(), groups, 2)) == 2


def test_exchanges_make_boards_of_fewer_givens_that_have_one_solution():
    generator = torch.Generator().manual_seed(3)
    groups = Kind(6).groups()
    full, _ = random_full(8, groups, generator=generator)
    givens = minimal(full, groups, generator=generator)
    fewer = exchanged(givens, full, groups, away=2, generator=generator)

    gone = (givens > 0).sum(1) - (fewer > 0).sum(1)
    assert set(gone.tolist()) == {0, 1}
    for each, solution in zip(fewer.tolist(), full.tolist(), strict=True):
        assert by_sat(each, groups, 2) == {tuple(solution)}


@pytest.mark.parametrize("kind", [Kind(9), Kind(9, "jigsaw")], ids=str)
def test_drawn_boards_have_one_solution_by_a_sat_solver(kind):
    boards = draw(6, 26, kind=kind, generator=torch.Generator().manual_seed(4))
    groups = boards.groups.expand(6, -1, -1)
    for index, (given, solution) in enumerate(zip(boards.givens, boards.solutions, strict=True)):
        assert by_sat(given.tolist(), groups[index], 2) == {tuple(solution.tolist())}
    found = search(boards.givens, boards.groups)
    assert torch.equal(found.solutions[found.owner.argsort()], boards.solutions)
    # With one given changed as many boards are left without a solution as the other one says.
    wrong = boards.givens.clone()
    cell = (wrong > 0).long().argmax(1, keepdim=True)
    wrong.scatter_(1, cell, wrong.gather(1, cell) % 9 + 1)
    known = [len(by_sat(each.tolist(), mine, 2)) for each, mine in zip(wrong, groups, strict=True)]
    assert search(wrong, boards.groups).count.clamp(max=2).tolist() == known
