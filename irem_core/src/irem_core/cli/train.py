"""`irem train`: train a solver on a task, then evaluate it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irem_core.cli.options import Autocast, Compile, Data, Device, Json, Protocol, Threads
from irem_core.errors import CheckpointError, SettingError, UnknownSettingError, near_matches

if TYPE_CHECKING:
    from irem_core.tasks.task import Task
    from irem_core.training.callbacks import EvaluateEvery


# Updates from which on a training is called long.
_LONG = 50_000


def train(
    task: Annotated[
        str | None,
        typer.Argument(metavar="[TASK]", help='A task, such as "add" or "add(size=100)".'),
    ] = None,
    pairs: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Your own pairs instead of a task: .npz, .safetensors, a table (.csv, .parquet, "
            ".feather), x.npy,y.npy, or a folder of graphs, a .npz each.",
        ),
    ] = None,
    low: Annotated[
        float | None, typer.Option(help="The least that an entry of an answer of --pairs can be.")
    ] = None,
    high: Annotated[float | None, typer.Option(help="Likewise the greatest.")] = None,
    cost: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:NAME",
            help="What answers of --pairs minimise: a function (x, y) -> (B,) or an EnergyFn, such "
            "as mycode:cost. Answers are then descended on it, and --pairs may hold x alone.",
        ),
    ] = None,
    entries: Annotated[
        int | None, typer.Option(min=1, help="Numbers in an answer, where --pairs holds none.")
    ] = None,
    x_columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help='Columns of a table that are questions, such as "age,price_*"; those that begin '
            "with x, or all but --y-columns, if unset.",
        ),
    ] = None,
    y_columns: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Columns of a table that are answers, likewise."),
    ] = None,
    categories: Annotated[
        str | None,
        typer.Option(help='"one-hot" to make an entry of each text in columns of text.'),
    ] = None,
    about: Annotated[
        str | None,
        typer.Option(help='What answers to graphs are about, "nodes" or "edges", if unclear.'),
    ] = None,
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
    objective: Annotated[
        str | None,
        typer.Option(
            help="What training asks of the energy, such as \"descent(supervise='every')\"; what "
            "suits the energy if unset."
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="A named set of settings; the solver's first if unset, see describe."),
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="Updates of the weights; the preset's if unset.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Train for about so long instead, as many updates as the first ones show; the "
            "evaluation at the end comes on top."
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Fresh problems in a batch; the preset's if unset.")
    ] = None,
    accumulate: Annotated[
        int | None,
        typer.Option(min=1, help="Batches whose gradients each update averages; 1 if unset."),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of Adam, above 0; the preset's if unset.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, problems and starts.")] = 0,
    problems: Annotated[
        int,
        typer.Option(
            min=1,
            help="Problems of each difficulty that the run is scored on at the end; on the way at "
            "most as many.",
        ),
    ] = 1000,
    protocol: Protocol = "solve",
    data: Data = None,
    device: Device = "cpu",
    threads: Threads = None,
    compiled: Compile = False,
    autocast: Autocast = False,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder; runs/TASK-SOLVER-SEED if unset.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder, if there is one.")
    ] = False,
    log: Annotated[
        list[str] | None,
        typer.Option(
            help='Keep the log in the run\'s folder as "csv" or for "tensorboard" too; may be '
            "repeated."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a solver on a task or on pairs, keep the run in a folder, and evaluate it at the end.

    With --pairs questions x and answers y come from a file, of which a tenth is held out; a table
    names its columns, such as x0,x1,y0, or others with --y-columns.

    A run that was stopped or killed goes on from its last checkpoint when --resume is added to the
    same command, and ends with the same weights. Under torchrun, as in
    "torchrun --nproc-per-node 2 -m irem_core train add", the processes train together.
    """
    from irem_core.cli import loading, show
    from irem_core.cli.record import record_run
    from irem_core.registry import ENERGIES, find, folder_name, plain_name
    from irem_core.solvers.recipes import recipe
    from irem_core.training.callbacks import ProgressBar
    from irem_core.training.fit import fit
    from irem_core.training.pace import updates_within

    place = loading.device(device)
    said = {"low": low, "high": high, "cost": cost, "entries": entries}
    said |= {"x_columns": x_columns, "y_columns": y_columns, "categories": categories}
    said |= {"about": about}
    known = {name: value for name, value in said.items() if value is not None}
    trained, title = _trained(task, pairs, data, known)
    if energy is not None:
        trained = trained.as_learned(find(ENERGIES, plain_name(energy)).load())
    if not as_json:
        for remark in trained.remarks:
            typer.echo(remark)
    if trained.energy() is not None:
        raise SettingError(
            f"The task {task!r} has its energy written down, so nothing needs training; use "
            f"irem solve {task}, or name with --energy one that irem describe {task} says is "
            "learned in its place."
        )
    written = _parts(descent, halting, objective)
    made = recipe(trained, solver, energy=energy, preset=preset, seed=seed, **written)
    loading.quicken(made.solver, compiled=compiled, autocast=autocast)
    settings = dict(made.training)
    folder = out or Path("runs") / f"{folder_name(title)}-{folder_name(solver)}-{seed}"
    recorded = _recorded(folder) if resume else {}
    loading.threads(threads or recorded.get("threads"))
    given = {
        "iterations": iterations,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "learning_rate": learning_rate,
    }
    settings |= {name: value for name, value in given.items() if value is not None}
    _check_settings(settings, known=signature(fit).parameters)
    if minutes is not None:
        if iterations is not None:
            raise SettingError("irem train got --iterations and --minutes; give one of them.")
        settings["iterations"] = recorded.get("iterations") or updates_within(
            minutes, made.solver, trained, seed=seed, device=place, **settings
        )
    elif pairs is not None and iterations is None and not as_json:
        _tell_length(settings.get("iterations", 0))
    watching = [ProgressBar(), *loading.loggers(log or ())]
    scoring = _scoring(trained, settings.get("iterations", 0), problems, protocol)
    with show.resumable(f"the run is kept in {folder}"):
        progress = fit(
            made.solver,
            trained,
            seed=seed,
            out=folder,
            resume=resume,
            device=place,
            # First the evaluation, so that what it logs is told at once.
            callbacks=[scoring, *watching],
            **settings,
        )
    if progress.leads:
        record_run(
            progress,
            folder,
            preset=made.preset,
            problems=problems,
            protocol=protocol,
            as_json=as_json,
        )


def _parts(descent: str | None, halting: str | None, objective: str | None) -> dict[str, Any]:
    """Build the parts of the solver that were written."""
    from irem_core.cli import loading
    from irem_core.registry import OBJECTIVES, build

    parts = loading.parts(descent, halting)
    if objective is not None:
        parts["objective"] = build(OBJECTIVES, objective)
    return {name: part for name, part in parts.items() if part is not None}


def _scoring(task: Task, iterations: int, problems: int, protocol: str) -> EvaluateEvery:
    """Return what scores a training on the way.

    That is ten times in a long training, which whole images would make longer still.
    """
    from irem_core.training.callbacks import EvaluateEvery

    return EvaluateEvery(
        max(1000, iterations // 10),
        difficulties=[name for name in task.difficulties if name != "train"],
        problems=min(problems, task.interim),
        protocol=protocol,
    )


def _check_settings(settings: Mapping[str, Any], *, known: Iterable[str]) -> None:
    """Check that training has what a preset sets, which a package of others may have made."""
    if unknown := settings.keys() - set(known):
        raise UnknownSettingError(
            f"The preset sets {', '.join(sorted(unknown))}, which training does not have. "
            f"{near_matches(min(unknown), known)}".rstrip()
        )


def _tell_length(iterations: int) -> None:
    """Say how many updates training takes, where that is long and nobody asked for it."""
    if iterations >= _LONG:
        typer.echo(
            f"Training takes {iterations:,} updates, which may be an hour or more; --iterations "
            "sets fewer."
        )


def _trained(
    task: str | None, pairs: str | None, data: Path | None, about: Mapping[str, Any]
) -> tuple[Task, str]:
    """Return what to train on, and what to call a run of it.

    Args:
        task: its name.
        pairs: files of pairs, in its place.
        data: a folder that the task reads.
        about: what is said of pairs.
    """
    from irem_core.tasks.task import load_task

    if pairs is None and about:
        given = " and ".join(f"--{name.replace('_', '-')}" for name in about)
        raise SettingError(
            f"irem train got {given} without --pairs; a task knows its answers. Leave it out."
        )
    if pairs is None and task is not None:
        return load_task(task, **({} if data is None else {"data": str(data)})), task
    if pairs is None or data is not None:
        raise SettingError(
            "irem train got neither a task nor --pairs; name a task, such as irem train add, or "
            "give a file of your own pairs, such as irem train --pairs pairs.npz."
            if pairs is None
            else "irem train got --data beside --pairs; the pairs are all that it reads."
        )
    if task is not None:
        raise SettingError(
            f"irem train got the task {task!r} beside --pairs {pairs}; give one of them. Two .npy "
            "files are joined by a comma: --pairs x.npy,y.npy."
        )
    from irem_core.pairs.opening import open_pairs

    return open_pairs(pairs, **about), Path(pairs.partition(",")[0]).stem


def _recorded(folder: Path) -> dict[str, int]:
    """Return threads and iterations of the run in a folder, if any, with which to go on."""
    from irem_core.runs.checkpoint import read_metadata

    try:
        metadata = read_metadata(folder / "training.safetensors")
        threads = int(metadata["settings"]["training"]["threads"])
        return {"threads": threads, "iterations": int(metadata.get("iterations", 0))}
    except (CheckpointError, KeyError, TypeError, ValueError):
        return {}
