"""Solving a text file of any number of problems, in a format of the task's own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from irem_core.bulk.answer_journal import SolvedFile, total
from irem_core.distributed import derive
from irem_core.files.arrays import check_apart
from irem_core.files.storage import replacing
from irem_core.solvers.base import Solver, judged, place_of
from irem_core.tasks.task import Task


def holds_more(file: Path, task: Task, problems: int) -> bool:
    """Say whether a file has more lines than these, in a format that the task reads in parts."""
    if type(task).stream is Task.stream or file.suffix.lower() not in task.formats:
        return False
    if not file.is_file():
        return False
    with file.open("rb") as lines:
        return sum(1 for _ in islice(lines, problems + 1)) > problems


def solve_text(
    solver: Solver,
    task: Task,
    questions: Path,
    answers: Path,
    *,
    capacity: int = 1024,
    seed: int = 0,
    trust: float | None = None,
    progress: Callable[[int], None] = lambda solved: None,
    **options: Any,
) -> SolvedFile:
    """Solve the problems of a text file, so many at a time, and write the answers into another.

    What is in memory depends on `capacity` alone. The answers appear when all are there.

    Args:
        solver: what solves them.
        task: reads questions (`Task.stream`) and writes answers (`Task.text`).
        questions: a file that it reads.
        answers: where to.
        capacity: how many problems are solved at a time.
        seed: of random starts, which depend on `capacity` too.
        trust: also count which answers may be trusted not to exceed this error (`Solver.trust`).
        progress: called with the number of problems solved.
        options: of `Solver.solve`.

    Raises:
        InputFileError: the questions cannot be read, or the answers would replace them.
        SettingError: answers can neither be trusted by their energies nor be checked.
        StorageError: writing failed.
    """
    check_apart(questions, answers)
    device, _ = place_of(solver)
    found = SolvedFile(0, {}, 0, None, 0, trusted=0)
    with replacing(answers) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for number, problem in enumerate(task.stream(questions, device, count=capacity)):
            generator = torch.Generator(device).manual_seed(derive(seed, "block", number))
            solution = solver.solve(task.checked(problem), generator=generator, **options)
            first = not number
            solution = judged(solver, solution, trust)
            stream.write(task.text(problem, solution.y, ending=answers.suffix, first=first))
            found = total([found, SolvedFile.of(solution, None)])
            progress(found.problems)
    return found
