"""Write the table of tasks in docs/tasks.md.

    python benchmarks/render_tasks.py                measure all floors again and rewrite the table
    python benchmarks/render_tasks.py --only parity  only the rows of these tasks
    python benchmarks/render_tasks.py --keep-floors  all but the floors
    python benchmarks/render_tasks.py --check        exit with 1 where the table would change

Between the lines `<!-- tasks -->` and `<!-- /tasks -->` stands a row for every task that irem-tasks
registers, made of what the task says of itself and of the floors that it measures: what the best
constant and the best entrywise answers score on each difficulty, fitted to that difficulty, and how
the published figures relate to that constant. `--check` goes with the others.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import torch

from irem_baselines.reproduce.book import figure
from irem_core import (
    EntrySpace,
    FactorSpace,
    ImageSpace,
    MatrixSpace,
    Space,
    Task,
    VectorSpace,
    load_task,
)
from irem_core.registry import TASKS, Plugin, plugins
from irem_tasks.sat import ClauseSpace

ROOT = Path(__file__).parent.parent
SECTION = re.compile(r"(<!-- tasks -->\n)(.*?)(<!-- /tasks -->)", re.DOTALL)
FLOORS = ("constant", "entrywise")
PUBLISHED, RELATIVE = "published IREM", "relative"
COLUMNS = (
    *("task", "problem", "x", "y", "difficulties"),
    *(*FLOORS, PUBLISHED, RELATIVE),
    "exact answers",
)

Row = dict[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; compare")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="tasks whose rows to renew")
    parser.add_argument("--keep-floors", action="store_true", help="renew all but the floors")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "tasks.md")
    options = parser.parse_args()
    text = options.page.read_text(encoding="utf-8")
    found = SECTION.search(text)
    if not found:
        sys.exit(f"{options.page} has no lines <!-- tasks --> and <!-- /tasks -->.")
    kept = read(found[2])
    registered = [each for each in plugins(TASKS) if each.distribution == "irem-tasks"]
    unknown = set(options.only or ()) - {each.name for each in registered}
    if unknown:
        sys.exit(f"irem-tasks has no task {', '.join(sorted(unknown))}; see irem list.")
    rows = [renewed(each, kept, options.only, options.keep_floors) for each in registered]
    rendered = text[: found.start(2)] + table(rows) + text[found.end(2) :]
    if not options.check:
        options.page.write_text(rendered, encoding="utf-8")
    elif rendered != text:
        sys.exit(f"{options.page} differs from the tasks; run {Path(__file__).name} again.")


def renewed(plugin: Plugin, kept: dict[str, Row], only: list[str] | None, keep_floors: bool) -> Row:
    """Return a row of the table: the old one, or a new one with old floors or new ones."""
    old = kept.get(plugin.name)
    if only and plugin.name not in only:
        if old is None:
            sys.exit(f"The table has no row of {plugin.name} yet; name it too, or no tasks at all.")
        return old
    task = load_task(plugin.name)
    row = about(plugin.name, task)
    if keep_floors and old is not None:
        row |= {column: old[column] for column in FLOORS}
    else:
        row |= measured(task)
    return row | {RELATIVE: relative(row[PUBLISHED], row["constant"])}


def about(name: str, task: Task) -> Row:
    """Return what a task says of itself."""
    figures = [
        next(
            (
                f"{each.value:g}"
                for each in task.published
                if each.method == "irem" and each.difficulty == difficulty and each.metric == "mse"
            ),
            "-",
        )
        for difficulty in tested(task)
    ]
    return {
        "task": f"`{name}`",
        "problem": first_line(task),
        "x": shape(task.question, "a number per edge"),
        "y": shape(task.answer, "a number per pair of nodes"),
        "difficulties": difficulties(task),
        PUBLISHED: pair(figures),
        "exact answers": exact(task),
    }


def measured(task: Task) -> Row:
    """Return the floors of a task, which one whose energy is written has none of."""
    if task.energy() is not None:
        return dict.fromkeys(FLOORS, "-")
    floors = [task.floor(difficulty) for difficulty in tested(task)]
    return {column: pair([figure(getattr(floor, column)) for floor in floors]) for column in FLOORS}


def relative(errors: str, constants: str) -> str:
    """Return errors over those of constants, as they stand in the table."""
    if "-" in (errors, constants):
        return "-"
    both = zip(errors.split(" / "), constants.split(" / "), strict=True)
    return pair([figure(float(error) / float(constant)) for error, constant in both])


def tested(task: Task) -> list[str]:
    return [name for name in task.difficulties if name != "train"]


def pair(values: list[str]) -> str:
    """Join the values of all difficulties, or write that there is none."""
    return "-" if set(values) == {"-"} else " / ".join(values)


def shape(space: Space, ragged: str) -> str:
    """Say in words what the questions or answers of a space are."""
    if isinstance(space, VectorSpace):
        return f"{space.length} number{'s' if space.length > 1 else ''}"
    if isinstance(space, MatrixSpace):
        return f"{space.height} x {space.width} matrix"
    if isinstance(space, ImageSpace):
        return f"{space.height} x {space.width} {'grey' if space.channels == 1 else 'colour'} image"
    if isinstance(space, ClauseSpace):
        return f"{space.clauses} clauses of {space.width} literals"
    if isinstance(space, FactorSpace):
        return f"factor graph of {', '.join(f'`{kind}`' for kind, _ in space.kinds)}"
    if isinstance(space, EntrySpace):
        return "a number per entry"
    return ragged if space.ragged else f"{' x '.join(map(str, space.shape))} numbers"


def difficulties(task: Task) -> str:
    """Write the parameters that tell the difficulties of a task apart, equal ones together."""
    changed = {name: None for each in task.difficulties.values() for name in each}
    written: dict[str, list[str]] = {}
    for name, parameters in task.difficulties.items():
        values = {**task.parameters, **parameters}
        text = ", ".join(f"{parameter}={values[parameter]}" for parameter in changed)
        written.setdefault(text, []).append(name)
    return "; ".join(f"{', '.join(names)} `{text}`" for text, names in written.items())


def exact(task: Task) -> str:
    """Say how the exact answers are found, in the words of the task."""
    if task.energy() is not None:
        return "none; every answer is checked"
    problem, _ = task.sample(1, "same", generator=torch.Generator().manual_seed(0))
    try:
        task.oracle(problem)
    except NotImplementedError:
        return "none"
    # Tasks on graphs answer one graph after the other; how, is said where they answer one.
    return first_line(getattr(task, "solve_one", task.oracle)).removeprefix("Return ")


def first_line(described: Any) -> str:
    return (inspect.getdoc(described) or "").partition("\n")[0].rstrip(".:")


def table(rows: list[Row]) -> str:
    lines = [
        list(COLUMNS),
        ["---"] * len(COLUMNS),
        *([row[name] for name in COLUMNS] for row in rows),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def read(text: str) -> dict[str, Row]:
    """Read the rows that stand in the page, by the name of the task."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines()[2:]]
    rows = [dict(zip(COLUMNS, line, strict=True)) for line in lines if len(line) == len(COLUMNS)]
    return {row["task"].strip("`"): row for row in rows}


if __name__ == "__main__":
    main()
