"""Sudoku as a task: its factor graphs, its measures, and its files."""

from pathlib import Path

import attrs
import pytest
import torch

from irem_core import (
    Between,
    Constraints,
    FixedSteps,
    GradientDescent,
    SettingError,
    load_pretrained,
    load_task,
    minimize,
    recipe,
)
from irem_core.energies.factor import FactorEnergy
from irem_core.runs.description import describe
from irem_tasks.puzzles.base_sets import Boards, base_set, known_kinds
from irem_tasks.puzzles.board_problems import boards_of, graphs_of
from irem_tasks.puzzles.boards import Kind, solves

TASK = load_task("sudoku")


def sample(count, difficulty="same"):
    return TASK.sample(count, difficulty, generator=torch.Generator().manual_seed(0))


def values_of(y, size=9):
    return y.view(-1, size**2, size).argmax(-1) + 1


def givens_of(problem, size=9):
    given = problem.x["entry"].x[:, 0].view(-1, size**2, size)
    return torch.where(given.any(-1), given.argmax(-1) + 1, 0)


@pytest.mark.parametrize(
    ("difficulty", "size", "variant"),
    [
        ("same", 9, "plain"),
        ("size=4,givens=6..8", 4, "plain"),
        ("size=6,givens=14..18", 6, "plain"),
    ],
)
def test_answers_solve_their_boards_and_others_do_not(difficulty, size, variant):
    problem, y = sample(5, difficulty)
    givens, values = givens_of(problem, size), values_of(y, size)
    groups = Kind(size=size, variant=variant).groups()
    assert solves(values, givens, groups).all()
    assert problem.verified(y).all()
    # The first blank of each board gets another value.
    wrong, blank = y.view(5, size**2, size).clone(), (givens == 0).int().argmax(1)
    boards = torch.arange(5)
    wrong[boards, blank] = wrong[boards, blank].roll(1, -1)
    assert not problem.verified(wrong.view(-1, 1)).any()
    measured = TASK.measures(problem, wrong.view(-1, 1), y)
    assert torch.allclose(measured["cells"], torch.tensor(1 - 1 / size**2))


def test_a_right_board_that_is_not_as_given_is_not_solved():
    problem, y = sample(2)
    swapped = y.view(2, 81, 9)[..., [1, 0, *range(2, 9)]].reshape(-1, 1)
    assert not problem.verified(swapped).any()


def test_what_is_given_is_never_answered_otherwise():
    problem, y = sample(2)
    blank = (problem.x["entry"].x[:, 1:] == 0) * y
    assert problem.verified(blank).all()
    assert problem.verified(blank - (problem.x["entry"].x[:, 1:] > 0) * y).all()


def test_the_same_board_is_the_same_question_written_constraint_by_constraint():
    problem, _ = sample(1)
    puzzle = Constraints()
    cells = [puzzle.variable(range(1, 10)) for _ in range(81)]
    for group in Kind().groups().tolist():
        puzzle.all_different([cells[place] for place in group])
    for place, value in enumerate(givens_of(problem)[0].tolist()):
        if value:
            puzzle.given(cells[place], value)
    energy = FactorEnergy.for_task(TASK)
    y = torch.rand(729, 1, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(energy(puzzle.problem(), y), energy(problem, y))


def solved(problem, y):
    energy = FactorEnergy.for_task(TASK, width=2)
    halting = FixedSteps(steps=1)
    found = minimize(
        energy, problem, descent=GradientDescent(step_size=0.1), halting=halting, start=y
    )
    return attrs.evolve(found, y=y)


@pytest.mark.parametrize("ending", ["txt", "csv"])
def test_boards_are_written_and_read_again_and_those_not_solved_stay_as_given(tmp_path, ending):
    problem, y = sample(3)
    half = y.view(3, -1).clone()
    half[1] = 0.5
    file = tmp_path / f"boards.{ending}"
    TASK.write(file, problem, half.view(-1, 1))
    again = givens_of(TASK.read(file, torch.device("cpu")))
    assert torch.equal(again[::2], values_of(y)[::2])
    assert torch.equal(again[1], givens_of(problem)[1])
    report = TASK.report(problem, solved(problem, half.view(-1, 1)))
    assert "2 of 3 boards are solved and checked" in report
    assert "was found in 0 restarts of 1 (1) of 3 problems" in report


@pytest.mark.parametrize("difficulty", ["size=5", "variant=round", "part=all", "givens=-1"])
def test_parameters_out_of_range_are_refused(difficulty):
    with pytest.raises(SettingError, match="The difficulty parameter"):
        sample(1, difficulty)


@pytest.mark.parametrize(
    ("task", "low", "high"), [("sudoku(size=4)", 4, 7), ("sudoku(variant='diagonal')", 20, 34)]
)
def test_other_kinds_have_difficulties_of_their_own(task, low, high):
    task = load_task(task)
    assert task.difficulties["harder"]["givens"] == Between(low, high)
    assert TASK.difficulties["harder"]["givens"] == Between(20, 34)


def test_the_oracle_finds_solutions_and_leaves_boards_without_one_as_they_are():
    problem, y = sample(4)
    assert torch.equal(TASK.oracle(problem), y)
    wrong = torch.tensor([[1, 1, *[0] * 79]])
    board = Boards(kind=Kind(), givens=wrong, solutions=wrong * 0)
    assert TASK.oracle(TASK.problem(board)).sum() == 2


@pytest.mark.parametrize("kind", known_kinds(), ids=str)
def test_boards_are_known_again_by_their_factors(kind):
    boards = base_set(kind, "test")[:3]
    again = boards_of(graphs_of(boards))
    assert again.kind == kind
    assert torch.equal(again.givens, boards.givens)
    # Regions may be numbered in another order.
    assert torch.equal(again.groups.sort().values, boards.groups.sort().values)


def test_boards_of_several_sizes_are_mixed() -> None:
    task = load_task("sudoku(size='4..9')")
    problem, y = task.sample(40, "train", generator=torch.Generator().manual_seed(0), device="cpu")
    entries = problem.layout.sum(torch.ones_like(y[:, 0]))
    assert set(entries.tolist()) == {4**3, 6**3, 9**3}
    assert task.verify(problem, y).all()
    assert torch.equal(task.oracle(problem), y)
    given = problem.layout.sum(problem.x["entry"].x[:, 0])
    share = given / entries.pow(2 / 3)
    assert share.min() > 0.3  # 31 of 81, and like shares of others
    assert share.max() < 0.6


def test_mixed_boards_are_as_hard_as_those_of_their_size() -> None:
    task = load_task("sudoku(size='4..16')")
    problem, y = task.sample(24, "harder", generator=torch.Generator().manual_seed(0), device="cpu")
    entries = problem.layout.sum(torch.ones_like(y[:, 0]))
    given = problem.layout.sum(problem.x["entry"].x[:, 0])
    assert task.verify(problem, y).all()
    for size, low, high in ((9, 20, 34), (16, 115, 129)):
        alike = given[entries == size**3]
        assert len(alike)
        assert low <= alike.min() <= alike.max() <= high


def test_boards_of_several_sizes_are_written_in_their_order(tmp_path: Path) -> None:
    task = load_task("sudoku(size='4..6')")
    problem, y = task.sample(4, "same", generator=torch.Generator().manual_seed(0), device="cpu")
    task.write(tmp_path / "solved.txt", problem, y)
    lines = (tmp_path / "solved.txt").read_text().split()
    assert [len(line) ** 1.5 for line in lines] == pytest.approx(
        problem.layout.sum(torch.ones_like(y[:, 0])).tolist()
    )
    for line in lines:
        width = int(len(line) ** 0.5)
        assert {line.count(digit) for digit in "123456"[:width]} == {width}


def test_a_size_that_is_none_is_refused() -> None:
    with pytest.raises(SettingError, match="expected one of 4, 6, 9, 16"):
        load_task("sudoku(size='4..x')")


def test_the_weights_that_come_along_are_of_a_solver_as_training_makes_it() -> None:
    shipped, made = load_pretrained("sudoku"), recipe(load_task("sudoku")).solver
    assert describe(shipped) == describe(made)
