"""`irem solve`: solve problems with a run, or with what comes with a task."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irem_core.cli.options import (
    Autocast,
    Compile,
    Descent,
    Device,
    Halting,
    Json,
    MaxSteps,
    Restarts,
    TestSeed,
    Threads,
    Trust,
)
from irem_core.cli.solutions import known, listed, rows_of, show_solution, show_sum
from irem_core.errors import SettingError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from irem_core.cli.files import Questions
    from irem_core.problems.problem import Problem
    from irem_core.solvers.base import Solver
    from irem_core.solving.solution import Observer, Solution
    from irem_core.tasks.task import Task


def solve(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN|TASK", help="A run, or a task whose energy is written or comes trained."
        ),
    ],
    file: Annotated[
        Path | None,
        typer.Option(
            "--input",
            help="Questions: .npy, .npz, .safetensors, .csv, .parquet or .feather, or a file of "
            "the task's own, such as .cnf or .txt.",
        ),
    ] = None,
    difficulty: Annotated[
        str | None, typer.Option(help='Solve random problems instead: "same", "scale=5", ...')
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many random problems.")] = 1,
    output: Annotated[
        Path | None, typer.Option(help="Where to write the answers, in the same formats.")
    ] = None,
    max_steps: MaxSteps = None,
    descent: Descent = None,
    halting: Halting = None,
    restarts: Restarts = None,
    trust: Trust = None,
    capacity: Annotated[
        int, typer.Option(min=1, help="How many problems of a large file are solved at a time.")
    ] = 1024,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the answers that an interrupted call left.")
    ] = False,
    rounding: Annotated[
        bool,
        typer.Option("--round", help="Round answers to 0 and 1, where right ones are of these."),
    ] = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Draw the first problem step by step, where its task can."),
    ] = False,
    seed: TestSeed = 1,
    device: Device = "cpu",
    threads: Threads = None,
    compiled: Compile = False,
    autocast: Autocast = False,
    as_json: Json = False,
) -> None:
    """Solve problems, each with as many steps as it needs, and show how energy and error fall.

    Problems come from --input, or are drawn at a --difficulty. Where the task knows the exact
    answers, or the file holds them as y, the error is shown too. A file of more problems than
    --capacity, from .npy or .safetensors to .npy or .safetensors, is solved in parts at a bounded
    memory; --resume added to the same command goes on where it was stopped, and torchrun shares the
    work between processes. So are text files of more lines than --capacity, where the task has
    such, but all at one go.
    In --json an answer that was checked and does not hold is null.
    """
    from irem_core.cli import files, loading, show
    from irem_core.cli.verdicts import check_trust, trusted_told
    from irem_core.cli.watching import Watch
    from irem_core.distributed import Ranks
    from irem_core.solvers.base import budget, judged

    _check_source(file, difficulty)
    if watch and as_json:
        raise SettingError("--watch draws, and --json prints for programs; give one of them.")
    check_trust(trust, "irem solve")
    loading.threads(threads)
    ranks = Ranks.from_environment()
    place = ranks.device(loading.device(device))
    solver, task = _found(run, place)
    loading.quicken(solver, compiled=compiled, autocast=autocast)
    if output is not None:
        files.check_output(output, task, questions=file)
    options = {
        "max_steps": budget(solver, task, max_steps),
        **loading.parts(descent, halting),
    }
    again = {} if restarts is None else {"restarts": restarts}
    if file is not None and output is None:
        files.check_size(file, task)
    if file is not None and output is not None:
        many = {**options, "capacity": capacity, "seed": seed, "trust": trust}
        if files.in_lines(file, output, task, capacity):
            files.check_alone(file, ranks, resume=resume)
            _solve_lines(solver, task, file, output, many | again, as_json=as_json)
            return
        if files.in_parts(file, output, task, capacity):
            _check_once(file, restarts, rounding)
            many |= {"resume": resume}
            _solve_in_parts(solver, task, file, output, many, as_json=as_json)
            return
    if ranks.count > 1:
        raise SettingError(
            f"irem solve was started as {ranks.count} processes, which share the parts of a large "
            "file; give --input and --output, both .npy or .safetensors, and a --capacity below "
            "the number of problems, or start it without torchrun."
        )
    asked = _problems(solver, task, file, difficulty, count, seed, place)
    problem, target = asked.problem, asked.target
    if trust is not None:
        # Refused before any work is spent on answers of which nothing can be said.
        solver.trust(solver.solve(problem, max_steps=0), error=trust)
    with Watch(task, problem, target) if watch else nullcontext() as watching:
        solution, errors, trace = _solve(solver, asked, options | again, seed, watching)
        if rounding:
            solution = _rounded(task, solution)
        solution = judged(solver, solution, trust)
        if watching is not None:
            watching.end(solution)
    if output is not None:
        files.write_answers(output, task, problem, solution)
    expected = None if trust is None or not solver.calibrated else solver.expected_error(solution)
    rows = rows_of(solution, errors, expected)
    if as_json:
        answers = listed(solution) if output is None else str(output)
        show.json_document({"answers": answers, "problems": rows, "trace": trace})
        return
    if target is not None:
        target = problem.wanted(solution.y, target)
    show_solution(task, problem, target, solution, trace, rows)
    if trust is not None:
        trusted, checked = sum(row["trusted"] for row in rows), solution.verified is not None
        typer.echo(trusted_told(solver, len(rows), trusted, trust, checked=checked))
    if output is not None:
        typer.echo(f"The answers are in {output}.")


def _check_source(file: Path | None, difficulty: str | None) -> None:
    """Check that problems come from one place."""
    if (file is None) == (difficulty is None):
        given = "neither --input nor" if file is None else "both --input and"
        raise SettingError(f"irem solve got {given} --difficulty; give one of them.")


def _check_once(file: Path, restarts: int | None, rounding: bool) -> None:
    if restarts:
        raise SettingError(
            f"{file} is solved in parts, which are descended once each; leave --restarts out, "
            "or give a --capacity of all of its problems."
        )
    if rounding:
        raise SettingError(
            f"{file} is solved in parts, whose answers are written as they are found; leave "
            "--round out, or give a --capacity of all of its problems."
        )


def _found(run: str, place: torch.device) -> tuple[Solver, Task]:
    from irem_core.cli import loading
    from irem_core.files.packaged import packaged_run
    from irem_core.registry import TASKS, find, plain_name, plugins
    from irem_core.solvers.recipes import solver_for
    from irem_core.tasks.task import load_task

    if Path(run).exists() or plain_name(run) not in {plugin.name for plugin in plugins(TASKS)}:
        trained, task, _ = loading.run(Path(run), place)
        return trained, task
    task = load_task(run)
    solver = solver_for(task)
    if solver is not None:
        return solver.to(place), task
    trained_once = packaged_run(find(TASKS, plain_name(run)).entry)
    if trained_once is None:
        raise SettingError(
            f"The task {run!r} has no written energy, and no weights come with it, so a solver "
            f"must be trained first: irem train {run}. Then give irem solve the folder of that run."
        )
    return loading.run(trained_once, place)[0], task


def _problems(
    solver: Solver,
    task: Task,
    file: Path | None,
    difficulty: str | None,
    count: int,
    seed: int,
    place: torch.device,
) -> Questions:
    """Read or draw the problems, with their answers where the file or the task knows them."""
    import torch

    from irem_core.cli import files
    from irem_core.distributed import derive

    if difficulty is not None:
        generator = torch.Generator(place).manual_seed(derive(seed, "solve", difficulty))
        drawn = task.sample(count, difficulty, generator=generator, device=place)
        return files.Questions(task.checked(drawn[0]), drawn[1])
    assert file is not None
    read = files.read_questions(file, task, solver, place)
    target = _answers(task, read.problem) if read.target is None else read.target
    return files.Questions(task.checked(read.problem), target, read.bad)


def _rounded(task: Task, solution: Solution) -> Solution:
    import attrs

    y = task.rounded(solution.y)
    if y is None:
        raise SettingError(
            "--round has no use here: answers of this task can be any numbers; leave it out."
        )
    return attrs.evolve(solution, y=y)


def _answers(task: Task, problem: Problem) -> Tensor | None:
    try:
        return task.oracle(problem)
    except NotImplementedError:
        return None


def _solve(
    solver: Solver,
    asked: Questions,
    options: dict[str, Any],
    seed: int,
    watch: Observer | None = None,
) -> tuple[Solution, list[float] | None, list[dict[str, Any]]]:
    """Solve, and follow the first problem step by step."""
    import torch

    from irem_core.bulk.bad_rows import unanswered
    from irem_core.distributed import derive
    from irem_core.problems import trees

    problem, target, bad = asked.problem, asked.target, asked.bad
    layout, trace = problem.layout, []

    # Whose steps are told.
    alone = trees.select(problem, layout, torch.arange(1, device=problem.device))

    def error(y: Tensor, rows: Tensor) -> float | None:
        if target is None:
            return None
        return float((y - alone.wanted(y, target[rows])).double().square().mean())

    def follow(step: int, problems: Tensor, evaluation: Any) -> None:
        if watch is not None:
            watch(step, problems, evaluation)
        if int(problems[0]) == 0 and (bad is None or not bad[0]):
            first = evaluation.iterate.layout.rows_of(torch.zeros_like(problems[:1]))
            rows = layout.rows_of(torch.zeros_like(problems[:1]))
            energy = float(evaluation.energy[0])
            trace.append(
                {
                    "step": step,
                    # Solvers without an energy show NaN in its place.
                    "energy": known(energy),
                    "error": error(evaluation.iterate.y[first], rows),
                }
            )

    generator = torch.Generator(problem.device).manual_seed(derive(seed, "starts"))
    solution = solver.solve(problem, generator=generator, observer=follow, **options)
    if bad is not None and bad.any():
        solution = unanswered(solution, bad)
    errors = None
    if target is not None:
        right = problem.wanted(solution.y, target)
        errors = layout.mean((solution.y - right).double().square()).tolist()
    return solution, errors, trace


def _solve_in_parts(
    solver: Solver, task: Task, file: Path, output: Path, options: dict[str, Any], *, as_json: bool
) -> None:
    """Solve a large file, and sum up what became of its problems."""
    from irem_core.bulk.solve_file import solve_file
    from irem_core.cli import show
    from irem_core.distributed import Ranks

    leads = Ranks.from_environment().leads
    kept = "the answers so far are kept"
    with show.resumable(kept), show.progress("solving", shown=leads) as progress:
        found = solve_file(solver, task, file, output, **options, progress=progress)
    if not leads:
        return
    show_sum(found, solver, output, trust=options["trust"], as_json=as_json)


def _solve_lines(
    solver: Solver, task: Task, file: Path, output: Path, options: dict[str, Any], *, as_json: bool
) -> None:
    """Solve a large text file, and sum up what became of its problems."""
    from irem_core.bulk.solve_text import solve_text
    from irem_core.cli import show

    with show.progress("solving") as progress:
        found = solve_text(
            solver, task, file, output, **options, progress=lambda solved: progress(solved, None)
        )
    show_sum(found, solver, output, trust=options["trust"], as_json=as_json)
