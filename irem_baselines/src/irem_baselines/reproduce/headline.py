"""What the library reaches by default, in a dozen rows: the table of the README."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from irem_baselines.reproduce.book import Book, Table, figure
from irem_baselines.reproduce.cells import VERIFIERS
from irem_baselines.reproduce.judging import sizes_of
from irem_baselines.reproduce.tables import published
from irem_core import load_task

DEFAULTS = tuple(each for each in VERIFIERS if each[1] == "irem-default")
# Sizes that training never saw, twice and several times as large as any of it.
_BEYOND = {"shortest-path": (30, 100), "connected-components": (20, 30)}


def table(book: Book) -> list[Table]:
    """Return the errors of what is trained by default, between what was published and floors."""
    rows = [
        [task, difficulty, cited, figure(median(errors)), *book.bounds(task, difficulty, errors)]
        for task, method in DEFAULTS
        for difficulty, cited, errors in _errors(book, task, method)
        if errors
    ]
    return [
        Table(
            title="Mean squared errors by default",
            columns=["task", "problems", "published", "ours", "constant", "entrywise", "relative"],
            rows=rows,
        )
    ]


def _errors(book: Book, task: str, method: str) -> Iterator[tuple[str, str, list[float]]]:
    """Yield difficulties with the published figure and the errors of all seeds."""
    cited = figure(published(task).get(("irem", "harder")), 6)
    yield "harder", cited, book.errors(task, method, "harder")
    for size in _BEYOND.get(task, ()):
        found = [each.get(str(size)) for each in book.measured(task, method, "sizes")]
        difficulty = sizes_of(load_task(task))[size]
        yield difficulty, "-", [float(each["mse"]) for each in found if each is not None]
