"""Files of boards: what is read, written, drawn, and refused with its line number."""

import json
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from irem_core import Between, InputFileError, SettingError, load_task
from irem_tasks.puzzles import board_files
from irem_tasks.puzzles.base_sets import base_set
from irem_tasks.puzzles.board_data import BoardFiles
from irem_tasks.puzzles.board_files import SkippedLineWarning, read, read_whole
from irem_tasks.puzzles.board_grid import grid_of
from irem_tasks.puzzles.boards import Kind

SMALL = base_set(Kind(4), "train")
BOARDS = board_files.lines_of(SMALL.givens)
SOLUTIONS = board_files.lines_of(SMALL.solutions)
BLANK = "." * 16


def faults(file, **options):
    """Return the boards that are read, and what is said of other lines."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        boards = read_whole(file, **options)
    assert {each.category for each in caught} <= {SkippedLineWarning}
    return boards, [str(each.message).removeprefix(f"{file}, ") for each in caught]


@pytest.mark.parametrize("size", [4, 6, 9, 16])
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**31))
def test_what_is_written_is_read_again(tmp_path, size, seed):
    # A row alone cannot contradict itself where its values are different.
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed)) + 1
    boards = torch.zeros(2, size**2, dtype=torch.int64)
    boards[0, :size] = order
    for ending in board_files.ENDINGS:
        file = tmp_path / f"boards{ending}"
        board_files.write(file, boards)
        again = read_whole(file, search=False)
        assert again.kind == Kind(size)
        assert torch.equal(again.givens, boards)


@pytest.mark.parametrize("blank", [".", "0"])
@pytest.mark.parametrize("between", ["", " "])
def test_blanks_letters_comments_and_empty_lines(tmp_path, blank, between):
    file = tmp_path / "boards.txt"
    line = between.join(("aG" + "." * 254).replace(".", blank))
    file.write_text(f"\ufeff# sixteen\n\n  {line}  \r\n\n")
    boards = read_whole(file, search=False)
    assert boards.kind == Kind(16)
    assert boards.givens[0, :3].tolist() == [10, 16, 0]


def test_each_fault_is_said_with_its_line_and_other_boards_go_on(tmp_path):
    file = tmp_path / "boards.txt"
    lines = [
        BOARDS[0],
        "12",
        "",
        BLANK[:-1] + "5",
        "1..1" + BLANK[4:],
        "1" + BLANK[1:4] + "1" + BLANK[5:],
        "12..3..4" + BLANK[8:],
        "." * 81,
        BLANK,
        BLANK[:-1] + "é",
        "123." + "...4" + BLANK[8:],
        BOARDS[1],
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
    boards, said = faults(file)

    assert board_files.lines_of(boards.givens) == [BOARDS[0], BLANK, BOARDS[1]]
    assert board_files.lines_of(boards.solutions) == [SOLUTIONS[0], "." * 16, SOLUTIONS[1]]
    left = ", so it was left out."
    assert sorted(said) == sorted(
        [
            f"line 2: its board has 2 characters; expected 16, one a cell{left}",
            f"line 4: the board holds no value from 1 to 4 in row 4, column 4{left}",
            "line 5: its givens contradict each other: the value 1 is given twice in row 1" + left,
            "line 6: its givens contradict each other: the value 1 is given twice in column 1"
            + left,
            f"line 7: its givens leave no solution, as an exact search shows{left}",
            f"line 8: its board has 81 characters; expected 16, one a cell{left}",
            "line 9: it has several solutions, of which any will count as right.",
            f"line 10: the board holds no value from 1 to 4 in row 4, column 4{left}",
            f"line 11: its givens leave no solution, as an exact search shows{left}",
        ]
    )


@pytest.mark.parametrize(
    "columns", ["quizzes,solutions", "puzzle,solution", "question,answer,rating", "id,puzzle"]
)
def test_tables_of_others_are_read(tmp_path, columns):
    file = tmp_path / "table.csv"
    held = {"quizzes": BOARDS[0], "puzzle": BOARDS[0], "question": BOARDS[0]}
    held |= dict.fromkeys(["solutions", "solution", "answer"], SOLUTIONS[0])
    row = ",".join(held.get(name, "7") for name in columns.split(","))
    file.write_text(f"{columns}\n{row}\n{row}\n")
    boards = read_whole(file)
    assert board_files.lines_of(boards.givens) == [BOARDS[0]] * 2
    assert board_files.lines_of(boards.solutions) == [SOLUTIONS[0]] * 2


def test_solutions_that_do_not_fit_are_said_with_their_line(tmp_path):
    file = tmp_path / "table.csv"
    other = next(each for each in SOLUTIONS if each != SOLUTIONS[0])
    file.write_text(
        f"puzzle,solution\n{BOARDS[0]},{other}\n{BOARDS[0]},12\n{BOARDS[0]},{SOLUTIONS[0]}\n"
    )
    boards, said = faults(file)
    assert len(boards) == 1
    assert said == [
        "line 3: its solution has 2 characters; expected 16, one a cell, so it was left out.",
        "line 2: its solution does not fit: it changes a given or breaks a rule, so it was left "
        "out.",
    ]


def test_after_twenty_faults_the_rest_is_counted(tmp_path):
    file = tmp_path / "boards.txt"
    file.write_text("\n".join(["1", BOARDS[0], *["1"] * 29]))
    boards, said = faults(file)
    assert len(boards) == 1
    assert len(said) == 21
    assert said[-1].endswith("likewise in 10 further lines.")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "", "holds no board; expected a line for each, of 16 or 36"),
        ("a.csv", "id,board\n1,2\n", "has the columns id, board; expected one named quizzes, p"),
        ("b.csv", "", "has no columns"),
        ("c.csv", "puzzle\n", "holds no board"),
        ("missing.txt", None, "There is no file"),
    ],
)
def test_files_without_boards_are_refused(tmp_path, name, text, said):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputFileError, match=said):
        read_whole(tmp_path / name)


def test_large_files_are_read_some_lines_at_a_time(tmp_path, monkeypatch):
    file = tmp_path / "boards.txt"
    file.write_text("\n".join(BOARDS[:7]))
    taken = []
    rows = board_files._rows

    def counted(path):
        for row in rows(path):
            taken.append(row.line)
            yield row

    monkeypatch.setattr(board_files, "_rows", counted)
    sizes = []
    for boards in read(file, count=3):
        sizes.append(len(boards))
        assert len(taken) == sum(sizes)
    assert sizes == [3, 3, 1]


def test_a_jigsaw_board_has_its_regions_beside_it(tmp_path):
    file = tmp_path / "boards.txt"
    regions = "aaabcabbccbdcddd"
    file.write_text("".join(f"1{BLANK[1:]} {regions[:-1]}{last}\n" for last in "dae"))
    boards, said = faults(file, search=False)
    assert boards.kind == Kind(4, "jigsaw")
    assert boards.regions.tolist() == [[0, 0, 0, 1, 2, 0, 1, 1, 2, 2, 1, 3, 2, 3, 3, 3]]
    assert said == [
        f"line {line}: its regions are not 4 of 4 cells each, so it was left out."
        for line in (2, 3)
    ]


def folder_of(path, boards):
    """Write boards as HRM and TRM do: numbers one higher, 1 for a blank."""
    path.mkdir(parents=True)
    np.save(path / "all__inputs.npy", boards.givens.numpy() + 1)
    np.save(path / "all__labels.npy", boards.solutions.numpy() + 1)
    (path / "dataset.json").write_text(json.dumps({"seq_len": 16, "vocab_size": 6, "pad_id": 0}))


def test_folders_of_arrays_are_read(tmp_path):
    folder_of(tmp_path / "train", SMALL)
    boards = board_files.read_arrays(tmp_path / "train")
    assert torch.equal(boards.givens, SMALL.givens)
    assert torch.equal(boards.solutions, SMALL.solutions)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda held: SimpleNamespace(givens=held.givens[:, :9], solutions=held.solutions), "shap"),
        (lambda held: SimpleNamespace(givens=held.givens, solutions=held.givens), "row 0: "),
        (lambda held: SimpleNamespace(givens=held.givens + 9, solutions=held.solutions), "row 0: "),
    ],
)
def test_folders_of_other_arrays_are_refused(tmp_path, change, said):
    folder_of(tmp_path / "train", change(SMALL))
    with pytest.raises(InputFileError, match=said):
        board_files.read_arrays(tmp_path / "train")


def texts(path):
    path.mkdir()
    (path / "train.txt").write_text("\n".join(BOARDS[::2]))
    (path / "test.csv").write_text("\n".join(["puzzle", *BOARDS[1::2]]))


def arrays(path):
    folder_of(path / "train", SMALL[::2])
    folder_of(path / "test", SMALL[1::2])


@pytest.mark.parametrize("write", [texts, arrays])
def test_tasks_draw_from_both_parts_of_a_folder(tmp_path, write):
    write(tmp_path / "data")
    files = BoardFiles(str(tmp_path / "data"), Kind(4))
    for part, expected in (("train", SMALL[::2]), ("test", SMALL[1::2])):
        boards = files.part(part)
        assert torch.equal(boards.givens, expected.givens)
        assert torch.equal(boards.solutions, expected.solutions)
    task = load_task("sudoku", size=4, data=str(tmp_path / "data"))
    problem, y = task.sample(20, "train", generator=torch.Generator().manual_seed(0))
    assert problem.verified(y).all()
    assert y.view(20, -1).unique(dim=0).shape[0] > 5


def test_of_one_file_every_fifth_board_is_for_testing(tmp_path):
    file = tmp_path / "boards.txt"
    file.write_text("\n".join(BOARDS))
    files = BoardFiles(str(file), Kind(4))
    assert board_files.lines_of(files.part("test").givens) == BOARDS[::5]
    few = Between(4, 4)
    boards = files.draw(30, few, part="train", generator=torch.Generator().manual_seed(0))
    assert ((boards.givens > 0).sum(1) == 4).all()
    with pytest.raises(SettingError, match=r"with 9\.\.12 givens; .* have from 4 to [56]"):
        files.draw(1, Between(9, 12), part="train", generator=torch.Generator())


def test_a_folder_without_a_part_is_refused_by_name(tmp_path):
    (tmp_path / "train.txt").write_text(BOARDS[0])
    with pytest.raises(InputFileError, match=r"no boards to test with; expected one of test, te"):
        BoardFiles(str(tmp_path), Kind(4)).part("test")
    with pytest.warns(SkippedLineWarning), pytest.raises(InputFileError, match="holds no board"):
        BoardFiles(str(tmp_path), Kind(9)).part("train")


@pytest.mark.parametrize("variant", ["plain", "diagonal"])
def test_regions_among_other_boards_are_refused(tmp_path, variant):
    file = tmp_path / "boards.txt"
    file.write_text(f"{BLANK}\n{BLANK} {'aabb' * 2 + 'ccdd' * 2}\n")
    boards, said = faults(file, variant=variant, search=False)
    assert boards.kind == Kind(4, variant)
    assert said == [f"line 2: it has regions, among boards that are {variant}, so it was left out."]


def test_boards_are_drawn_with_lines_between_boxes_or_regions():
    board = torch.tensor([1, 0, 0, 4, *[0] * 12])
    grid = grid_of(board, board, Kind(4))
    assert grid.cells()[0] == [("1", "given"), (".", "found"), (".", "found"), ("4", "given")]
    wrong = grid_of(board + (torch.arange(16) == 1), board, Kind(4)).cells(grid)
    assert wrong[0][1] == ("1", "wrong")
    assert wrong[1:] == grid.cells()[1:]
    assert str(grid).splitlines() == [
        "┌───────┬───────┐",
        "│ 1   . │ .   4 │",
        "│ .   . │ .   . │",
        "├───────┼───────┤",
        "│ .   . │ .   . │",
        "│ .   . │ .   . │",
        "└───────┴───────┘",
    ]
    regions = torch.tensor([0, 0, 0, 1, 2, 0, 1, 1, 2, 2, 1, 3, 2, 3, 3, 3])
    assert str(grid_of(board, board, Kind(4, "jigsaw"), regions)).splitlines() == [
        "┌───────────┬───┐",
        "│ 1   .   . │ 4 │",
        "├───┐   ┌───┘   │",
        "│ . │ . │ .   . │",
        "│   └───┤   ┌───┤",
        "│ .   . │ . │ . │",
        "│   ┌───┴───┘   │",
        "│ . │ .   .   . │",
        "└───┴───────────┘",
    ]
    assert str(grid_of(board, board, Kind(4, "latin"))).count("\n") == 5


def test_a_search_that_is_given_up_is_told(tmp_path):
    file = tmp_path / "boards.txt"
    file.write_text("." * 81)
    boards, said = faults(file)
    assert len(boards) == 1
    assert said == [
        "line 1: whether it has none, one or several solutions is not known: an exact search of it "
        "was given up."
    ]
