"""Text files of a task's own format, solved in parts."""

from typing import Any

import attrs
import pytest
import torch

from irem_core import IREM, FixedSteps, InputFileError, load_task
from irem_core.bulk.solve_text import holds_more, solve_text
from irem_core.energies.factor import FactorEnergy
from irem_tasks.puzzles import board_files
from irem_tasks.puzzles.base_sets import base_set
from irem_tasks.puzzles.boards import Kind

TASK = load_task("sudoku", size=4)
BOARDS = base_set(Kind(4), "train")


class Knowing(IREM):
    """Answers all boards rightly but those of more than four givens, and notes how many at once."""

    def __init__(self) -> None:
        energy = FactorEnergy.for_task(TASK, width=2, rounds=1)
        super().__init__(energy, halting=FixedSteps(steps=1))
        self.sizes: list[int] = []

    def solve(self, problem: Any, **options: Any) -> Any:
        self.sizes.append(problem.layout.count)
        solution = super().solve(problem, **options)
        given = problem.layout.sum((problem.x["entry"].x[:, 0] > 0).float())
        right = problem.layout.spread(given < 5, solution.y[:, 0])[:, None]
        y = torch.where(right, TASK.oracle(problem), 0.0)
        return attrs.evolve(solution, y=y, verified=problem.verified(y))


@pytest.mark.parametrize("ending", [".txt", ".csv"])
def test_text_files_are_solved_some_lines_at_a_time(tmp_path, ending):
    file, answers = tmp_path / "boards.txt", tmp_path / f"answers{ending}"
    file.write_text("\n".join(board_files.lines_of(BOARDS.givens)))
    assert holds_more(file, TASK, len(BOARDS) - 1)
    assert not holds_more(file, TASK, len(BOARDS))
    solver, told = Knowing(), []
    options = {"capacity": 10, "max_steps": 1, "trust": 1.0}
    found = solve_text(solver, TASK, file, answers, progress=told.append, **options)

    assert solver.sizes == [10, 10, 7]
    assert told == [10, 20, 27]
    few = (BOARDS.givens > 0).sum(1) < 5
    assert (found.problems, found.verified) == (27, int(few.sum()))
    # Boards are checked, and what holds may be trusted.
    assert found.trusted == found.verified
    lines = answers.read_text().splitlines()
    expected = torch.where(few[:, None], BOARDS.solutions, BOARDS.givens)
    header = ["puzzle"] if ending == ".csv" else []
    assert lines == header + board_files.lines_of(expected)


def test_answers_replace_nothing_where_it_fails(tmp_path):
    file, answers = tmp_path / "boards.txt", tmp_path / "answers.txt"
    file.write_text("no board\n")
    answers.write_text("before")
    with pytest.warns(board_files.SkippedLineWarning), pytest.raises(InputFileError):
        solve_text(Knowing(), TASK, file, answers, max_steps=1)
    assert answers.read_text() == "before"
    with pytest.raises(InputFileError, match="holds the questions"):
        solve_text(Knowing(), TASK, file, file)
