"""Reading problems from files and writing answers to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from irem_core import checks
from irem_core.bulk.bad_rows import finite_rows, warn_of, with_stand_ins
from irem_core.bulk.solve_file import about, answer_arrays, holds_rows, tried
from irem_core.bulk.solve_text import holds_more
from irem_core.distributed import Ranks
from irem_core.errors import InputFileError, SettingError, ShapeError
from irem_core.files.arrays import (
    FORMATS,
    SEVERAL,
    Array,
    check_apart,
    held_as,
    name_of_questions,
    read_arrays,
    tensor_of,
    write_arrays,
)
from irem_core.files.row_files import ENDINGS, RowReader
from irem_core.files.tables import ENDINGS as TABLES
from irem_core.files.tables import write_table
from irem_core.pairs.structured import StructuredPairs
from irem_core.pairs.task import PairsTask
from irem_core.problems.problem import Problem
from irem_core.solvers.base import Solver
from irem_core.solving.outcome import Outcome
from irem_core.solving.solution import Solution
from irem_core.tasks.task import Task

# Files of more bytes are not solved where nothing is written: all would have to be in memory.
_MOST = 2**26


@attrs.frozen(eq=False)
class Questions:
    """What is to be solved.

    Args:
        problem: the questions.
        target: the right answers, where they are known; NaN where one is not.
        bad: `(B,)` in which questions a sound one stands in for one that is not finite.
    """

    problem: Problem
    target: Tensor | None = None
    bad: Bool[Tensor, " problems"] | None = None


def check_size(file: Path, task: Task) -> None:
    """Check that a file is not so large that its answers must go to another.

    Raises:
        InputFileError: it is.
    """
    arrays = file.suffix.lower() in FORMATS or type(task).stream is not Task.stream
    size = file.stat().st_size if file.is_file() else 0
    if arrays and size > _MOST:
        raise InputFileError(
            f"{file} has {size / 2**20:,.0f} MiB of questions, more than are solved without a file "
            "for their answers; give one, such as --output answers.safetensors. Files of .npy and "
            ".safetensors are then solved in parts, at a bounded memory."
        )


def read_questions(file: Path, task: Task, solver: Solver, device: torch.device) -> Questions:
    """Read questions from a file, in a format of the task's own or as one array.

    Args:
        file: a file that `task.read` knows; or one array, or one named x and perhaps another named
            y with the right answers.
        task: says how an array holds questions.
        solver: what will solve them.
        device: where to.

    Raises:
        InputFileError: the file cannot be read, or its arrays have a shape that is not solved.
    """
    if isinstance(task, StructuredPairs):
        return Questions(*task.read_answered(file, device))
    if file.suffix.lower() in task.formats:
        return Questions(task.read(file, device))
    if isinstance(task, PairsTask):
        arrays = task.arrays(file)
    else:
        arrays = read_arrays(file, also=task.formats)
    dtype = solver.question_dtype
    values = tensor_of(file, arrays[name_of_questions(file, arrays)], dtype).to(device)
    bad = None
    try:
        problem = task.stacked(values)
        if values.ndim and problem.layout.count == len(values):
            bad = ~finite_rows(values)
            if bad.any() and not bad.all():
                warn_of(file, bad)
                problem = task.stacked(with_stand_ins(values, values[~bad][0]))
    except ShapeError as error:
        raise InputFileError(f"{file} cannot be solved: {error}") from error
    if not problem.layout.count:
        raise InputFileError(f"{file} holds no problems; expected at least 1.")
    if problem.answer is None:
        tried(solver, problem, file)
    answers = held_as("y", arrays)
    target = None if answers is None else tensor_of(file, arrays[answers], dtype).to(device)
    return Questions(problem, target if target is None else _fitting(file, problem, target), bad)


def _fitting(file: Path, problem: Problem, target: Tensor) -> Tensor:
    """Return right answers in the shape of answers.

    Raises:
        InputFileError: they are of another shape.
    """
    count, shape = problem.layout.count, target.shape[1:]
    if problem.answer is not None:
        shape = torch.Size(problem.answer.shape)
    if target.shape != (count, *shape) and target.numel() != count * shape.numel():
        raise InputFileError(
            f"{file}: y has shape {tuple(target.shape)}; expected {(count, *shape)}, the right "
            "answers to x. Leave it out where it holds something else."
        )
    return target.reshape(count, *shape)


def in_parts(file: Path, output: Path, task: Task, capacity: int) -> bool:
    """Say whether a file is solved in parts: rows of questions, more than are solved at a time."""
    if not {file.suffix.lower(), output.suffix.lower()} <= set(ENDINGS):
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
        # Of a folder of questions none may be replaced.
        beside = questions.is_dir() and file.parent.resolve() == questions.resolve()
        check_apart(questions / file.name if beside else questions, file)
    graphs = isinstance(task, StructuredPairs)
    known = task.formats if graphs else tuple(dict.fromkeys((*task.formats, *FORMATS)))
    if file.suffix.lower() not in known:
        raise InputFileError(
            f"Answers cannot be written to {file}; its name must end in {', '.join(known)}."
        )


def write_answers(file: Path, task: Task, problem: Problem, solution: Solution) -> None:
    """Write answers to a file, in the format that its ending names.

    Files that hold several arrays tell the energy, steps and outcome of each problem too, and so do
    tables whose columns are named.

    Raises:
        InputFileError: the ending is not known.
        StorageError: writing failed.
    """
    check_output(file, task)
    ending = file.suffix.lower()
    columns = task.columns[1] if isinstance(task, PairsTask) else None
    if ending in task.formats:
        task.write(file, problem, solution.y)
        if ending in SEVERAL:
            write_arrays(file, about(solution) | read_arrays(file))
    elif ending in TABLES and columns is not None:
        write_table(file, _named(columns, solution))
    else:
        write_arrays(file, answer_arrays(task, problem, solution, ending=ending))


def _named(columns: Sequence[str], solution: Solution) -> dict[str, Array]:
    """Return answers by the names of their entries, and what is said of them beside."""
    names = [Outcome(each).name.lower().replace("_", " ") for each in solution.outcome.tolist()]
    said = {"steps": solution.steps.numpy(force=True), "outcome": np.array(names, object)}
    if solution.energy is not None:
        said = {"energy": solution.energy.numpy(force=True), **said}
    if solution.trusted is not None:
        said["trusted"] = solution.trusted.numpy(force=True).astype(np.int64)
    answers = dict(zip(columns, solution.y.numpy(force=True).T, strict=True))
    # A column of the user's may bear one of these names.
    return answers | {f"irem {each}" if each in answers else each: said[each] for each in said}
