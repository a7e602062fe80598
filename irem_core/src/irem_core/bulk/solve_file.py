"""Solving a file of any number of problems into another, at a bounded memory and resumably."""

from __future__ import annotations

import functools
import json
import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor

from irem_core import checks
from irem_core.bulk.answer_journal import Journal, SolvedFile, total
from irem_core.bulk.bad_rows import finite_rows, unanswered, warn_of, with_stand_ins
from irem_core.descent.base import Descent
from irem_core.distributed import Ranks, derive
from irem_core.errors import InputFileError, NonFiniteError, ShapeError
from irem_core.files.arrays import SEVERAL, Array, check_apart, tensor_of
from irem_core.files.row_files import ENDINGS, RowReader
from irem_core.problems.problem import Problem
from irem_core.runs.checkpoint import digest_of
from irem_core.runs.description import describe
from irem_core.runs.provenance import versions
from irem_core.solvers.base import Solver, budget, judged, place_of
from irem_core.solving.halting import HaltingCriterion
from irem_core.solving.solution import Solution
from irem_core.tasks.task import Task


def solve_file(
    solver: Solver,
    task: Task,
    questions: str | os.PathLike[str],
    answers: str | os.PathLike[str],
    *,
    max_steps: int | None = None,
    descent: Descent | None = None,
    halting: HaltingCriterion | None = None,
    capacity: int = 1024,
    block: int = 16_384,
    seed: int = 0,
    trust: float | None = None,
    resume: bool = False,
    progress: Callable[[int, int], None] = lambda solved, problems: None,
) -> SolvedFile:
    """Solve the questions of a file, and write the answers into another.

    Questions are solved block by block, each as a stream of its own (`Solver.solve_many`), so that
    what is in memory depends on `capacity` and `block` alone, and a block that a kill interrupted
    comes out the same when it is solved again. Until all is done answers stand in a file of the
    name with .part behind it, beside a journal of the blocks. Under torchrun processes share the
    blocks between them.

    Args:
        solver: what solves them.
        task: says how an array holds questions.
        questions: .npy, or .safetensors with one array or one named x; rows are questions. One
            named y has right answers to them, which errors are measured by.
        answers: .npy for the answers alone; .safetensors for y, energy, steps and outcome. The
            answers to questions that hold NaN or infinity are NaN, with the outcome NONFINITE.
            Where `trust` is given, also trusted, 1 or 0.
        max_steps: the most steps of any problem; the solver's own if None.
        descent: how to step; that of training if None.
        halting: when a problem has arrived; that of the solver if None.
        capacity: how many problems are descended at a time.
        block: how many are solved between two marks that resuming starts from.
        seed: of random starts, which depend on `capacity` and `block` too.
        trust: also say which answers may be trusted not to exceed this error (`Solver.trust`).
        resume: whether to go on with what an interrupted call left.
        progress: called with the number of problems solved and to be solved.

    Raises:
        InputFileError: the questions cannot be read, have a wrong shape, or hold NaN or infinity
            one and all, or the answers would replace them.
        RunExistsError: an interrupted call left answers, and `resume` is false.
        InUseError: another process writes the same file of answers.
        SettingError: it had other settings, a number is out of range, or answers can neither be
            trusted by their energies nor be checked.
        StorageError: writing failed; the blocks that were solved before are kept.
    """
    checks.check(checks.count, "solve_file", capacity=capacity, block=block)
    reader, target = RowReader.open(Path(questions)), Path(answers)
    if target.suffix not in ENDINGS:
        raise InputFileError(
            f"Answers to many problems cannot be written to {target}; its name must end in "
            f"{' or '.join(ENDINGS)}."
        )
    check_apart(Path(questions), target)
    max_steps = budget(solver, task, max_steps)
    options = {"max_steps": max_steps, "descent": descent, "halting": halting}
    settings = {
        "questions": reader.stamp(),
        "answers": target.suffix,
        "solver": digest_of(solver.state_dict(), json.dumps(describe(solver))),
        "task": describe(task),
        **{name: part and describe(part) for name, part in options.items() if name != "max_steps"},
        "max_steps": max_steps,
        "capacity": capacity,
        "block": block,
        "seed": seed,
        "trust": trust,
        "threads": torch.get_num_threads(),
        "torch": versions()["torch"],
    }
    ranks = Ranks.from_environment()
    work = _Work(solver, task, reader, target.suffix, options, capacity, block, seed, trust)
    journal = Journal(target, ranks)
    with ranks.joined(place_of(solver)[0]), journal.alone(), journal.storing():
        if ranks.leads:
            work.check()
            journal.claim(settings, work.form(), len(reader), resume=resume)
        ranks.gather(None)
        journal.open()
        done = journal.read()
        ranks.gather(None)
        left = [number for number in range(work.blocks) if number not in done]
        for number in left[ranks.rank :: ranks.count]:
            progress(total(journal.read().values()).problems, len(reader))
            journal.add(number, number * block, *work.solve(number))
        ranks.gather(None)
        solved = total(journal.read().values())
        ranks.gather(None)
        if ranks.leads:
            journal.finish()
    return solved


def holds_rows(task: Task, reader: RowReader) -> bool:
    """Say whether each row of a file is a question, rather than the file one question."""
    try:
        rows = tensor_of(reader.file, reader.rows(0, 1), torch.get_default_dtype())
        return task.stacked(rows).layout.count == 1
    except (ShapeError, NonFiniteError):
        return False


def tried(solver: Solver, problem: Problem, file: Path, **options: Any) -> Solution:
    """Answer problems without a step, to see whether a solver takes those of a file.

    Raises:
        InputFileError: it does not, for example because they are of another size.
    """
    try:
        return solver.solve(problem, **{**options, "max_steps": 0})
    except ShapeError as error:
        raise InputFileError(f"{file} cannot be solved: {error}") from error


def answer_arrays(
    task: Task, problem: Problem, solution: Solution, *, ending: str
) -> dict[str, Array]:
    """Return what a file of answers holds, by name: y, or also energy, steps and outcome.

    Args:
        task: says how answers are an array.
        problem: what was solved.
        solution: its solution.
        ending: of the file, which may hold one array or several.
    """
    y = {"y": task.unstacked(problem, solution.y).numpy(force=True)}
    return y | about(solution) if ending in SEVERAL else y


def about(solution: Solution) -> dict[str, Array]:
    """Return what is told of answers: steps, outcome and, where known, energy and trust."""
    found = {"steps": solution.steps, "outcome": solution.outcome}
    if solution.energy is not None:
        found["energy"] = solution.energy
    if solution.trusted is not None:
        # A number, as the others are: 1 or 0.
        found["trusted"] = solution.trusted.to(torch.int64)
    return {name: tensor.numpy(force=True) for name, tensor in found.items()}


@attrs.frozen
class _Work:
    """What is to be solved, and how."""

    solver: Solver
    task: Task
    reader: RowReader
    ending: str
    options: Mapping[str, Any]
    capacity: int
    block: int
    seed: int
    trust: float | None

    @property
    def blocks(self) -> int:
        return math.ceil(len(self.reader) / self.block)

    def check(self) -> None:
        """Look at all questions before any is solved."""
        file = self.reader.file
        try:
            count = self.problem(0, 1).layout.count
        except (ShapeError, NonFiniteError) as error:
            raise InputFileError(f"{file} cannot be solved: {error}") from error
        if count != 1:
            raise InputFileError(f"{file} has {count} questions a row; expected one.")
        finite = torch.cat([finite_rows(self.values(*ends)) for ends in self.ends()])
        if not finite.all():
            warn_of(file, ~finite)

    def form(self) -> dict[str, Array]:
        """Return what an answer consists of."""
        problem = self.problem(0, 1)
        solution = tried(self.solver, problem, self.reader.file, **self.options)
        return self.arrays([(problem, judged(self.solver, solution, self.trust))])

    def ends(self) -> Iterator[tuple[int, int]]:
        """Yield where blocks begin and end."""
        for start in range(0, len(self.reader), self.block):
            yield start, min(start + self.block, len(self.reader))

    def values(self, start: int, stop: int) -> Tensor:
        """Read questions as they are."""
        device, _ = place_of(self.solver)
        rows = self.reader.rows(start, stop)
        return tensor_of(self.reader.file, rows, self.solver.question_dtype).to(device)

    def problem(self, start: int, stop: int) -> Problem:
        """Read questions, with a sound one in place of each that is not finite."""
        return self.stacked(self.values(start, stop))

    def stacked(self, values: Tensor) -> Problem:
        """Make questions of values, likewise."""
        if not finite_rows(values).all():
            values = with_stand_ins(values, self.sound)
        return self.task.stacked(values)

    @functools.cached_property
    def answers(self) -> RowReader | None:
        """What reads the right answers, where the file has such for answers of one size."""
        found = None if self.task.answer.ragged else self.reader.answers()
        fits = found is not None and math.prod(found.shape[1:]) == self.task.answer.size
        return found if fits else None

    @functools.cached_property
    def sound(self) -> Tensor:
        """The first question of the file that holds finite numbers alone."""
        for ends in self.ends():
            values = self.values(*ends)
            finite = finite_rows(values)
            if finite.any():
                return values[finite][0]
        raise InputFileError(
            f"{self.reader.file} holds NaN or infinity in each of its {len(self.reader)} "
            "questions; expected finite numbers."
        )

    def solve(self, number: int) -> tuple[SolvedFile, dict[str, Array]]:
        """Solve a block of questions, and return what became of them and their answers."""
        start, stop = list(self.ends())[number]
        # Small beside the capacity, so that there is room for the next early.
        few = max(1, self.capacity // 8)
        given: deque[tuple[Problem, Tensor, int]] = deque()

        def problems() -> Iterator[Problem]:
            for first in range(start, stop, few):
                values = self.values(first, min(first + few, stop))
                given.append((self.stacked(values), ~finite_rows(values), first))
                yield given[-1][0]

        solutions = self.solver.solve_many(
            problems(),
            capacity=self.capacity,
            seed=derive(self.seed, "block", number),
            **self.options,
        )
        pairs, found = [], []
        for solution in solutions:
            problem, bad, first = given.popleft()
            told = judged(self.solver, unanswered(solution, bad), self.trust)
            pairs.append((problem, told))
            found.append(SolvedFile.of(pairs[-1][1], self.target(problem, first)))
        return total(found), self.arrays(pairs)

    def target(self, problem: Problem, first: int) -> Tensor | None:
        """Return the right answers from a row on, where the file or the task knows them."""
        if self.answers is not None:
            device, dtype = place_of(self.solver)
            rows = self.answers.rows(first, first + problem.layout.count)
            target = tensor_of(self.reader.file, rows, dtype).to(device)
            return target.reshape(-1, *self.task.answer.shape)
        try:
            return self.task.oracle(problem)
        except NotImplementedError:
            return None

    def arrays(self, pairs: Sequence[tuple[Problem, Solution]]) -> dict[str, Array]:
        """Return what is written of problems and their solutions."""
        held = [answer_arrays(self.task, *pair, ending=self.ending) for pair in pairs]
        return {name: np.concatenate([each[name] for each in held]) for name in held[0]}
