"""Energies that verify, beside the paper's: their tables and figures."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import TYPE_CHECKING

from irem_baselines.reproduce.book import Book, Table, figure, over_seeds, provenance
from irem_baselines.reproduce.cells import REFERENCES, VERIFIERS
from irem_core import load_task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_JUDGED = ("shortest-path", "irem-default")
_COLOURS = ("#0b6e8f", "#d1792c")


def table(book: Book) -> list[Table]:
    """Return errors of the library's own energies, beside the paper's and what bounds both."""
    paper = Book(book.folder.parent / "paper")
    tasks = list(dict.fromkeys(task for task, _ in VERIFIERS))
    ours = [record for task, method in VERIFIERS for record in book.of(task, method)]
    errors = Table(
        title="Energies that verify: mean squared error",
        columns=["task", "method", "weights", "minutes", "same", "harder"],
        rows=[row for task in tasks for row in _rows(book, paper, task)],
        notes=[
            "Ours are named by their energies. Elementwise ones are given the structure of their "
            "task, and show how exact a descent is; rational ones are given that the answer is a "
            "function of the matrix, and learn which. Minutes are of one thread, with the "
            "evaluations on the way. With several seeds: the median, the smallest "
            "and the largest.",
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
            *(over_seeds(kept.errors(task, method, each)) for each in ("same", "harder")),
        ]
        name = ""
    figures = {
        each.difficulty: each.value
        for each in load_task(task).published
        if (each.method, each.metric) == ("irem", "mse")
    }
    if figures:
        yield ["", "published", "", "", *(figure(figures.get(d), 6) for d in ("same", "harder"))]
    for method in (*REFERENCES, "posterior-mean"):
        kept = paper if paper.of(task, method) else book
        if kept.of(task, method):
            errors = (over_seeds(kept.errors(task, method, each)) for each in ("same", "harder"))
            yield ["", method, "", "", *errors]


# How scores of tasks' own are written.
_SCORES = {"accuracy": "{:.2%} right", "residual": "residual {:.3g}"}


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
    rows = []
    for task, method in VERIFIERS:
        for record in book.of(task, method)[:1]:
            measured, energy = record.get("measures", {}), str(record["energy"])
            name = f"{task}, {energy}"
            for size, each in measured.get("sizes", {}).items():
                numbers = (each["mse"], each["steps_mean"], each["seconds"])
                rows.append([name, size, str(each["problems"]), *map(figure, numbers)])
            for difficulty, each in record["evaluation"].items():
                if difficulty not in ("same", "harder"):
                    rows.append([name, difficulty, str(each["problems"]), figure(each["mse"])])
            if (chains := measured.get("hundredfold")) is not None:
                error, taken = figure(chains["mse"]), figure(chains["steps_mean"])
                rows.append([name, "100 applications", str(chains["problems"]), error, taken])
    rows = [[*row, *[""] * (6 - len(row))] for row in rows]
    return Table(
        title="Errors by size",
        columns=["task", "nodes, or rows", "problems", "error", "steps", "seconds a problem"],
        rows=rows,
        notes=["Seed 0; problems find their step sizes and halt by themselves."],
    )


def draw_sizes(book: Book, figure: Figure) -> None:
    """Draw errors by number of nodes, and by step, of ours and of the paper's energy."""
    found = book.measured(*_JUDGED, "sizes")[:1]
    if not found:
        return
    by_size, by_step = figure.subplots(1, 2)
    paper = Book(book.folder.parent / "paper")
    theirs = {
        int(name.removeprefix("nodes=")): scores
        for record in paper.of("shortest-path", "irem")[:1]
        for name, scores in record["evaluation"].items()
        if name.startswith("nodes=")
    }
    ours = {int(size): scores for size, scores in found[0].items()}
    for label, scores, colour in zip(
        ("our energy", "the paper's"), (ours, theirs), _COLOURS, strict=True
    ):
        errors = [each["mse"] for each in scores.values()]
        by_size.plot(list(scores), errors, "o-", color=colour, label=label)
        for place, (size, each) in enumerate(scores.items()):
            shade = 0.3 + 0.7 * place / max(len(scores) - 1, 1)
            steps = {int(step): error for step, error in each["mse_by_step"].items()}
            by_step.plot(
                list(steps),
                list(steps.values()),
                color=colour,
                alpha=shade,
                label=f"{label}, {size} nodes",
            )
    by_size.set(xlabel="nodes", ylabel="mean squared error", yscale="log", title="shortest-path")
    by_step.set(xlabel="steps", ylabel="mean squared error", yscale="log", title="shortest-path")
    for axes in (by_size, by_step):
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
