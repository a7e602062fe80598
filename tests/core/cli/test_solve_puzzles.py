"""Commands on problems whose answers can be checked, and with runs that come with packages."""

from __future__ import annotations

import json
import re
import warnings
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
import torch

from commands import Irem
from irem_core import (
    IREM,
    FactorEnergy,
    UnknownNameError,
    load_pretrained,
    load_task,
)
from irem_core.files import packaged
from irem_core.runs.checkpoint import save


@pytest.fixture
def untrained(tmp_path: Path) -> Path:
    """The run of an energy that has learned nothing."""
    task = load_task("sudoku")
    folder = tmp_path / "pretrained" / "sudoku"
    folder.mkdir(parents=True)
    save(IREM(FactorEnergy.for_task(task, width=2)), folder / "model.safetensors", task=task)
    return folder


@pytest.fixture
def shipped(untrained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same as if it came with the package of the task."""

    def spec(name: str) -> ModuleSpec:
        found = ModuleSpec(name, None, is_package=True)
        found.submodule_search_locations = [str(untrained.parent.parent)]
        return found

    monkeypatch.setattr(packaged, "find_spec", spec)
    return untrained


BOARD = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
SOLVED = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"


def test_each_board_is_said_to_be_verified_or_not_and_written_only_where_it_is(
    irem: Irem, untrained: Path, tmp_path: Path
) -> None:
    boards, answers = tmp_path / "boards.txt", tmp_path / "solved.txt"
    boards.write_text(f"{BOARD}\n{SOLVED}\n")
    options = ("--max-steps", 2, "--restarts", 1)
    result = irem("solve", untrained, "--input", boards, "--output", answers, *options)
    assert result.status == 0, result.err
    assert "1 of 2 boards are solved and checked" in result.out
    assert answers.read_text().split() == [BOARD, SOLVED]
    told = json.loads(irem("solve", untrained, "--input", boards, *options, "--json").out)
    assert [each["verified"] for each in told["problems"]] == [False, True]


def test_text_files_of_more_lines_than_the_capacity_are_solved_in_parts(
    irem: Irem, untrained: Path, tmp_path: Path
) -> None:
    boards, answers = tmp_path / "boards.txt", tmp_path / "solved.txt"
    boards.write_text(f"{BOARD}\n12\n{SOLVED}\n{BOARD}\n")
    command = ("solve", untrained, "--input", boards, "--output", answers, "--capacity", 2)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        result = irem(*command, "--max-steps", 1, "--restarts", 1, "--json")
    assert result.status == 0, result.err
    told = json.loads(result.out)
    assert (told["problems"], told["verified"]) == (3, 1)
    assert answers.read_text().split() == [BOARD, SOLVED, BOARD]
    assert "line 2: its board has 2 characters" in result.err
    assert "one process solves at one go" in irem(*command, "--resume").mistake()


def test_a_solve_is_watched_after_1_2_and_4_steps_and_at_its_end(
    irem: Irem, untrained: Path, tmp_path: Path
) -> None:
    boards = tmp_path / "boards.txt"
    boards.write_text(f"{BOARD}\n{BOARD}\n")
    options = ("--input", boards, "--max-steps", 5, "--halting", "fixed_steps(steps=5)", "--watch")
    result = irem("solve", untrained, *options)
    assert result.status == 0, result.err
    said = re.findall(r"^(step \d|answer after .*)", result.out, re.MULTILINE)
    assert said[:-1] == ["step 0", "step 1", "step 2", "step 4"]
    assert said[-1] == "answer after 5 steps, not verified"
    assert result.out.count("│ 5   3 ") == 5 + 2  # and of the report, both boards as given
    assert "give one of them" in irem("solve", untrained, *options, "--json").mistake()


def test_what_is_wrong_with_a_board_is_told_with_its_line_and_others_are_solved(
    irem: Irem, untrained: Path, tmp_path: Path
) -> None:
    faults = {
        BOARD[:-1] + "X": "line 1: the board holds no value from 1 to 9 in row 9, column 9",
        BOARD + "1": "line 2: its board has 82 characters; expected 81, one a cell",
        "." * 16: "line 3: its board has 16 characters; expected 81, one a cell",
        "55" + BOARD[2:]: "line 4: its givens contradict each other: the value 5 is given twice",
        "12345678." + "." * 17 + "9" + "." * 54: "line 5: its givens leave no solution, as an exac",
    }
    boards = tmp_path / "boards.txt"
    boards.write_text("\n".join([*faults, BOARD, SOLVED]))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        result = irem("solve", untrained, "--input", boards, "--max-steps", 1, "--restarts", 2)
    assert result.status == 0, result.err
    assert all(said in result.err for said in faults.values()), result.err
    assert "1 of 2 boards are solved and checked" in result.out
    said = "No answer that satisfies all constraints was found in 2 restarts of 1 (0) of 2 problems"
    assert said in result.out


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("boards.txt", "", "holds no board; expected a line for each"),
        ("boards.csv", "", "has no columns"),
        ("boards.csv", "id,board\n1,2\n", "has the columns id, board; expected one named quizzes"),
        ("boards.csv", "puzzle\n", "holds no board"),
    ],
)
def test_files_without_boards_are_refused(
    irem: Irem, untrained: Path, tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    assert said in irem("solve", untrained, "--input", tmp_path / name).mistake()


def test_evaluation_counts_what_is_solved(irem: Irem, untrained: Path) -> None:
    result = irem(
        "evaluate", untrained, "--difficulty", "size=4,givens=15", "--problems", 4,
        "--max-steps", 3, "--restarts", 1, "--json",
    )  # fmt: skip
    assert result.status == 0, result.err
    scores: dict[str, Any] = json.loads(result.out)["size=4,givens=15"]
    assert 0 <= scores["solved"] <= 1
    assert set(scores["solved_by_step"]) == {"0", "1", "2", "3"}
    options = ("--difficulty", "size=4,givens=15", "--problems", 4, "--max-steps", 3)
    shown = irem("evaluate", untrained, *options, "--restarts", 1).out
    assert f"Solved: size=4,givens=15: {scores['solved']:.4g}" in shown


def test_weights_that_come_with_a_package_are_scored_by_the_name_of_the_task(irem: Irem) -> None:
    options = ("--difficulty", "size=4,givens=14", "--problems", 2, "--max-steps", 2, "--json")
    assert json.loads(irem("evaluate", "sudoku", *options).out)["size=4,givens=14"]["problems"] == 2
    assert "no file maze" in irem("evaluate", "maze", *options).mistake()


def test_the_curve_is_shown_printed_and_drawn(irem: Irem, untrained: Path, tmp_path: Path) -> None:
    options = ("--difficulty", "size=4,givens=15", "--problems", 4, "--max-steps", 3, "--curve", 2)
    curve = json.loads(irem("evaluate", untrained, *options, "--json").out)["size=4,givens=15"]
    assert [each["starts"] for each in curve["by_starts"]] == [1, 2]
    drawn = tmp_path / "curve.svg"
    shown = irem("evaluate", untrained, *options, "--figure", drawn)
    assert "solved, chosen among starts" in shown.out
    assert "<svg" in drawn.read_text()
    assert "expected an ending" in irem("evaluate", untrained, *options, "--figure", "a").mistake()
    said = irem("evaluate", untrained, "--figure", drawn).mistake()
    assert "is of a curve" in said
    assert "is of a curve" in irem("evaluate", untrained, "--particles").mistake()


def test_weights_that_come_with_a_package_solve_by_the_name_of_the_task(
    irem: Irem, shipped: Path, tmp_path: Path
) -> None:
    boards = tmp_path / "boards.txt"
    boards.write_text(SOLVED)
    result = irem("solve", "sudoku", "--input", boards, "--max-steps", 1)
    assert "1 of 1 boards are solved and checked" in result.out, result.err
    rows = json.loads(irem("list", "--json").out)
    having = [row["name"] for row in rows if row["weights"]]
    assert having == ["sudoku"]
    solver = load_pretrained("sudoku")
    assert torch.equal(solver.energy.log_scale, torch.zeros(()))
    with pytest.raises(UnknownNameError, match="task 'add'; tasks that have some: sudoku"):
        load_pretrained("add")


def test_a_task_without_weights_is_to_be_trained_first(irem: Irem) -> None:
    said = irem("solve", "maze", "--difficulty", "same").mistake()
    assert "no weights come with it" in said
