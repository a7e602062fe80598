"""Tables of what the figures draw, and of what the paper leaves out."""

from __future__ import annotations

from statistics import median

from irem_baselines.reproduce.book import Book, Table, figure, over_seeds, provenance
from irem_baselines.reproduce.cells import GRAPH_SIZES, LEARNED, PAPER_TASKS
from irem_baselines.reproduce.measures import TRAINED_STEPS
from irem_baselines.reproduce.tables import DIFFICULTIES

_STEPS = (1, 5, 10, 20, 40)


def graph_sizes(book: Book) -> list[Table]:
    """Return errors on shortest-path by size of graph and step (Figure 2)."""
    rows = []
    for method in ("irem", "recurrent"):
        for size in GRAPH_SIZES:
            by_step = [
                record["evaluation"][size]["mse_by_step"]
                for record in book.of("shortest-path", method)
                if size in record["evaluation"]
            ]
            cells = [over_seeds([each[str(step)] for each in by_step]) for step in _STEPS]
            last = [each[str(_STEPS[-1])] for each in by_step]
            bounds = book.bounds("shortest-path", size, last)
            rows.append([method, size.removeprefix("nodes="), *cells, *bounds])
    heads = [f"step {step}" for step in _STEPS]
    return [
        Table(
            title="Figure 2: error on shortest-path by nodes and steps",
            columns=["method", "nodes", *heads, "constant", "entrywise", "relative"],
            rows=rows,
            notes=[
                "Constant and entrywise are fitted to other graphs of the same size; relative is "
                f"the error of step {_STEPS[-1]} over the constant's."
            ],
        )
    ]


def landscapes(book: Book) -> list[Table]:
    """Return rank correlations of energies with distances to the solution (Figure 5)."""
    rows = [
        [task, figure(each["rank_correlation"]), figure(each["rank_correlation_of_a_problem"])]
        for task in PAPER_TASKS[:3]
        for each in book.measured(task, "irem", "landscape")[:1]
    ]
    return [
        Table(
            title="Figure 5: rank correlation of energy with distance to the solution",
            columns=["task", "all candidates", "candidates of one problem, mean"],
            rows=rows,
            notes=["Candidates lie on the way from the solution to a random start."],
        )
    ]


def descents(book: Book) -> list[Table]:
    """Return the error and the evaluations of each way to descend."""
    rows = []
    for task in PAPER_TASKS:
        for found in book.measured(task, "irem", "descents")[:1]:
            for name, each in found.items():
                best = min(each["mse_by_step"].values())
                spent = figure(each["evaluations_per_step"])
                rows.append([task, name, spent, figure(each["mse"]), figure(best)])
    return [
        Table(
            title="Descents: error, and energy evaluations",
            columns=["task", "descent", "evaluations a step", "lowest energy", "best step"],
            rows=rows,
        )
    ]


def halting(book: Book) -> list[Table]:
    """Return how well IREM's halting rule picks its step, and what energies tell of errors."""
    rows = []
    for task in PAPER_TASKS:
        for difficulty in DIFFICULTIES:
            found = [each[difficulty] for each in book.measured(task, "irem", "halting")]
            if found:
                rows.append(
                    [
                        f"{task}, {difficulty}",
                        over_seeds([each["mse"] for each in found]),
                        over_seeds([each["mse"] / each["best_step_mse"] for each in found]),
                        figure(median(each["steps_mean"] for each in found)),
                        figure(median(each["best_step"] for each in found)),
                        over_seeds([each["auroc"] for each in found]),
                    ]
                )
    columns = [
        "cell",
        "error at halting",
        "by that of the best step",
        "steps",
        "best step",
        "AUROC",
    ]
    return [
        Table(
            title="Halting, and energies as a sign of wrong answers",
            columns=columns,
            rows=rows,
            notes=[
                "AUROC is the chance that an answer among the worst quarter has a higher energy "
                "than one of the others."
            ],
        )
    ]


def outputs(book: Book) -> list[Table]:
    """Return errors of single outputs of networks that answer step by step, and by halting."""
    rows = []
    for task in PAPER_TASKS:
        for method in LEARNED[2:]:
            for difficulty in ("same", "harder"):
                scores = [each["evaluation"][difficulty] for each in book.of(task, method)]
                if not scores:
                    continue
                cells = []
                for step in ("1", str(TRAINED_STEPS)):
                    cells.append(over_seeds([each["mse_by_step"][step] for each in scores]))
                cells.append(over_seeds([each["mse_last"] for each in scores]))
                halted = [each["mse"] for each in scores] if method == "ponder" else []
                drawn = book.measured(task, method, "sampled")
                cells += [
                    over_seeds(halted),
                    over_seeds([each[difficulty]["mse"] for each in drawn]),
                ]
                rows.append([f"{task}, {difficulty}", method, *cells])
    columns = ["cell", "method", "output 1", "output 5", "last output"]
    return [
        Table(
            title="Outputs of networks that answer step by step: mean squared error",
            columns=[*columns, "expected halting", "sampled halting"],
            rows=rows,
            notes=[
                "Trained for five steps. The last output is number 80, or 40 on graphs. The "
                "published code scores output 1 of ponder, and of the recurrent network on graphs."
            ],
        )
    ]


def gradient_free(book: Book) -> list[Table]:
    """Return errors with and without gradients through the descent, on a small addition."""
    rows = []
    for method, title in (("irem", "last step"), ("irem-gradient-free", "gradient-free")):
        key = ("add", f"small-add-{method}")
        errors = [over_seeds(book.errors(*key, difficulty)) for difficulty in DIFFICULTIES]
        minutes = [each["train_seconds"] / 60 for each in book.of(*key)]
        rows.append([title, *errors, over_seeds(minutes)])
    return [
        Table(
            title="Training without gradients through the descent, on add(size=20)",
            columns=["backpropagation", *DIFFICULTIES, "minutes"],
            rows=rows,
            notes=provenance(book.of("add", "small-add-irem")),
        )
    ]
