"""Floors of every difficulty that tables and figures show, measured once and kept as records."""

from __future__ import annotations

from pathlib import Path

import attrs

from irem_baselines.reproduce.book import Book, Table, figure
from irem_baselines.reproduce.cells import FLOORS, PAPER_TASKS, VERIFIERS, cell, verifier
from irem_baselines.reproduce.judging import sizes_of
from irem_baselines.reproduce.worker import write
from irem_core import load_task

# Which pairs alone have.
_OF_PAIRS = ("linear", "neighbour")
# That of `Task.floor`.
_SEED = 0


def wanted() -> dict[str, list[str]]:
    """Return the difficulties of each task that some table or figure shows."""
    found: dict[str, dict[str, None]] = {}
    cells = [cell(task, "irem") for task in PAPER_TASKS]
    cells += [verifier(task, method) for task, method in (*VERIFIERS, *FLOORS)]
    for each in cells:
        difficulties = found.setdefault(each.task, {"same": None, "harder": None})
        difficulties.update(dict.fromkeys(each.difficulties))
        if "sizes" in each.measures:
            difficulties.update(dict.fromkeys(sizes_of(load_task(each.task)).values()))
    return {task: list(difficulties) for task, difficulties in found.items()}


def make(folder: Path) -> None:
    """Measure the floors that have no record yet, and write a file for each task.

    Raises:
        StorageError: a file cannot be written.
    """
    book = Book(folder)
    for name, difficulties in wanted().items():
        missing = [each for each in difficulties if book.floor(name, each) is None]
        if not missing:
            continue
        task, kept = load_task(name), book.floors.get(name, {})
        found = kept | {each: task.floor(each) for each in missing}
        record = {
            "task": name,
            "seed": _SEED,
            "command": "irem reproduce floors",
            "floors": {
                each: attrs.asdict(floor, filter=lambda field, _: field.name not in _OF_PAIRS)
                for each, floor in found.items()
            },
        }
        write(folder / f"{name}.json", record)


def table(book: Book) -> list[Table]:
    """Return the floors that are kept."""
    rows = [
        [task, difficulty, str(floor.problems), figure(floor.constant), figure(floor.entrywise)]
        for task, floors in book.floors.items()
        for difficulty, floor in floors.items()
    ]
    return [
        Table(
            title="Floors: mean squared errors of answers without reasoning",
            columns=["task", "difficulty", "problems", "constant", "entrywise"],
            rows=rows,
            notes=["Fitted to so many problems of the difficulty, and scored on as many others."],
        )
    ]
