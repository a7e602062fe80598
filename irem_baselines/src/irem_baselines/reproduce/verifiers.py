"""Energies that verify, beside the paper's: their tables and figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import TYPE_CHECKING

from irem_baselines.reproduce.book import (
    TITLES,
    Book,
    Record,
    Table,
    figure,
    over_seeds,
    provenance,
)
from irem_baselines.reproduce.cells import REFERENCES, VERIFIERS
from irem_baselines.reproduce.judging import sizes_of
from irem_baselines.reproduce.tables import DIFFICULTIES
from irem_core import load_task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_JUDGED = ("shortest-path", "irem-default")
_COLOURS = ("#0b6e8f", "#d1792c")
_COLUMNS = tuple(name for each in DIFFICULTIES for name in (each, "relative", "steps"))
RELATIVE = "error over the constant's"


def table(book: Book) -> list[Table]:
    """Return errors of the library's own energies, beside the paper's and what bounds both."""
    paper = Book(book.folder.parent / "paper")
    tasks = list(dict.fromkeys(task for task, _ in VERIFIERS))
    ours = [record for task, method in VERIFIERS for record in book.of(task, method)]
    errors = Table(
        title="Energies that verify: mean squared error",
        columns=["task", "method", "weights", "minutes", *_COLUMNS],
        rows=[row for task in tasks for row in _rows(book, paper, task)],
        notes=[
            "Ours are named by their energies. Elementwise ones are given the structure of their "
            "task, and show how exact a descent is; rational ones are given that the answer is a "
            "function of the matrix, and learn which. Minutes are of one thread, with the "
            "evaluations on the way. With several seeds: the median, the smallest "
            "and the largest. Relative: the error over that of the best constant, fitted to other "
            "problems of the difficulty. Steps: the mean over problems, which halt by themselves; "
            "with the paper's energy all take as many, as published.",
            *provenance(ours),
        ],
    )
    return [errors, _judgement(book), _by_size(book)]


def _rows(book: Book, paper: Book, task: str) -> Iterator[list[str]]:
    name = task
    methods = [(book, method) for of, method in VERIFIERS if of == task]
    methods += [(paper, "irem")]
    for kept, method in methods:
        records = kept.of(task, method)
        if not records and kept is paper:
            continue
        energy = records[0]["energy"] if records else method
        yield [
            name,
            f"{energy}, the paper's energy" if kept is paper else energy,
            f"{records[0]['parameters']:,}" if records else "",
            over_seeds([each["train_seconds"] / 60 for each in records]),
            *_errors(kept, task, method),
        ]
        name = ""
    figures = {
        each.difficulty: each.value
        for each in load_task(task).published
        if (each.method, each.metric) == ("irem", "mse")
    }
    if figures:
        cells = [
            text
            for each in DIFFICULTIES
            for text in (
                figure(figures.get(each), 6),
                figure(book.relative(task, each, [figures[each]] if each in figures else [])),
                "",
            )
        ]
        yield ["", "published", "", "", *cells]
    for method in (*REFERENCES, "posterior-mean"):
        kept = paper if paper.of(task, method) else book
        if kept.of(task, method):
            yield ["", TITLES.get(method, method), "", "", *_errors(kept, task, method)]
    for title, *cells in book.fitted_there(task, DIFFICULTIES):
        apart = [text for pair in zip(cells[::2], cells[1::2], strict=True) for text in (*pair, "")]
        yield ["", title, "", "", *apart]


def _errors(book: Book, task: str, method: str) -> Iterator[str]:
    """Write the error, the relative error and the steps of each difficulty."""
    for difficulty in DIFFICULTIES:
        errors = book.errors(task, method, difficulty)
        yield over_seeds(errors)
        yield figure(book.relative(task, difficulty, errors))
        taken = book.errors(task, method, difficulty, "steps_mean")
        yield figure(median(taken)) if taken else ""


# How scores of tasks' own are written.
_SCORES = {"accuracy": "{:.2%} right", "residual": "residual {:.3g}"}


def running_on(book: Book) -> list[Table]:
    """Return the errors of halted answers beside those of going on for 400 steps."""
    rows = []
    for task, method in VERIFIERS:
        measured = book.measured(task, method, "running-on")
        for difficulty in DIFFICULTIES if measured else ():
            found = [each[difficulty] for each in measured]
            ratios = [each["halted"]["mse"] / each["on"]["mse"] for each in found]
            spent = [
                each["halted"]["evaluations_mean"] / each["paper"]["evaluations_mean"]
                for each in found
            ]
            rows.append(
                [
                    f"{task}, {book.of(task, method)[0]['energy']}",
                    difficulty,
                    over_seeds([each["halted"]["mse"] for each in found]),
                    figure(median(each["halted"]["steps_mean"] for each in found)),
                    over_seeds([each["on"]["mse"] for each in found]),
                    over_seeds(ratios),
                    f"{median(each['converged'] / each['problems'] for each in found):.1%}",
                    str(sum(each["moved"] for each in found)),
                    over_seeds([each["paper"]["mse"] for each in found]),
                    over_seeds(spent),
                ]
            )
    return [
        Table(
            title="Halted beside running on",
            columns=[
                *("task", "difficulty", "halted", "steps", "at 400 steps", "ratio", "converged"),
                *("moved", "by the paper's rule", "evaluations beside it"),
            ],
            rows=rows,
            notes=[
                "Mean squared errors of 100 problems, where they halt and after 400 steps of the "
                "same descent from the same starts. Moved: converged answers that then move by "
                "more than ten times the tolerance. By the paper's rule: where the descent of "
                "training halts by energy_plateau(tolerance=1e-3), and how many times its energy "
                "evaluations are spent."
            ],
        )
    ]


def _judgement(book: Book) -> Table:
    """Return how well energies tell which answers are wrong, and scores of tasks' own."""
    rows = []
    for task, method in VERIFIERS:
        records = book.of(task, method)
        measured = book.measured(task, method, "halting")
        if not measured:
            continue
        ranked, scored = [], []
        for difficulty in ("same", "harder"):
            ranked.append(over_seeds([each[difficulty]["auroc_of_tenth"] for each in measured]))
            scores = [each["evaluation"][difficulty] for each in records]
            texts = [
                text.format(median(each[name] for each in scores))
                for name, text in _SCORES.items()
                if all(name in each for each in scores)
            ]
            scored.append(", ".join(texts))
        rows.append([task, str(records[0]["energy"]), *ranked, *scored])
    return Table(
        title="Energies as judges",
        columns=["task", "energy", "AUROC, same", "AUROC, harder", "same", "harder"],
        rows=rows,
        notes=[
            "AUROC: how well the energy at halting tells the tenth of answers with the largest "
            "errors from the rest; 0.5 is chance. Right: entries, rounded. Residual: the mean "
            "Frobenius norm of x y - I."
        ],
    )


def _by_size(book: Book) -> Table:
    rows = [
        row
        for task, method in VERIFIERS
        if (records := book.of(task, method))
        for row in _sizes_of(book, records)
    ]
    bounds = ["constant", "entrywise", "relative"]
    return Table(
        title="Errors by size",
        columns=["task", "difficulty", "problems", "error", *bounds, "steps", "seconds a problem"],
        rows=rows,
        notes=[
            "Problems halt by themselves. With several seeds: the "
            "median, the smallest and the largest. Constant and entrywise are fitted to other "
            "problems of the same size, and relative is the error over the constant's: 1 is no "
            "better than one number, whatever the size."
        ],
    )


def _sizes_of(book: Book, records: Sequence[Record]) -> Iterator[list[str]]:
    """Write the rows of the seeds of a method: of its sizes, and of what else it was tested on."""
    first = records[0]
    task, measured = first["task"], [each.get("measures", {}) for each in records]
    name, named = f"{task}, {first['energy']}", sizes_of(load_task(task))
    for size, scores in measured[0].get("sizes", {}).items():
        found = [each["sizes"][size] for each in measured if size in each.get("sizes", {})]
        errors = [each["mse"] for each in found]
        yield [
            name,
            named[int(size)],
            str(scores["problems"]),
            over_seeds(errors),
            *book.bounds(task, named[int(size)], errors),
            *(figure(median(each[of] for each in found)) for of in ("steps_mean", "seconds")),
        ]
    for difficulty, scores in first["evaluation"].items():
        if difficulty not in DIFFICULTIES:
            tested = [each["evaluation"].get(difficulty) for each in records]
            errors = [each["mse"] for each in tested if each is not None]
            bounds = book.bounds(task, difficulty, errors)
            yield [name, difficulty, str(scores["problems"]), over_seeds(errors), *bounds, "", ""]
    chains = [each["hundredfold"] for each in measured if "hundredfold" in each]
    if chains:
        taken = figure(median(each["steps_mean"] for each in chains))
        error = over_seeds([each["mse"] for each in chains])
        yield [name, "100 applications", str(chains[0]["problems"]), error, *[""] * 3, taken, ""]


def draw_sizes(book: Book, figure: Figure) -> None:
    """Draw errors by number of nodes, and relative ones by step, of ours and the paper's energy."""
    found = book.measured(*_JUDGED, "sizes")[:1]
    if not found:
        return
    by_size, relative, by_step = figure.subplots(1, 3)
    paper = Book(book.folder.parent / "paper")
    theirs = {
        int(name.removeprefix("nodes=")): scores
        for record in paper.of(_JUDGED[0], "irem")[:1]
        for name, scores in record["evaluation"].items()
        if name.startswith("nodes=")
    }
    ours = {int(size): scores for size, scores in found[0].items()}
    floors = {size: book.floor(_JUDGED[0], f"nodes={size}") for size in {**ours, **theirs}}
    known = {size: floor for size, floor in sorted(floors.items()) if floor is not None}
    for kind, style in (("constant", "k--"), ("entrywise", "k:")):
        errors = {size: getattr(floor, kind) for size, floor in known.items()}
        by_size.plot(list(errors), list(errors.values()), style, label=f"{kind} fitted there")
        over = [error / known[size].constant for size, error in errors.items()]
        relative.plot(list(errors), over, style, label=f"{kind} fitted there")
    for label, scores, colour in zip(
        ("our energy", "the paper's"), (ours, theirs), _COLOURS, strict=True
    ):
        errors = {size: each["mse"] for size, each in scores.items()}
        by_size.plot(list(errors), list(errors.values()), "o-", color=colour, label=label)
        compared = {size: known[size].constant for size in scores if size in known}
        over = [errors[size] / constant for size, constant in compared.items()]
        relative.plot(list(compared), over, "o-", color=colour, label=label)
        for place, (size, constant) in enumerate(compared.items()):
            steps = {int(step): error for step, error in scores[size]["mse_by_step"].items()}
            by_step.plot(
                list(steps),
                [error / constant for error in steps.values()],
                color=colour,
                alpha=0.3 + 0.7 * place / max(len(compared) - 1, 1),
                label=f"{label}, {size} nodes",
            )
    by_step.axhline(1.0, color="black", linestyle="--", linewidth=1, label="constant")
    by_size.set(xlabel="nodes", ylabel="mean squared error", yscale="log", title=_JUDGED[0])
    relative.set(xlabel="nodes", ylabel=RELATIVE, yscale="log", title=_JUDGED[0])
    by_step.set(xlabel="steps", ylabel=RELATIVE, yscale="log", title=_JUDGED[0])
    for axes in (by_size, relative, by_step):
        axes.legend(fontsize="x-small")


def draw_judged(book: Book, figure: Figure) -> None:
    """Draw what each entry adds to the energy beside its true error, step by step of a solve."""
    for found in book.measured(*_JUDGED, "judged")[:1]:
        grid = figure.subplots(2, len(found), squeeze=False)
        for column, (step, each) in zip(grid.T, found.items(), strict=True):
            titles = {"energy": f"energy, step {step}", "squared_error": "squared error"}
            for axes, (name, title) in zip(column, titles.items(), strict=True):
                axes.imshow(each[name], cmap="viridis")
                axes.set(title=title, xticks=[], yticks=[])
