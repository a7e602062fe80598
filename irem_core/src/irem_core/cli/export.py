"""`irem export`: write a run as a program that runs without irem."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from irem_core.cli.options import (
    Descent,
    Device,
    Halting,
    Json,
    MaxSteps,
    RunArgument,
    TestSeed,
    Threads,
)
from irem_core.errors import InputFileError

if TYPE_CHECKING:
    from irem_core.exporting.export import Exported


def export(
    run: RunArgument,
    output: Annotated[
        Path, typer.Option(help="Where to write: .pt2, which needs torch to run, or .onnx.")
    ],
    max_steps: MaxSteps = None,
    descent: Descent = None,
    halting: Halting = None,
    tolerance: Annotated[
        float, typer.Option(help="The largest difference to the solver's answers allowed.")
    ] = 1e-5,
    seed: TestSeed = 1,
    device: Device = "cpu",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Write a run as a program that solves without autograd and without irem.

    It takes questions and starts, any number of them, and gives answers, energies, steps and
    outcomes, as the run does with the descent of training and its own halting rule. It is checked
    against the run on fresh problems before it is kept, and both are timed.
    """
    import torch

    from irem_core.cli import loading, show
    from irem_core.distributed import derive
    from irem_core.exporting.export import PROBLEMS, export_solver
    from irem_core.solvers.base import budget

    loading.threads(threads)
    place = loading.device(device)
    solver, task, _ = loading.run(run, place)
    generator = torch.Generator(place).manual_seed(derive(seed, "export"))
    problem = None
    # Without the pairs of a run it is checked on random questions.
    with contextlib.suppress(InputFileError):
        problem, _ = task.sample(PROBLEMS, "same", generator=generator, device=place)
    exported = export_solver(
        solver,
        output,
        max_steps=budget(solver, task, max_steps),
        **loading.parts(descent, halting),
        questions=problem,
        tolerance=tolerance,
        generator=generator,
    )
    if not as_json:
        _show(exported)
        return
    agreement = exported.agreement
    show.json_document(
        {
            "file": str(exported.file),
            "inputs": {"x": exported.question, "start": exported.answer},
            "start": "x" if exported.starts_at_question else "uniform on (-1, 1)",
            "max_steps": exported.max_steps,
            "compared": agreement.compared,
            "left_out": agreement.left_out,
            "largest_difference": agreement.difference,
            "problems_a_second": exported.speed,
            "problems_a_second_solver": exported.solver_speed,
        }
    )


def _show(exported: Exported) -> None:
    agreement = exported.agreement
    left_out = f"; on {agreement.left_out} more rounding decides" if agreement.left_out else ""
    typer.echo(f"The program is in {exported.file}; it takes {exported.max_steps} steps at most.")
    typer.echo(
        f"On {agreement.compared} problems it answers as the solver{left_out}. The largest "
        f"difference is {agreement.difference:.1e}, in units of 1 + |y|."
    )
    typer.echo(
        f"It solves {exported.speed:,.0f} problems a second here, where the solver does "
        f"{exported.solver_speed:,.0f}."
    )
    asked, answered = (
        f"({', '.join(map(str, ('B', *shape)))})" for shape in (exported.question, exported.answer)
    )
    start = "x" if exported.starts_at_question else f"uniform on (-1, 1), {answered}"
    if exported.file.suffix == ".onnx":
        load = f'session = onnxruntime.InferenceSession("{exported.file}")'
        call = 'session.run(None, {"x": x, "start": start})'
    else:
        load = f'program = torch.export.load("{exported.file}").module()'
        call = "program(x, start)"
    typer.echo(
        f"\n    {load}\n    y, energy, steps, outcome = {call}\n\nThere x is {asked} and start "
        f"{start}."
    )
