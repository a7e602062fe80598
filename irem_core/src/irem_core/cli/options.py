"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="The folder of a run, or a model file.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Device = Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1, ...")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads to compute with on CPU; torch's choice if unset.")
]
Descent = Annotated[
    str | None,
    typer.Option(help='How to step, such as "gradient(step_size=30)"; as the run does if unset.'),
]
Halting = Annotated[
    str | None,
    typer.Option(
        help='When a problem has arrived, such as "energy_plateau(patience=5)"; as the run has it '
        "if unset."
    ),
]
Restarts = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="How often problems are descended again, from other starts; where answers can be "
        "checked, those alone whose answer does not hold yet. The run's own if unset.",
    ),
]
Trust = Annotated[
    float | None,
    typer.Option(
        metavar="ERROR",
        help="Say which answers may be trusted: those whose expected mean squared error is at most "
        "this, and where answers can be checked those that hold. Of pairs with several y of "
        "different spreads, each error counts over the variance of its y.",
    ),
]
MaxSteps = Annotated[
    int | None,
    typer.Option(min=0, help="The most steps of any problem; as the run has it if unset."),
]
Protocol = Annotated[
    str,
    typer.Option(
        help="solve: problems halt by themselves, as in irem solve. paper: each takes 80 steps, 40 "
        "on graphs, as published."
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(help="A folder for tasks that read their problems from one, such as denoise."),
]
TestSeed = Annotated[int, typer.Option(min=0, help="Seed of problems and starts.")]
Autocast = Annotated[
    bool,
    typer.Option("--autocast", help="Multiply in bfloat16: faster where processors do, rounded."),
]
Compile = Annotated[
    bool,
    typer.Option("--compile", help="Descend by compiled programs: a slow start, then faster."),
]
