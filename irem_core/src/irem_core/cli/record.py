"""The record of a run: settings and scores in the form that results/ keeps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import typer

from irem_core.cli import show
from irem_core.evaluation.evaluation import evaluate, takes
from irem_core.files.storage import replacing
from irem_core.runs.description import describe
from irem_core.runs.provenance import provenance
from irem_core.runs.run_folder import EVALUATION
from irem_core.tasks.floors import Floor
from irem_core.training.callbacks import best_evaluation

if TYPE_CHECKING:
    from irem_core.evaluation.curve import Curve
    from irem_core.tasks.task import Task
    from irem_core.training.progress import Progress

TEST_SEED = 1

# What a record says of the training, beside what it says of the solver and the task.
_TRAINING = (
    *("batch_size", "accumulate", "learning_rate", "schedule", "clip_norm", "average"),
    *("patience", "ranks", "device"),
)

# Columns of pairs alone, and of other tasks alone.
_OF_PAIRS = ("linear", "neighbour", "AUROC")
_OTHER = ("relative", "published", "entrywise")
_NOTES = {
    "relative": "relative: the error over that of the best constant answer to the same problems.",
    "constant": "constant: the best constant answer, fitted to others of this difficulty.",
    "entrywise": "entrywise: the best function of an entry's own input, likewise.",
    "linear": "linear: a linear regression on all of x, of graphs on an entry's own "
    "features, fitted on training pairs.",
    "neighbour": "neighbour: the answer to the nearest of the training questions, of graphs "
    "that of the nearest entry.",
    "AUROC": "AUROC: how well the energy tells the worst tenth of answers; 0.5 is chance.",
}
_PARTICLES = "as particles"
# What training on problems that can be held out found of restarts (see `IREM.calibrate`).
_PAYS = (
    "Restarts pay: the run descends each question 8 times again and takes the lowest energy, which "
    "lowers the error on held-out problems by a tenth or more."
)
_PAYS_NOT = "Restarts do not pay: 8 lower the error on held-out problems by less than a tenth."


def record_run(
    progress: Progress,
    folder: Path,
    *,
    preset: str | None,
    problems: int,
    protocol: str,
    as_json: bool,
) -> None:
    """Evaluate a finished training on the task's difficulties, write the record and show it.

    Args:
        progress: of the training.
        folder: of the run.
        preset: the name of its settings.
        problems: how many of each difficulty.
        protocol: how they are solved (see `evaluate`).
        as_json: whether to show the record rather than tables.

    Raises:
        StorageError: the record cannot be written.
    """
    task, solver = progress.task, progress.solver
    scores = {
        difficulty: score(progress, difficulty, problems, protocol)
        for difficulty in task.difficulties
        if difficulty != "train" and takes(solver, task, difficulty)
    }
    settings = _inside(describe(solver))
    record = {
        "task": describe(task).get("name", type(task).__name__),
        "solver": settings.get("name", type(solver).__name__),
        "energy": _energy_name(settings),
        "preset": preset,
        "seed": progress.training.seed,
        "iterations": progress.iteration,
        "parameters": sum(parameter.numel() for parameter in solver.parameters()),
        "settings": {
            "solver": settings["settings"],
            "task": describe(task)["settings"],
            **{name: getattr(progress.training, name) for name in _TRAINING},
        },
        "train_seconds": round(progress.seconds, 1),
        "threads": progress.training.threads,
        **provenance(),
        "evaluation": scores,
        "floors": {name: attrs.asdict(task.floor(name)) for name in scores},
    }
    with replacing(folder / EVALUATION) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    if as_json:
        show.json_document(record)
        return
    iterations = (
        f"({record['parameters']:,} weights) for {progress.iteration} iterations in "
        f"{progress.seconds / 60:.1f} minutes"
    )
    how = "in closed form" if solver.closed_form else iterations
    typer.echo(f"Trained {record['solver']} on {record['task']} {how}; the run is in {folder}.")
    if progress.kept is not None:
        typer.echo(
            f"Its weights are those after {progress.kept} iterations, which did best on held-out "
            "problems."
        )
    if task.unseen(1) is not None and "restarts" in settings["settings"]:
        typer.echo(_PAYS if settings["settings"]["restarts"] else _PAYS_NOT)
    show_scores(task, str(record["solver"]), scores, floors=record["floors"])


def score(progress: Progress, difficulty: str, problems: int, protocol: str) -> dict[str, Any]:
    """Evaluate the final model and put the best evaluation on the way beside it."""
    final = evaluate(
        progress.solver,
        progress.task,
        difficulty=difficulty,
        problems=problems,
        seed=TEST_SEED,
        protocol=protocol,
    ).to_dict()
    best = best_evaluation(progress.records, difficulty)
    if best is not None:
        final["mse_best_checkpoint"] = min(best, final["mse"])
    return final


def show_scores(
    task: Task,
    solver: str,
    scores: dict[str, dict[str, Any]],
    *,
    floors: dict[str, dict[str, Any]] | None = None,
) -> None:
    """Print scores beside the published figure and the task's floors, measured where not given."""
    columns: dict[str, list[Any]] = {}
    first = next(iter(scores.values()))
    for difficulty, each in scores.items():
        floor = task.floor(difficulty) if floors is None else Floor(**floors[difficulty])
        published = [
            figure.value
            for figure in task.published
            if figure.method == solver and figure.difficulty == difficulty
        ]
        cells = {
            "difficulty": difficulty,
            "this run": each["mse"],
            "relative": each["relative"],
            "published": next(iter(published), None),
            "constant": floor.constant,
            "entrywise": floor.entrywise,
            "linear": floor.linear,
            "neighbour": floor.neighbour,
            "AUROC": each["worst_tenth_auroc"] if "r2" in each else None,
            "steps": each["steps_mean"],
        }
        for name, cell in cells.items():
            columns.setdefault(name, []).append(cell)
    of_pairs = "r2" in first or any(each is not None for each in columns["neighbour"])
    hidden = _OTHER if of_pairs else _OF_PAIRS
    shown = {name: cells for name, cells in columns.items() if name not in hidden}
    how = ", in the paper's protocol" if first["protocol"] == "paper" else ""
    show.table(
        f"Mean squared error over {first['problems']} problems{how}",
        list(shown),
        list(zip(*shown.values(), strict=True)),
    )
    typer.echo("\n".join(note for name, note in _NOTES.items() if name in shown))
    # Below the table, which is as wide as many terminals.
    for measure in _measures(first):
        figures = (f"{name}: {show.cell(each[measure])}" for name, each in scores.items())
        typer.echo(f"{measure.capitalize()}: {'; '.join(figures)}.")
    ends = (f"{name}: {_counted(each['outcomes'])}" for name, each in scores.items())
    typer.echo(f"How problems ended: {'; '.join(ends)}.")


def _measures(scores: dict[str, Any]) -> list[str]:
    """Return what the task itself measures of answers, but for what is a column already."""
    ending = "_by_step"
    names = (name.removesuffix(ending) for name in scores if name.endswith(ending))
    return [name for name in names if name in scores and name != "mse"]


def _counted(outcomes: dict[str, int]) -> str:
    return ", ".join(f"{count} {name.lower()}" for name, count in outcomes.items())


def show_curves(curves: Sequence[Curve], *, as_json: bool) -> None:
    """Print how good answers are against what they cost."""
    if as_json:
        show.json_document({curve.difficulty: curve.to_dict() for curve in curves})
        return
    for curve in curves:
        last = max(curve.by_step)
        steps = [step for step in (1, 2, 5, 10, 20, 40, 80, 160, 320) if step < last]
        show.table(
            f"{curve.difficulty}: {curve.measure} over {curve.problems} problems, by steps",
            ["steps", curve.measure],
            [[step, curve.by_step[step]] for step in (*steps, last)],
        )
        swarms = any(each.particles is not None for each in curve.by_starts)
        show.table(
            f"{curve.difficulty}: {curve.measure}, chosen among starts",
            [
                *("starts", "evaluations", "by energy", "until verified", "evaluations then"),
                *("oracle", *((_PARTICLES, "evaluations") if swarms else ())),
            ],
            [
                [
                    each.starts,
                    each.evaluations,
                    each.energy,
                    each.verification,
                    each.until_verified,
                    each.oracle,
                    *((each.particles, each.by_particles) if swarms else ()),
                ]
                for each in curve.by_starts
            ],
        )


def _inside(described: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a solver without what a task wrapped around it."""
    inner = described["settings"].get("solver")
    return _inside(inner["part"]) if isinstance(inner, dict) else described


def _energy_name(settings: dict[str, Any]) -> str | None:
    energy = settings["settings"].get("energy")
    if not isinstance(energy, dict):
        return None
    part = energy["part"]
    return str(part.get("name", part["class"]))
