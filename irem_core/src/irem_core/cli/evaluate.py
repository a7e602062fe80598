"""`irem evaluate`: score a trained run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irem_core.cli.options import (
    Autocast,
    Compile,
    Data,
    Descent,
    Device,
    Halting,
    Json,
    MaxSteps,
    Protocol,
    Restarts,
    RunArgument,
    TestSeed,
    Threads,
    Trust,
)

if TYPE_CHECKING:
    from irem_core.pairs.held_out import HeldOut
    from irem_core.solvers.base import Solver
    from irem_core.tasks.task import Task


def evaluate(
    run: RunArgument,
    difficulty: Annotated[
        list[str] | None,
        typer.Option(help='A difficulty, such as "harder" or "scale=5"; may be repeated.'),
    ] = None,
    problems: Annotated[
        int | None,
        typer.Option(min=1, help="Problems of each difficulty; 1000 if unset, all with --on."),
    ] = None,
    data: Data = None,
    on: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Score a run of your own pairs on all pairs of this file, as train reads them.",
        ),
    ] = None,
    max_steps: MaxSteps = None,
    descent: Descent = None,
    halting: Halting = None,
    protocol: Protocol = "solve",
    restarts: Restarts = None,
    trust: Trust = None,
    curve: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Show in place of scores how good answers are after more steps, and chosen among "
            "1, 2, 4, ... starts up to this many.",
        ),
    ] = None,
    particles: Annotated[
        bool, typer.Option("--particles", help="Show in the --curve as many particles too.")
    ] = False,
    figure: Annotated[
        Path | None, typer.Option(help="Draw the --curve too, as .png or .svg.")
    ] = None,
    seed: TestSeed = 1,
    device: Device = "cpu",
    threads: Threads = None,
    compiled: Compile = False,
    autocast: Autocast = False,
    as_json: Json = False,
) -> None:
    """Score a run on fresh problems, as irem solve answers them.

    Problems halt by the run's own rule. With --protocol paper every problem takes all steps (80,
    or 40 on graphs), and none halts. The answer is the lowest-energy iterate. Under torchrun the
    processes share the problems between them. Where energies mean expected errors, a table shows
    these beside the real ones.
    """
    from irem_core.cli import loading, show
    from irem_core.cli.record import show_scores
    from irem_core.cli.verdicts import check_trust, show_verdicts
    from irem_core.distributed import Ranks
    from irem_core.errors import SettingError
    from irem_core.evaluation.curve_figure import check_figure
    from irem_core.evaluation.evaluation import evaluate as score
    from irem_core.evaluation.evaluation import takes
    from irem_core.runs.run_folder import read_metrics
    from irem_core.tasks.elsewhere import with_data
    from irem_core.training.callbacks import best_evaluation

    if curve is None and (figure is not None or particles):
        given = "--particles" if figure is None else f"--figure {figure}"
        raise SettingError(f"{given} is of a curve; give --curve too, or leave it out.")
    if figure is not None:
        check_figure(figure)
    check_trust(trust, "irem evaluate", curve=curve)
    loading.threads(threads)
    ranks = Ranks.from_environment()
    place = ranks.device(loading.device(device))
    solver, task, metadata = loading.run(run, place)
    loading.quicken(solver, compiled=compiled, autocast=autocast)
    if data is not None:
        task = with_data(task, data)
    if on is not None:
        task = _other(task, on, difficulty)
        problems = problems or len(task.held)
    named = [name for name in task.difficulties if name != "train"]
    names = difficulty or [name for name in named if takes(solver, task, name)]
    options = loading.parts(descent, halting) | {"max_steps": max_steps}
    options |= {"problems": problems or 1000, "seed": seed}
    if curve is not None:
        options |= {"starts": curve, "particles": particles}
        _show_curves(solver, task, names, figure, as_json=as_json, **options)
        return
    options |= {"restarts": restarts, "trust": trust, "ranks": ranks, "protocol": protocol}
    with ranks.joined(place):
        scores = {name: score(solver, task, difficulty=name, **options).to_dict() for name in names}
    if not ranks.leads:
        return
    for name in names:
        best = best_evaluation(read_metrics(run), name)
        if best is not None:
            scores[name]["mse_best_checkpoint"] = min(best, scores[name]["mse"])
    if as_json:
        show.json_document(scores)
    else:
        floors = None if on is None else _floors(task, names)
        show_scores(task, str(metadata["solver"].get("name")), scores, floors=floors)
        show_verdicts(scores)


def _show_curves(
    solver: Solver,
    task: Task,
    names: Iterable[str],
    figure: Path | None,
    *,
    as_json: bool,
    **options: Any,
) -> None:
    """Print the compute curves of some difficulties, and draw them where a figure is wanted."""
    from irem_core.cli.record import show_curves
    from irem_core.evaluation.curve import compute_curve
    from irem_core.evaluation.curve_figure import write_curves

    curves = [compute_curve(solver, task, difficulty=name, **options) for name in names]
    if figure is not None:
        write_curves(curves, figure)
    show_curves(curves, as_json=as_json)
    if figure is not None and not as_json:
        typer.echo(f"The figure is {figure}.")


def _other(task: Task, on: str, difficulty: list[str] | None) -> HeldOut:
    """Return the pairs of a file, as a task.

    Raises:
        SettingError: the run is not of pairs, or a difficulty was named too.
        InputFileError: the file cannot be read, or its pairs are of other shapes.
    """
    from irem_core.errors import SettingError
    from irem_core.pairs.held_out import HeldOut
    from irem_core.pairs.opening import other_pairs

    if not isinstance(task, HeldOut) or difficulty:
        what = "--difficulty beside --on" if difficulty else f"--on {on}"
        raise SettingError(
            f"irem evaluate got {what}; --on scores a run of irem train --pairs on all pairs of a "
            "file, and --difficulty other runs."
        )
    return other_pairs(task, on)


def _floors(task: Task, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Measure floors, as far as the training pairs are there that they are fitted to."""
    import attrs

    from irem_core.errors import InputFileError

    try:
        return {name: attrs.asdict(task.floor(name)) for name in names}
    except InputFileError:
        return {name: {"constant": None} for name in names}
