"""How results look on a terminal."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

_NARROW = 60
"""Columns of a terminal below which tables that do not fit are printed as lines."""


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; numbers are aligned to the right, and None is a dash."""
    body = [list(row) for row in rows]
    drawn = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        numeric = any(isinstance(row[index], int | float) for row in body)
        drawn.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in body:
        drawn.add_row(*map(cell, row))
    console = Console(highlight=False, soft_wrap=False)
    wide = console.options.update(width=10_000)
    if console.width < min(_NARROW, console.measure(drawn, options=wide).maximum):
        # Columns of a few letters each say nothing; lines do.
        lines = [
            "  ".join(f"{name}: {cell(each)}" for name, each in zip(columns, row, strict=True))
            for row in body
        ]
        console.print(title, *lines, sep="\n", markup=False)
    else:
        console.print(drawn)


def cell(value: Any) -> str:
    """Write one value: four significant digits for fractions, a dash for None."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


@contextlib.contextmanager
def resumable(kept: str) -> Iterator[None]:
    """End the command where it is interrupted, and say that it can go on.

    Args:
        kept: the start of a sentence that says what is kept where.
    """
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(
            f"irem: interrupted; {kept}, and the same command with --resume goes on.", err=True
        )
        raise typer.Exit(130) from None


@contextlib.contextmanager
def progress(title: str, *, shown: bool = True) -> Iterator[Callable[[int, int | None], None]]:
    """Draw a bar on standard error, where that is a terminal, that a callback moves.

    Args:
        title: what goes on.
        shown: whether to draw at all.

    Returns:
        Called with how much is done and how much there is, None where that is not known.
    """
    console = Console(file=sys.stderr)
    # Some versions of rich end even a bar that is disabled by an empty line.
    if not (shown and console.is_terminal):
        yield lambda done, total: None
        return
    bar = Progress(
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task(title, total=None)
    with bar:
        yield lambda done, total: bar.update(task, completed=done, total=total)


def json_document(value: Any) -> None:
    """Print a value as JSON, which knows no NaN and has null in its place."""
    typer.echo(json.dumps(_plain(value), indent=2))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return list(map(_plain, value))
    return None if isinstance(value, float) and math.isnan(value) else value
