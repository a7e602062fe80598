"""`irem train`: train a solver on a task, then evaluate it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irem_core.cli.options import Data, Device, Json, Threads
from irem_core.errors import CheckpointError, SettingError, UnknownNameError, near_matches

if TYPE_CHECKING:
    from irem_core.solver import Solver
    from irem_core.task import Task


def train(
    task: Annotated[
        str, typer.Argument(metavar="TASK", help='A task, such as "add" or "add(size=100)".')
    ],
    solver: Annotated[
        str, typer.Option(help='What to train, such as "irem(steps=10)" or "feedforward".')
    ] = "irem",
    energy: Annotated[
        str | None,
        typer.Option(help='The energy, such as "mlp(width=256)"; the solver\'s if unset.'),
    ] = None,
    descent: Annotated[
        str | None, typer.Option(help='How to step, such as "gradient(step_size=30)".')
    ] = None,
    halting: Annotated[
        str | None, typer.Option(help="When a problem has arrived, for solving later on.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="A named set of settings; the solver's first if unset, see describe."),
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="Updates of the weights; the preset's if unset.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Fresh problems per update; the preset's if unset.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, problems and starts.")] = 0,
    data: Data = None,
    device: Device = "cpu",
    threads: Threads = None,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder; runs/TASK-SOLVER-SEED if unset.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder, if there is one.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a solver on a task, keep the run in a folder, and evaluate it at the end.

    A run that was stopped or killed goes on from its last checkpoint when --resume is added to the
    same command, and ends with the same weights. Under torchrun, as in
    "torchrun --nproc-per-node 2 -m irem_core train add", the processes train together.
    """
    from irem_core.callbacks import EvaluateEvery, ProgressBar
    from irem_core.cli import loading
    from irem_core.cli.record import record_run
    from irem_core.registry import load_task
    from irem_core.training import fit

    place = loading.device(device)
    problems = load_task(task, **({} if data is None else {"data": str(data)}))
    if problems.energy() is not None:
        raise SettingError(
            f"The task {task!r} has its energy written down, so nothing needs training; use "
            f"irem solve {task}."
        )
    overrides = loading.parts(descent, halting)
    named, built, settings = build_solver(solver, energy, preset, overrides, problems, seed)
    folder = out or Path("runs") / f"{_name(task)}-{_name(solver)}-{seed}"
    loading.threads(threads or (_recorded_threads(folder) if resume else None))
    given = {"iterations": iterations, "batch_size": batch_size}
    settings |= {name: value for name, value in given.items() if value is not None}
    bar = ProgressBar()
    # Ten evaluations of a long training, which whole images would make longer still.
    every = max(1000, settings.get("iterations", 0) // 10)
    difficulties = [name for name in problems.difficulties if name != "train"]
    try:
        progress = fit(
            built,
            problems,
            seed=seed,
            out=folder,
            resume=resume,
            device=place,
            callbacks=[bar, EvaluateEvery(every, difficulties=difficulties)],
            **settings,
        )
    except KeyboardInterrupt:
        bar.close()
        typer.echo(
            f"irem: interrupted; the run is kept in {folder}, and the same command with --resume "
            "goes on with it.",
            err=True,
        )
        raise typer.Exit(130) from None
    finally:
        bar.close()
    if progress.leads:
        record_run(progress, folder, preset=named, as_json=as_json)


def build_solver(
    solver: str,
    energy: str | None,
    preset: str | None,
    overrides: dict[str, Any],
    task: Task,
    seed: int,
) -> tuple[str | None, Solver, dict[str, Any]]:
    """Build a solver for a task from what was written and a preset.

    Returns:
        The preset's name, the solver, and the preset's arguments of `fit`.

    Raises:
        UnknownNameError: a part or the preset does not exist.
        SettingError: the solver does not take a part, or a setting is out of range.
    """
    from irem_core.registry import ENERGIES, SOLVERS, Target, build, find

    name = _name(solver)
    kind = find(SOLVERS, name).load()
    if preset is not None and preset not in kind.presets:
        raise UnknownNameError(
            f"The solver {name!r} has no preset {preset!r}. {near_matches(preset, kind.presets)}"
        )
    target = Target(task, seed)
    written = {key: value for key, value in overrides.items() if value is not None}
    if energy is None and preset is None and "energy" in inspect.signature(kind).parameters:
        energy = task.preferred
    if energy is not None:
        written["energy"] = build(ENERGIES, energy, target=target)
    presets = {key: made(task.question, task.answer) for key, made in kind.presets.items()}
    suited = (key for key, each in presets.items() if each.suits(written.get("energy")))
    named = preset or next(suited, None)
    chosen = None if named is None else presets[named]
    if chosen is not None and chosen.energies and "energy" not in written:
        written["energy"] = chosen.energies[0].for_task(task, seed=seed)
    settings = {**(chosen.solver if chosen else {}), **written}
    built = build(SOLVERS, solver, settings=settings, target=target)
    return named, built, dict(chosen.training if chosen else {})


def _name(text: str) -> str:
    """Return the name in a part's text: "add" for "add(size=100)"."""
    return text.partition("(")[0].strip().replace("_", "-")


def _recorded_threads(folder: Path) -> int | None:
    """Return the threads that a run began with, so that resuming goes on with as many."""
    from irem_core.checkpoint import read_metadata

    try:
        return int(
            read_metadata(folder / "training.safetensors")["settings"]["training"]["threads"]
        )
    except (CheckpointError, KeyError, TypeError, ValueError):
        return None
