"""How `irem solve` shows what problems came to."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from torch import Tensor

    from irem_core.bulk.answer_journal import SolvedFile
    from irem_core.problems.problem import Problem
    from irem_core.solvers.base import Solver
    from irem_core.solving.solution import Solution
    from irem_core.tasks.task import Task

_SHOWN_ROWS = 20


def show_solution(
    task: Task,
    problem: Problem,
    target: Tensor | None,
    solution: Solution,
    trace: list[dict[str, float | None]],
    rows: list[dict[str, Any]],
) -> None:
    """Print the task's own report, or how energy and error fell and what each problem came to."""
    report = task.report(problem, solution)
    if report is None:
        _show_trace(trace, problem, target, solution)
        _show_rows(rows)
    else:
        typer.echo(report)


def show_sum(
    found: SolvedFile, solver: Solver, output: Path, *, trust: float | None, as_json: bool
) -> None:
    """Show what became of the problems of a large file.

    Args:
        found: that.
        solver: what solved them.
        output: where the answers are.
        trust: the error that answers are trusted not to exceed, where that was asked for.
        as_json: whether to print JSON.
    """
    from irem_core.cli import show
    from irem_core.cli.verdicts import trusted_told

    count = found.problems
    outcomes = {name.lower().replace("_", " "): many for name, many in found.outcomes.items()}
    summary = {
        "problems": count,
        "outcomes": outcomes,
        "steps_mean": found.steps / count,
        "mse": found.mse,
        "verified": found.verified,
        **({} if found.trusted is None else {"trusted": found.trusted}),
    }
    if as_json:
        show.json_document({"answers": str(output), **summary})
        return
    ends = ", ".join(f"{many} {name}" for name, many in outcomes.items())
    show.table(
        f"{count} problems",
        ["outcomes", "steps, mean", "error, mean", "verified"],
        [[ends, summary["steps_mean"], summary["mse"], found.verified]],
    )
    if trust is not None and found.trusted is not None:
        checked = found.verified is not None
        typer.echo(trusted_told(solver, count, found.trusted, trust, checked=checked))
    typer.echo(f"The answers are in {output}.")


def listed(solution: Solution) -> list[Any] | None:
    """List answers row by row, null where one was checked and does not hold; null where none do."""
    rows: list[Any] = solution.y.tolist()
    if solution.verified is None:
        return rows
    owner, holds = solution.layout.owner, solution.verified
    held = (holds if owner is None else holds[owner]).tolist()
    return (
        [row if right else None for row, right in zip(rows, held, strict=True)]
        if any(held)
        else None
    )


def rows_of(
    solution: Solution, errors: list[float] | None, expected: Tensor | None = None
) -> list[dict[str, Any]]:
    """Say what each problem came to.

    Args:
        solution: the answers.
        errors: of each, where known.
        expected: `(B,)` the errors to expect, where these are asked for.
    """
    from irem_core.solving.outcome import Outcome

    energies, checked, trusted = solution.energy, solution.verified, solution.trusted
    return [
        {
            "problem": index,
            "outcome": Outcome(int(outcome)).name.lower().replace("_", " "),
            "steps": int(solution.steps[index]),
            "energy": None if energies is None else known(float(energies[index])),
            "error": None if errors is None else known(errors[index]),
            **({} if expected is None else {"expected": known(float(expected[index]))}),
            **({} if checked is None else {"verified": bool(checked[index])}),
            **({} if trusted is None else {"trusted": bool(trusted[index])}),
        }
        for index, outcome in enumerate(solution.outcome)
    ]


def known(value: float) -> float | None:
    """Return a finite number, and None in place of others, which JSON does not have."""
    return value if math.isfinite(value) else None


def _show_trace(
    trace: list[dict[str, Any]], problem: Problem, target: Tensor | None, solution: Solution
) -> None:
    from irem_core.cli import show

    if trace:
        show.table(
            "Problem 0, step by step (error: mean squared over its entries)",
            ["step", "energy", "error"],
            ([each["step"], each["energy"], each["error"]] for each in trace),
        )
    if problem.layout.owner is None:
        shown = slice(0, 6)
        columns = {"answer": solution.y, "exact": target}
        entries = [
            [name, *(round(value, 4) for value in tensor[0].flatten()[shown].tolist())]
            for name, tensor in columns.items()
            if tensor is not None
        ]
        width = max(map(len, entries))
        show.table(
            "First entries of problem 0",
            ["", *(f"[{index}]" for index in range(width - 1))],
            entries,
        )


def _show_rows(rows: list[dict[str, Any]]) -> None:
    from irem_core.cli import show

    errors = [row["error"] for row in rows if row["error"] is not None]
    mean = f", mean squared error {show.cell(sum(errors) / len(errors))}" if errors else ""
    show.table(
        f"{len(rows)} problem{'s' if len(rows) > 1 else ''}{mean}",
        list(rows[0]),
        (list(row.values()) for row in rows[:_SHOWN_ROWS]),
    )
    if len(rows) > _SHOWN_ROWS:
        typer.echo(f"... and {len(rows) - _SHOWN_ROWS} more; --json prints all.")
