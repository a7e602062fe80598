"""`irem reproduce`: the tables and figures of the paper, and the trainings that they need."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import attrs
import typer

if TYPE_CHECKING:
    from irem_baselines.reproduce.book import Book, Table
    from irem_baselines.reproduce.cells import Cell
    from irem_baselines.reproduce.targets import Target
    from irem_baselines.reproduce.worker import Folders


def reproduce(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="table1 to table5, figure1 to figure8, headline, verifiers, descents, halting, "
            "outputs, gradient-free, floors, all, or one training by its file, such as add-irem-0.",
        ),
    ],
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each cell: seeds 0, 1, ...")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings at a time, a thread each.")] = 1,
    iterations: Annotated[
        int | None,
        typer.Option(min=1, help="For a quick look: train so long only, and keep it apart."),
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Where records are kept; results/paper or verifiers.")
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(help="Where trained runs are kept; runs/paper or verifiers.")
    ] = None,
    figures: Annotated[Path, typer.Option(help="Where figures are drawn.")] = Path(
        "results/figures"
    ),
    train: Annotated[
        bool, typer.Option("--train/--no-train", help="Whether to train what has no record.")
    ] = True,
    markdown: Annotated[bool, typer.Option(help="Print tables in Markdown.")] = False,
) -> None:
    """Make a table or a figure of the paper, ours beside what was published.

    What has a record is not trained again: delete its file for that. A training that was stopped
    goes on where it was. Figures are drawn as PNG and SVG, with matplotlib.
    """
    from irem_baselines.reproduce.targets import TARGETS, find_cell
    from irem_baselines.reproduce.worker import Folders

    def folders_of(name: str) -> Folders:
        kept, ran = results or Path("results") / name, runs or Path("runs") / name
        apart = "" if iterations is None else f"quick-{iterations}"
        return Folders(results=kept / apart, runs=ran / apart)

    if iterations is not None:
        figures = figures / f"quick-{iterations}"
    if target != "all" and target not in TARGETS:
        cell = _shortened(find_cell(target), iterations)
        _make_cell(cell, folders_of(cell.folder))
        return
    failed: list[str] = []
    for name in TARGETS if target == "all" else [target]:
        wanted = TARGETS[name]
        folders = folders_of(wanted.folder)
        cells = [_shortened(each, iterations) for each in wanted.trainings(seeds)]
        missing = folders.missing(cells, wanted.measures)
        if train:
            failed += _train([each for each in missing if each.name not in failed], folders, jobs)
        elif missing:
            typer.echo(f"{name}: {len(missing)} of {len(cells)} cells have no record.", err=True)
        if train and wanted.make is not None:
            wanted.make(folders.results)
        _show(name, wanted, folders, figures, iterations=iterations, markdown=markdown)
    if failed:
        typer.echo(f"irem: {len(failed)} trainings failed: {', '.join(failed)}.", err=True)
        raise typer.Exit(1)


def _shortened(cell: Cell, iterations: int | None) -> Cell:
    return cell if iterations is None else attrs.evolve(cell, iterations=iterations)


def _make_cell(cell: Cell, folders: Folders) -> None:
    """Make one record, unless it is there already, and say what it holds."""
    from irem_baselines.reproduce.worker import make

    record = folders.record(cell)
    if folders.missing([cell], cell.measures) or record is None:
        record = make(cell, folders)
    scores = ", ".join(f"{name} {each['mse']:.4g}" for name, each in record["evaluation"].items())
    minutes = record["train_seconds"] / 60
    typer.echo(f"{cell.name}: {scores} ({record['iterations']} iterations, {minutes:.1f} minutes)")


def _train(cells: Sequence[Cell], folders: Folders, jobs: int) -> list[str]:
    """Make the records of cells; return the names of those that failed."""
    from irem_baselines.reproduce.cells import PYTHON
    from irem_baselines.reproduce.worker import make_all

    def command(cell: Cell) -> list[str]:
        results, runs = folders.results, folders.runs
        words = [*PYTHON, "reproduce", cell.name]
        if cell.iterations is not None:
            # The process appends the name of the quick look by itself.
            words += ["--iterations", str(cell.iterations)]
            results, runs = results.parent, runs.parent
        return [*words, "--results", str(results), "--runs", str(runs)]

    if cells:
        names = ", ".join(each.name for each in cells)
        typer.echo(f"Training {len(cells)} cells: {names}.", err=True)
    return make_all(cells, command, jobs=jobs, say=lambda text: typer.echo(text, err=True))


def _show(
    name: str,
    target: Target,
    folders: Folders,
    figures: Path,
    *,
    iterations: int | None,
    markdown: bool,
) -> None:
    """Print a target's tables and draw its figure."""
    from irem_baselines.reproduce.book import Book

    book = Book(folders.results)
    look = "" if iterations is None else f" (a quick look: {iterations:,} iterations)"
    for table in target.tables(book) if target.tables else ():
        _print(table, table.title + look, markdown=markdown)
    if target.draw is not None:
        draw(name, target, book, figures, look)


def _print(table: Table, title: str, *, markdown: bool) -> None:
    if markdown:
        typer.echo(f"{title}\n\n{table.markdown()}")
        return
    from rich.console import Console
    from rich.table import Table as Drawn

    drawn = Drawn(title=title, title_justify="left", title_style="bold")
    for place, column in enumerate(table.columns):
        numeric = any(row[place][:1].isdigit() for row in table.rows)
        drawn.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*row)
    console = Console(highlight=False)
    console.print(drawn)
    for note in table.notes:
        console.print(note)


def draw(name: str, target: Target, book: Book, figures: Path, look: str) -> None:
    """Draw a target's figure as PNG and SVG, unless there are no records to draw.

    Raises:
        SettingError: matplotlib is not installed.
        StorageError: a file cannot be written.
    """
    from irem_core import SettingError, StorageError

    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SettingError(
            f"{name} is drawn with matplotlib, which is not installed; pip install "
            "'irem-baselines[plot]'. The records are there."
        ) from error
    assert target.draw is not None
    figure = Figure(figsize=target.size, layout="constrained")
    target.draw(book, figure)
    if not figure.axes:
        typer.echo(f"{name}: there are no records to draw.", err=True)
        return
    if look:
        figure.suptitle(look.strip())
    files = [figures / f"{name}.{kind}" for kind in ("png", "svg")]
    try:
        figures.mkdir(parents=True, exist_ok=True)
        for file in files:
            # No date and no random names, so that the same records give the same file.
            metadata = {"Date": None} if file.suffix == ".svg" else None
            with rc_context({"svg.hashsalt": name}):
                figure.savefig(file, dpi=110, metadata=metadata)
    except OSError as error:
        raise StorageError(f"{files[0]} cannot be written ({error.strerror}).") from error
    typer.echo(f"{name}: {target.title}, in {' and '.join(map(str, files))}.")
