"""`irem report`: runs measured and drawn as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from irem_core.cli.options import Data, Descent, Device, Halting, Json, MaxSteps, TestSeed, Threads


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, or model files.")
    ],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    difficulty: Annotated[
        list[str] | None,
        typer.Option(help='A difficulty, such as "harder" or "scale=5"; may be repeated.'),
    ] = None,
    problems: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Problems of each difficulty to solve; if unset 200, and the evaluation that a "
            "run keeps is taken over.",
        ),
    ] = None,
    data: Data = None,
    max_steps: MaxSteps = None,
    descent: Descent = None,
    halting: Halting = None,
    seed: TestSeed = 1,
    device: Device = "cpu",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Write a page about runs that any browser shows, without a network.

    It has curves of training, error and energy by step, steps used, how well energies tell errors,
    a problem to step through, settings and versions; several runs are compared.
    """
    from irem_core.cli import loading, show
    from irem_core.report import Measuring, write_report

    loading.threads(threads)
    measuring = Measuring(
        problems=problems,
        difficulties=difficulty,
        max_steps=max_steps,
        **loading.parts(descent, halting),
        seed=seed,
        device=loading.device(device),
        data=data,
    )
    with show.progress("measuring runs") as progress:
        file = write_report(runs, out, measuring=measuring, progress=progress)
    if as_json:
        show.json_document({"report": str(file), "bytes": file.stat().st_size})
    else:
        typer.echo(f"The report is in {file}; open it in a browser.")
