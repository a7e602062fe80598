"""`irem compose`: apply a trained solver again and again."""

from __future__ import annotations

from typing import Annotated

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


def compose(
    run: RunArgument,
    k: Annotated[
        list[int] | None,
        typer.Option("-k", min=1, help="Applications; may be repeated. 2, 5 and 10 if unset."),
    ] = None,
    problems: Annotated[int, typer.Option(min=1, help="Chains of each length.")] = 1000,
    max_steps: MaxSteps = None,
    descent: Descent = None,
    halting: Halting = None,
    seed: TestSeed = 1,
    device: Device = "cpu",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Compose a run with itself (Section 4.4): y_i = alg(y_{i-1}, operand_i), i = 1 ... k.

    Operands are uniform on (-1, 1): k + 1 of them for a binary task such as addition. Every
    application halts by itself, and the error is against the same composition of exact answers.
    """
    from irem_core.cli import loading, show
    from irem_core.evaluation.composition_scores import score_composition

    loading.threads(threads)
    solver, task, _ = loading.run(run, loading.device(device))
    options = loading.parts(descent, halting) | {"max_steps": max_steps}
    scores = {
        str(length): score_composition(
            solver, task, length, problems=problems, seed=seed, **options
        )
        for length in (k or [2, 5, 10])
    }
    if as_json:
        show.json_document(scores)
        return
    show.table(
        f"Composition of {run}: {problems} chains of operands uniform on (-1, 1)",
        ["applications", "mean squared error", "steps in all", "mean square of the answer"],
        (
            [int(length), each["mse"], each["steps_mean"], each["answer_mean_square"]]
            for length, each in scores.items()
        ),
    )
