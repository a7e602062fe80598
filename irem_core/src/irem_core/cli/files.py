"""Reading problems from files and writing answers to them."""

from __future__ import annotations

from pathlib import Path

import torch

from irem_core import checks
from irem_core.bulk.solve_file import about, answer_arrays, holds_rows, tried
from irem_core.bulk.solve_text import holds_more
from irem_core.distributed import Ranks
from irem_core.errors import InputFileError, SettingError, ShapeError
from irem_core.files.arrays import (
    FORMATS,
    SEVERAL,
    check_apart,
    name_of_questions,
    read_arrays,
    tensor_of,
    write_arrays,
)
from irem_core.files.row_files import ENDINGS, RowReader
from irem_core.problems.problem import Problem
from irem_core.solvers.base import Solver
from irem_core.solving.solution import Solution
from irem_core.tasks.task import Task


def read_questions(file: Path, task: Task, solver: Solver, device: torch.device) -> Problem:
    """Read questions from a file, in a format of the task's own or as one array.

    Args:
        file: a file that `task.read` knows; or .npy, .npz or .safetensors (one array, or one named
            x), or .csv (a problem a line).
        task: says how an array holds questions.
        solver: what will solve them.
        device: where to.

    Raises:
        InputFileError: the file cannot be read, or its array has a shape that is not solved.
    """
    if file.suffix.lower() in task.formats:
        return task.read(file, device)
    arrays = read_arrays(file, also=task.formats)
    array = arrays[name_of_questions(file, arrays)]
    try:
        problem = task.stacked(tensor_of(file, array, solver.question_dtype).to(device))
    except ShapeError as error:
        raise InputFileError(f"{file} cannot be solved: {error}") from error
    if not problem.layout.count:
        raise InputFileError(f"{file} holds no problems; expected at least 1.")
    if problem.answer is None:
        tried(solver, problem, file)
    return problem


def in_parts(file: Path, output: Path, task: Task, capacity: int) -> bool:
    """Say whether a file is solved in parts: rows of questions, more than are solved at a time."""
    if file.suffix not in ENDINGS or output.suffix not in ENDINGS:
        return False
    reader = RowReader.open(file)
    return len(reader) > capacity and holds_rows(task, reader)


def in_lines(file: Path, output: Path, task: Task, capacity: int) -> bool:
    """Say whether a text file is solved in parts: of more lines than are solved at a time."""
    return output.suffix.lower() in task.formats and holds_more(file, task, capacity)


def check_alone(file: Path, ranks: Ranks, *, resume: bool) -> None:
    """Check that a text file is solved by one process, from its first line on.

    Raises:
        SettingError: it was asked for otherwise.
    """
    if resume or ranks.count > 1:
        asked = "--resume" if resume else f"{ranks.count} processes"
        raise SettingError(
            f"irem solve got {asked} for {file}, a text file, which one process solves at one go; "
            "split the file to share the work or to go on later."
        )


def check_output(file: Path, task: Task, *, questions: Path | None = None) -> None:
    """Check before any work that answers can be written under this name.

    Raises:
        InputFileError: the ending is not known, or the file is that of the questions.
        SettingError: the system can have no such file.
    """
    checks.check_path(file)
    if questions is not None:
        check_apart(questions, file)
    known = tuple(dict.fromkeys((*task.formats, *FORMATS)))
    if file.suffix not in known:
        raise InputFileError(
            f"Answers cannot be written to {file}; its name must end in {', '.join(known)}."
        )


def write_answers(file: Path, task: Task, problem: Problem, solution: Solution) -> None:
    """Write answers to a file, in the format that its ending names.

    Files that hold several arrays tell the energy, steps and outcome of each problem too.

    Raises:
        InputFileError: the ending is not known.
        StorageError: writing failed.
    """
    check_output(file, task)
    if file.suffix in task.formats:
        task.write(file, problem, solution.y)
        if file.suffix in SEVERAL:
            write_arrays(file, about(solution) | read_arrays(file))
        return
    write_arrays(file, answer_arrays(task, problem, solution, ending=file.suffix))
