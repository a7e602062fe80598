"""The page of a report: what is shown of each run, put into the templates."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import attrs
from jinja2 import Environment, PackageLoader, StrictUndefined
from torch import Tensor

from irem_core import __version__
from irem_core.report.drawing import FRAME, Chart, Series, chart, number
from irem_core.report.gathering import Difficulty, Points, Run
from irem_core.report.reliability import reliability
from irem_core.report.section import Section, Table
from irem_core.report.stepping import Followed

_SCRIPTS = ("charts.js", "pictures.js", "solves.js")
_FIFTH = 0.2


def render(runs: Sequence[Run], *, now: datetime | None = None) -> str:
    """Write the page about some runs.

    All that comes from runs is escaped, and the page allows no script but its own.

    Args:
        runs: what was gathered, at least one.
        now: the time that the page says it was made at.
    """
    environment = Environment(
        loader=PackageLoader("irem_core.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    script = "\n".join(_source(name) for name in _SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        runs=runs,
        sections={run.name: _sections(run) for run in runs},
        solves={
            run.name: [
                (each, _payload(each.solve), _solve_charts(each)) for each in run.difficulties
            ]
            for run in runs
        },
        scores=_scores(runs),
        comparison=_comparison(runs) if len(runs) > 1 else None,
        settings=_table_of("Settings", [run.settings for run in runs], runs),
        versions=_table_of("Versions", [run.versions for run in runs], runs),
        style=_source("style.css"),
        script=script,
        digest=digest,
        frame=FRAME,
        version=__version__,
        made=(now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _source(name: str) -> str:
    return (files("irem_core.report") / "templates" / name).read_text("utf-8")


def _some(*charts: Chart | None) -> list[Chart]:
    return [each for each in charts if each is not None]


def _scores(runs: Sequence[Run]) -> Table:
    """List what was trained and how well it does, a row for each run and difficulty."""
    columns = ["run", "task", "solver", "weights", "iterations", "minutes", "difficulty"]
    columns += ["error", "relative", "constant", "entrywise", "mean steps"]
    rows = []
    for run in runs:
        solver = run.solver if run.energy is None else f"{run.solver}, {run.energy}"
        minutes = None if run.seconds is None else round(run.seconds / 60, 1)
        said = [run.name, run.task, solver, *map(number, (run.parameters, run.iterations, minutes))]
        for each in run.difficulties:
            steps = float(each.measured.steps.double().mean())
            scored = (each.mse, each.relative, each.floor.constant, each.floor.entrywise)
            rows.append([*said, each.name, *map(_error, scored), number(round(steps, 1))])
    return Table(title="Mean squared errors", columns=columns, rows=rows)


def _error(value: float | None) -> str:
    """Write an error, which is zero below the rounding of the arithmetic."""
    return "0" if value is not None and abs(value) < 1e-12 else number(value)


def _sections(run: Run) -> list[Section]:
    sections = [_training(run), _by_step(run), _compute(run), _halting(run), _calibration(run)]
    sections.append(reliability(run))
    return [each for each in sections if each is not None]


def _training(run: Run) -> Section:
    evaluations = [Series(name, points) for name, points in run.evaluations.items()]
    charts = _some(
        chart(
            "Loss while training",
            [Series("loss", run.losses)],
            x_label="iterations",
            y_label="mean training loss",
        ),
        chart(
            "Error while training",
            evaluations,
            x_label="iterations",
            y_label="mean squared error",
        ),
    )
    said = "The loss is the mean since the report before; errors are those on test problems."
    if not charts:
        said = "The run keeps no metrics, so there are no curves of its training."
    elif not evaluations:
        said = "The run was not evaluated while it was trained, so there is only its loss."
    return Section(name="training", title="Training", said=said, charts=charts)


def _by_step(run: Run) -> Section:
    kept = {each.kept for each in run.difficulties}
    where = {True: "that the run keeps", False: "measured for this report"}
    of = " or ".join(where[each] for each in sorted(kept, reverse=True))
    counts = ", ".join(f"{each.problems:,} ({each.name})" for each in run.difficulties)
    energies = [
        Series(each.name, [each for each in by_step.items() if _finite(*each)], place)
        for place, each in enumerate(run.difficulties)
        if (by_step := each.measured.energy_by_step) is not None
    ]
    charts = _some(
        chart(
            "Error by step",
            [Series(each.name, each.mse_by_step) for each in run.difficulties],
            x_label="steps",
            y_label="mean squared error",
        ),
        chart(
            "Energy by step",
            energies,
            x_label="steps",
            y_label="mean energy",
            log=False,
            note="Each problem up to where the halting rule stops it, and from there as it is.",
        ),
    )
    said = f"Errors {of}. Problems: {counts}."
    if not energies:
        said += " This solver has no energy."
    return Section(name="steps", title="Error and energy by step", said=said, charts=charts)


def _compute(run: Run) -> Section | None:
    """Draw what more steps and more starts buy, of tasks where that is measured."""
    curves = [each.curve for each in run.difficulties if each.curve is not None]
    if not curves:
        return None
    return Section(
        name="compute",
        title="What compute buys",
        said="Measured for this report, each problem from several starts: one start by its steps; "
        "and 1, 2, 4, ... starts, of which the lowest energy chooses an answer, or of which the "
        "first that is verified ends the search, or the best one is chosen by an oracle.",
        charts=_some(
            *(
                chart(
                    f"{curve.measured.capitalize()} by energy evaluations: {curve.difficulty}",
                    [Series(name, points) for name, points in curve.lines().items()],
                    x_label="energy evaluations a problem",
                    y_label=curve.measured,
                    log=curve.measure == "mse",
                    log_x=True,
                    note=f"{curve.problems} problems, at most {max(curve.by_step)} steps a start.",
                )
                for curve in curves
            )
        ),
    )


def _halting(run: Run) -> Section:
    title = "Steps used"
    if not any(each.solve.halted is not None for each in run.difficulties):
        return Section(
            name="halting",
            title=title,
            said="This solver has no halting rule: it takes the same steps on every problem.",
        )
    rows = []
    for each in run.difficulties:
        steps = each.measured.steps.double()
        ends = (f"{many} {_words(name)}" for name, many in each.measured.outcomes.items())
        places = [float(steps.quantile(share)) for share in (0.1, 0.5, 0.9)]
        rows.append([each.name, *map(number, [float(steps.mean()), *places]), ", ".join(ends)])
    return Section(
        name="halting",
        title=title,
        said="By its halting rule, on problems solved for this report.",
        charts=_some(
            chart(
                "Problems that have halted",
                [Series(each.name, halted_by_step(each)) for each in run.difficulties],
                x_label="steps",
                y_label="share of problems",
                log=False,
            )
        ),
        tables=[
            Table(
                title="Steps of a problem",
                columns=["difficulty", "mean", "10% below", "median", "90% below", "outcomes"],
                rows=rows,
            )
        ],
    )


def halted_by_step(difficulty: Difficulty) -> Points:
    """Return the share of problems that have halted by each step; a spent budget is no halt."""
    scores = difficulty.measured
    last, count = int(scores.steps.max()), scores.problems
    points = [(step, float((scores.steps <= step).sum()) / count) for step in range(last)]
    return [*points, (last, 1 - scores.outcomes.get("BUDGET_SPENT", 0) / count)]


def _calibration(run: Run) -> Section:
    title = "Does the energy tell the error?"
    series, rows = [], []
    for place, each in enumerate(run.difficulties):
        energies, errors = each.measured.energies, each.measured.errors
        if energies is None:
            continue
        pairs = zip(energies.tolist(), errors.tolist(), strict=True)
        series.append(Series(each.name, [pair for pair in pairs if _finite(*pair)], place))
        told = [each.measured.energy_error_correlation, each.measured.worst_tenth_auroc]
        rows.append([each.name, *map(number, [*told, *_fifths(energies, errors)])])
    if not series:
        return Section(
            name="energies",
            title=title,
            said="This solver has no energy, so nothing tells its errors.",
        )
    return Section(
        name="energies",
        title=title,
        said="Each dot is an answer as the halting rule left it. AUROC is the chance that an "
        "answer among the worst tenth has a higher energy than one of the others: 0.5 is chance, 1 "
        "is perfect.",
        charts=_some(
            chart(
                "Energy and error of answers",
                series,
                x_label="energy",
                y_label="mean squared error",
                dots=True,
            )
        ),
        tables=[
            Table(
                title="How well energies rank errors",
                columns=[
                    *("difficulty", "rank correlation", "AUROC, worst tenth"),
                    *("error, lowest fifth of energies", "error, highest fifth"),
                ],
                rows=rows,
            )
        ],
    )


def _fifths(energies: Tensor, errors: Tensor) -> tuple[float, float]:
    """Return the mean error of the answers of the lowest and of the highest energies."""
    count = max(round(_FIFTH * len(energies)), 1)
    ranked = errors[energies.argsort()].double()
    return float(ranked[:count].mean()), float(ranked[-count:].mean())


def _finite(*values: float) -> bool:
    return all(abs(value) < float("inf") for value in values)


def _words(outcome: str) -> str:
    return outcome.lower().replace("_", " ")


def _payload(solve: Followed) -> dict[str, Any]:
    """Return what the script draws a solve from."""
    return attrs.asdict(solve)


def _solve_charts(difficulty: Difficulty) -> list[Chart]:
    """Draw error and energy of the problem that is stepped through, for a cursor to move along."""
    solve = difficulty.solve
    if solve.answered:
        return []
    energies = solve.energies or []
    return _some(
        chart(
            "Error of this answer",
            [Series("error", list(zip(solve.steps, solve.errors, strict=True)))],
            x_label="steps",
            y_label="mean squared error",
        ),
        chart(
            "Energy of this answer",
            [Series("energy", list(zip(solve.steps, energies, strict=False)))],
            x_label="steps",
            y_label="energy",
            log=False,
        ),
    )


def _comparison(runs: Sequence[Run]) -> Section:
    tasks = {run.task for run in runs}
    said = "Each run has the same colour in all of these charts."
    if len(tasks) > 1:
        said += " The runs were trained on different tasks, so their errors are not comparable."
    names = dict.fromkeys(each.name for run in runs for each in run.difficulties)
    on_the_way = dict.fromkeys(name for run in runs for name in run.evaluations)
    charts = [
        chart(
            "Loss while training",
            [Series(run.name, run.losses) for run in runs],
            x_label="iterations",
            y_label="mean training loss",
        ),
        *(
            chart(
                f"Error while training: {name}",
                [Series(run.name, run.evaluations.get(name, [])) for run in runs],
                x_label="iterations",
                y_label="mean squared error",
            )
            for name in on_the_way
        ),
        *(
            chart(
                f"Error by step: {name}",
                [Series(run.name, _errors(run, name)) for run in runs],
                x_label="steps",
                y_label="mean squared error",
            )
            for name in names
        ),
    ]
    return Section(name="comparison", title="Comparison", said=said, charts=_some(*charts))


def _errors(run: Run, name: str) -> Points:
    return next((each.mse_by_step for each in run.difficulties if each.name == name), [])


def _table_of(title: str, columns: Sequence[dict[str, Any]], runs: Sequence[Run]) -> Table:
    """Put what runs say of themselves side by side, and mark where they differ."""
    names = sorted(dict.fromkeys(name for column in columns for name in column))
    rows = [[name, *(_said(column.get(name)) for column in columns)] for name in names]
    return Table(
        title=title,
        columns=["name", *(run.name for run in runs)],
        rows=rows,
        marked=frozenset(place for place, row in enumerate(rows) if len(set(row[1:])) > 1),
    )


def _said(value: Any) -> str:
    return "-" if value is None else str(value)
