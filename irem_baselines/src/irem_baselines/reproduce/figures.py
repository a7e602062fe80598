"""The paper's figures, drawn from records, and some that it leaves out.

Every function draws into an empty matplotlib figure what a book of records holds, and leaves it
empty where that is nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

from irem_baselines.reproduce.book import Book
from irem_baselines.reproduce.cells import GRAPH_SIZES, LEARNED, PAPER_TASKS
from irem_baselines.reproduce.measures import COMPOSED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "irem": "#0b6e8f",
    "feedforward": "#8a8a8a",
    "recurrent": "#d1792c",
    "ponder": "#6a51a3",
    "iterative-feedforward": "#3f8f4f",
    "iterative-feedforward-unrolled": "#a3c940",
}
# Errors beyond this are left out, as the paper does: methods that diverge would hide the others.
_TOP = 3.0


def figure_1(book: Book, figure: Figure) -> None:
    """Draw a solve in the plane of its first two coordinates, over the energy's contours."""
    for drawn in book.measured("add", "irem", "contours")[:1]:
        axes = figure.subplots()
        axes.contourf(drawn["first"], drawn["second"], drawn["energies"], levels=24, cmap="Blues_r")
        path = drawn["path"]
        axes.plot(*zip(*path, strict=True), "o-", color="#d1792c", markersize=3, label="iterates")
        axes.plot(*path[0], "s", color="#d1792c", label="start")
        axes.plot(*drawn["solution"], "*", color="black", markersize=11, label="solution")
        axes.set(xlabel="first entry of y", ylabel="second entry of y", title="A solve of add")
        axes.legend()


def figure_2(book: Book, figure: Figure) -> None:
    """Draw the error on shortest-path by step over the best constant's, for 10 to 30 nodes."""
    methods = [each for each in ("irem", "recurrent") if book.of("shortest-path", each)]
    for axes, method in zip(_row(figure, len(methods)), methods, strict=True):
        for place, size in enumerate(GRAPH_SIZES):
            shade = 0.25 + 0.75 * place / (len(GRAPH_SIZES) - 1)
            floor = book.floor("shortest-path", size)
            if floor is None:
                continue
            errors = _by_step(book, "shortest-path", method, size)
            by_step = {step: error / floor.constant for step, error in errors.items()}
            nodes = size.removeprefix("nodes=")
            _line(axes, by_step, COLOURS[method], label=f"{nodes} nodes", alpha=shade)
            if floor.entrywise is not None:
                over = floor.entrywise / floor.constant
                axes.axhline(over, color="black", linestyle=":", linewidth=1, alpha=shade)
        axes.axhline(1.0, color="black", linestyle="--", linewidth=1, label="constant")
        axes.plot([], [], "k:", linewidth=1, label="entrywise")
        axes.set(title=f"{method} on shortest-path", xlabel="steps")
        axes.set(ylabel="error over the constant's, fitted to each size", yscale="log")
        axes.legend(fontsize="small")


def figure_3(book: Book, figure: Figure) -> None:
    """Draw the error by step for each task on vectors and matrices, and each method."""
    tasks = [each for each in PAPER_TASKS[:3] if book.of(each, "irem")]
    if not tasks:
        return
    grid = figure.subplots(len(tasks), 2, squeeze=False)
    for row, task in zip(grid, tasks, strict=True):
        for axes, difficulty in zip(row, ("same", "harder"), strict=True):
            for method in LEARNED:
                by_step = _by_step(book, task, method, difficulty)
                if len(by_step) == 1:
                    axes.axhline(
                        *by_step.values(), color=COLOURS[method], linestyle=":", label=method
                    )
                _line(axes, by_step, COLOURS[method], label=method)
            axes.set(title=f"{task}, {difficulty}", xlabel="steps", ylabel="error", yscale="log")
            axes.set_ylim(top=_TOP if task == "add" else 1.0)
    named = grid[0, 0].get_legend_handles_labels()
    figure.legend(*named, loc="outside upper center", ncols=3, fontsize="small")


def figure_4(book: Book, figure: Figure) -> None:
    """Draw the squared error of single elements of one addition by step."""
    for drawn in book.measured("add", "irem", "elements")[:1]:
        axes = figure.subplots()
        for element, errors in enumerate(drawn["squared_errors"]):
            axes.plot(errors, label=f"element {element}", linewidth=1)
        axes.set(
            yscale="log", xlabel="steps", ylabel="squared error", title="Elements of an answer"
        )
        axes.legend(fontsize="x-small", ncols=3)


def figure_5(book: Book, figure: Figure) -> None:
    """Draw energies of candidates against their distance to the solution."""
    measured = {each: book.measured(each, "irem", "landscape")[:1] for each in PAPER_TASKS[:3]}
    shown = {task: found[0] for task, found in measured.items() if found}
    for axes, (task, drawn) in zip(_row(figure, len(shown)), shown.items(), strict=True):
        axes.plot(
            [each for row in drawn["errors"] for each in row],
            [each for row in drawn["energies"] for each in row],
            ".",
            markersize=2,
            color=COLOURS["irem"],
        )
        correlation = drawn["rank_correlation"]
        axes.set(
            title=f"{task}: rank correlation {correlation:.2f}",
            xlabel="mean squared distance to the solution",
            ylabel="energy",
        )


def figure_6(book: Book, figure: Figure) -> None:
    """Draw three nested additions of four vectors: their first nine elements, and ours."""
    for drawn in book.measured("add", "irem", "nested")[:1]:
        grids = [*drawn["operands"], drawn["predictions"][-1], drawn["sum"]]
        titles = ["y0", "+ y1", "+ y2", "+ y3", "IREM", "exact"]
        for axes, values, title in zip(_row(figure, len(grids)), grids, titles, strict=True):
            square = [values[start : start + 3] for start in (0, 3, 6)]
            axes.imshow(square, cmap="RdBu", vmin=-3, vmax=3)
            for row, line in enumerate(square):
                for column, value in enumerate(line):
                    ink = "white" if abs(value) > 2 else "black"
                    axes.text(column, row, f"{value:.3f}", ha="center", va="center", color=ink)
            axes.set(title=title, xticks=[], yticks=[])


def figure_7(book: Book, figure: Figure) -> None:
    """Draw the error of composed addition by the number of applications."""
    shown = [each for each in LEARNED if book.measured("add", each, "composition")]
    if not shown:
        return
    axes = figure.subplots()
    longest = str(max(COMPOSED))
    for method in shown:
        errors = [
            each[longest]["mse_by_application"]
            for each in book.measured("add", method, "composition")
        ]
        line = [mean(values) for values in zip(*errors, strict=True)]
        axes.plot(range(1, len(line) + 1), line, "o-", color=COLOURS[method], label=method)
    axes.set(yscale="log", xlabel="applications", ylabel="mean squared error", title="add composed")
    axes.legend()


def figure_8(book: Book, figure: Figure) -> None:
    """Draw the PSNR of denoised photographs by step."""
    measured = book.measured("denoise", "irem", "psnr")[:1]
    if not measured:
        return
    axes = figure.subplots()
    one_shot = book.measured("denoise", "residual", "psnr")[:1]
    for place, (sigma, by_step) in enumerate(measured[0].items()):
        colour = f"C{place}"
        axes.plot([int(step) for step in by_step], list(by_step.values()), color=colour)
        axes.text(max(map(int, by_step)), by_step[max(by_step, key=int)], f" {sigma}", color=colour)
        for other in one_shot:
            axes.axhline(other[sigma]["1"], color=colour, linestyle=":", linewidth=1)
    axes.set(xlabel="steps", ylabel="PSNR in dB", title="denoise: irem, and residual (dotted)")
    axes.set_ylim(bottom=18)


def descents(book: Book, figure: Figure) -> None:
    """Draw the error against the energy evaluations that each way to descend spends."""
    measured = {each: book.measured(each, "irem", "descents")[:1] for each in PAPER_TASKS}
    shown = {task: found[0] for task, found in measured.items() if found}
    for axes, (task, found) in zip(_row(figure, len(shown), 3), shown.items(), strict=False):
        for name, each in found.items():
            by_step, cost = each["mse_by_step"], each["evaluations_per_step"]
            spent = [1 + cost * int(step) for step in by_step]
            axes.plot(spent, list(by_step.values()), label=name, linewidth=1.2)
        axes.set(title=task, xscale="log", yscale="log", xlabel="energy evaluations")
        axes.set_ylim(top=_TOP)
        axes.legend(fontsize="x-small")


def _row(figure: Figure, count: int, columns: int | None = None) -> Sequence[Axes]:
    if not count:
        return ()
    wide = min(count, columns or count)
    grid: Any = figure.subplots(-(-count // wide), wide, squeeze=False)
    return list(grid.flat)[:count]


def _by_step(book: Book, task: str, method: str, difficulty: str) -> dict[int, float]:
    """Return the error by step, the mean over seeds."""
    listed = [
        record["evaluation"][difficulty]["mse_by_step"]
        for record in book.of(task, method)
        if difficulty in record["evaluation"]
    ]
    if not listed:
        return {}
    return {int(step): mean(each[step] for each in listed) for step in listed[0]}


def _line(axes: Axes, by_step: dict[int, float], colour: str, **options: Any) -> None:
    kept = {step: error for step, error in by_step.items() if error == error}
    if len(kept) > 1:
        axes.plot(list(kept), list(kept.values()), color=colour, linewidth=1.4, **options)
