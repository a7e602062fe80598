"""Queens: boards against counts that are known, lines of boards, checks and files."""

import pytest
import torch

from irem_core import (
    FactorEnergy,
    InputFileError,
    Problem,
    SettingError,
    factor_graphs,
    load_task,
)
from irem_tasks.puzzles import queen_boards

SOLVED = ".Q..\n...Q\nQ...\n..Q.\n"


def sample(count, difficulty="same"):
    return load_task("queens").sample(count, difficulty, generator=torch.Generator().manual_seed(0))


def attacks(queens):
    """Count the pairs of queens that share a line, one by one."""
    places = queens.nonzero().tolist()
    return sum(
        row == other or column == beside or abs(row - other) == abs(column - beside)
        for number, (row, column) in enumerate(places)
        for other, beside in places[:number]
    )


@pytest.mark.parametrize(
    ("size", "count"), [(1, 1), (2, 0), (3, 0), (4, 2), (5, 10), (6, 4), (7, 40), (8, 92)]
)
def test_all_boards_are_as_many_as_is_known(size, count):
    boards = queen_boards.solutions(size)
    assert boards.shape == (count, size)
    assert len(boards.unique(dim=0)) == count


@pytest.mark.parametrize("difficulty", ["same", "size=4..9,givens=2", "size=15", "size=1"])
def test_boards_that_are_drawn_hold(difficulty):
    task = load_task("queens")
    problem, y = sample(8, difficulty)
    given, known = problem.x["entry"].x.unbind(1)
    assert given.sum() == (16 if "givens=2" in difficulty else 0)
    assert (known >= given).all()
    assert (y[:, 0] >= given).all()
    for queens in y[:, 0].split(problem.x["entry"].ptr.diff().tolist()):
        size = round(len(queens) ** 0.5)
        assert queens.sum() == size
        assert attacks(queens.view(size, size)) == 0
    assert task.verify(problem, y).all()
    assert task.verify(problem, task.classical(problem)).all()


def test_attacks_are_counted_in_decoded_boards():
    task = load_task("queens")
    problem, _ = sample(6)
    guess = torch.rand(problem.layout.rows, 1, generator=torch.Generator().manual_seed(1))
    boards = guess.view(6, 8, 8)
    decoded = torch.zeros_like(boards).scatter(2, boards.argmax(2, keepdim=True), 1)
    conflicts = task.measures(problem, guess, guess)["conflicts"]
    assert conflicts.tolist() == [attacks(board) for board in decoded]
    assert not task.verify(problem, guess).any()


def test_training_has_single_lines_of_boards():
    task = load_task("queens")
    problem, y = sample(60, "train")
    kinds = ("variable", "all_different", "at_most_one")
    lines = torch.stack([problem.x[kind].ptr.diff() for kind in kinds])
    assert lines.sum(0).eq(1).all()
    assert lines.any(1).all()
    for kind, count in zip(kinds, lines, strict=True):
        factor, entry = problem.x[kind, "member", "entry"].edge_index
        queens = torch.zeros(int(count.sum())).index_add(0, factor, y[entry, 0])
        assert queens.eq(1).all() if kind != "at_most_one" else set(queens.tolist()) == {0, 1}
    assert problem.layout.owner.bincount().min() >= 2
    assert task.verify(problem, y).all()
    assert task.verify(problem, task.classical(problem)).all()
    problem, y = sample(30, "lines=1")
    wrong = task.verify(problem, torch.ones_like(y))
    assert torch.equal(wrong, problem.x["variable"].ptr.diff() == 1)


def test_the_energy_of_a_board_is_the_sum_of_those_of_its_lines():
    task = load_task("queens")
    energy = FactorEnergy.for_task(task, rounds=0, width=4)
    problem, _ = sample(1, "size=5,givens=2")
    y = torch.rand(25, 1, generator=torch.Generator().manual_seed(1))
    total = torch.zeros(())
    for kind in ("variable", "all_different", "at_most_one"):
        factor, entry = problem.x[kind, "member", "entry"].edge_index
        for own in entry[factor.argsort(stable=True)].split(factor.bincount().tolist()):
            line = problem.x["entry"].x[own][None]
            alone = torch.arange(len(own))[None]
            x = factor_graphs.build(line, {kind: alone})
            total += energy.energy(energy.encode(Problem(x, task.answer)), y[own]).sum()
    whole = energy.energy(energy.encode(problem), y).sum()
    torch.testing.assert_close(whole, total)


def test_boards_are_read_drawn_and_written(tmp_path):
    task, file = load_task("queens"), tmp_path / "boards.txt"
    file.write_text("# two boards\n.Q..\n....\n....\n....\n\n.....\n....Q\n.....\n.....\n.....\n")
    problem = task.read(file, torch.device("cpu"))
    assert problem.layout.owner.bincount().tolist() == [16, 25]
    y = task.classical(problem)
    assert task.verify(problem, y).all()
    task.write(tmp_path / "solved.txt", problem, y)
    first, second = (tmp_path / "solved.txt").read_text().split("\n\n")
    assert first == SOLVED.rstrip()
    assert second.splitlines()[1] == "....Q"
    task.write(tmp_path / "not.txt", problem, 1 - y)
    assert (tmp_path / "not.txt").read_text() == file.read_text().partition("\n")[2]
    drawing = str(task.picture(problem, y)).splitlines()
    assert [line.replace(" ", "").strip("│") for line in drawing[1:-1]] == SOLVED.split()
    lines, answer = sample(3, "train")
    assert task.picture(lines, answer) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "holds no board"),
        ("# none\n", "holds no board"),
        ("....\n.x..\n....\n....\n", "line 2: it says '.x..'"),
        ("....\n....\n.....\n....\n", "line 3: the row has 5 cells, and its board 4 rows"),
        ("....\n....\n....\nQ..Q\n", "line 4: the row has 2 queens"),
        ("Q\n\n...\n...\n...\n", "line 3: the board has 3 rows"),
    ],
)
def test_faults_of_files_are_told_by_line(tmp_path, text, fault):
    file = tmp_path / "boards.txt"
    file.write_text(text)
    with pytest.raises(InputFileError, match=fault):
        queen_boards.read(file)


@pytest.mark.parametrize(
    ("difficulty", "fault"),
    [
        ("size=2", "2 or 3 always attack each other"),
        ("size=3", "2 or 3 always attack each other"),
        ("size=1..8", "boards of 2 or 3 rows among them"),
        ("givens=-1", "at least 0"),
        ("lines=2", "0 or 1"),
    ],
)
def test_boards_that_cannot_be_are_refused(difficulty, fault):
    with pytest.raises(SettingError, match=fault):
        sample(1, difficulty)


def test_contradicting_givens_leave_what_is_given(tmp_path):
    task, file = load_task("queens"), tmp_path / "board.txt"
    file.write_text("Q...\n....\n....\n....\n")
    problem = task.read(file, torch.device("cpu"))
    assert not task.verify(problem, task.classical(problem)).any()
    task.write(tmp_path / "answer.txt", problem, task.classical(problem))
    assert (tmp_path / "answer.txt").read_text() == file.read_text()
