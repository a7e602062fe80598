"""What is measured on a trained solver beside its scores, for tables and figures of their own.

Each measure takes the solver, its task and the scores that its record has by difficulty, and
returns plain values for JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from irem_baselines.ponder import Ponder
from irem_baselines.reproduce.cells import SEED
from irem_baselines.reproduce.cost import cost
from irem_baselines.reproduce.denoising import filters, psnr
from irem_baselines.reproduce.judging import judged, running_on, sizes
from irem_baselines.reproduce.pictures import contours, elements, nested
from irem_core import (
    IREM,
    Adam,
    Backtracking,
    BarzilaiBorwein,
    Descent,
    Evaluation,
    FixedSteps,
    GradientDescent,
    Iterate,
    Momentum,
    Nesterov,
    Solver,
    Task,
    auroc,
    evaluate,
    rank_correlation,
    score_composition,
)

Measure = Callable[[Any, Task, dict[str, Any]], dict[str, Any]]

# Another seed than that of the test problems, for what is chosen by looking.
CHOICE_SEED = 11
CHOICE_PROBLEMS = 200
FACTORS = (1.0, 0.5, 0.25, 0.125)
COMPOSED = (2, 5, 10)
TRAINED_STEPS = 5
# Of the fall of the median energy: what it may rise by in a step, for rounding.
_RISE = 1e-4
_LANDSCAPE_PROBLEMS = 50
_LANDSCAPE_SHARES = 21


def named(task: Task) -> list[str]:
    """List the difficulties to test on."""
    return [name for name in task.difficulties if name != "train"]


def steps(solver: IREM, task: Task, evaluation: dict[str, Any]) -> dict[str, Any]:
    """Choose the step size of each difficulty by the energy alone, and score with it (Section 3.2).

    It is the largest of the training's and its half, quarter and eighth at which the median energy
    of 200 problems never rises, or the smallest where it rises at all of them.
    """
    found = {}
    for difficulty in named(task):
        for descent in (scaled(solver.descent, factor) for factor in FACTORS):
            never_rises = falls(median_energies(solver, task, difficulty, descent))
            if never_rises:
                break
        scores = evaluate(
            solver, task, difficulty=difficulty, seed=SEED, descent=descent, protocol="paper"
        )
        found[difficulty] = {
            "step_size": descent.step_size,
            "falls": never_rises,
            "mse": scores.mse,
            "mse_last": scores.mse_last,
        }
    return found


def scaled(descent: Descent, factor: float) -> Any:
    """Return a descent with its step size multiplied."""
    size: float = getattr(descent, "step_size")  # noqa: B009 (not all descents have one)
    return attrs.evolve(descent, step_size=size * factor)  # type: ignore[call-arg]


def median_energies(
    solver: Solver, task: Task, difficulty: str, descent: Descent
) -> Float[Tensor, " steps"]:
    """Return the median energy over problems of every iterate from the start on."""
    generator = torch.Generator().manual_seed(CHOICE_SEED)
    by_step: list[list[Tensor]] = [[] for _ in range(task.max_steps + 1)]

    def keep(step: int, problems: Tensor, evaluation: Evaluation) -> None:
        by_step[step].append(evaluation.energy)

    for problem, _ in task.batches(CHOICE_PROBLEMS, difficulty, generator=generator):
        solver.solve(
            problem,
            max_steps=task.max_steps,
            descent=descent,
            halting=FixedSteps(steps=task.max_steps),
            generator=generator,
            observer=keep,
        )
    return torch.stack([torch.cat(energies).median() for energies in by_step if energies])


def falls(energies: Float[Tensor, " steps"]) -> bool:
    """Say whether energies never rise, but for rounding."""
    fall = energies[0] - energies.min()
    return bool((energies.diff() <= _RISE * fall).all())


def halting(solver: IREM, task: Task, evaluation: dict[str, Any]) -> dict[str, Any]:
    """Score the halting rule: its error against that of the best step, and what energies tell.

    `auroc` is the area under the curve of "this answer is wrong" as the energy tells it, where the
    quarter of answers with the largest errors counts as wrong; in `auroc_of_tenth`, the tenth.
    """
    found = {}
    for difficulty in named(task):
        scores = evaluate(solver, task, difficulty=difficulty, seed=SEED)
        by_step = evaluation[difficulty]["mse_by_step"]
        best = min(by_step, key=lambda step: by_step[step])
        assert scores.energies is not None
        found[difficulty] = {
            "mse": scores.mse,
            "mse_last": scores.mse_last,
            "steps_mean": scores.steps_mean,
            "outcomes": scores.outcomes,
            "best_step": int(best),
            "best_step_mse": by_step[best],
            "energy_error_correlation": scores.energy_error_correlation,
            "auroc": auroc(scores.energies, scores.errors),
            "auroc_of_tenth": auroc(scores.energies, scores.errors, share=0.1),
        }
    return found


def composition(solver: Solver, task: Task, evaluation: dict[str, Any]) -> dict[str, Any]:
    """Score 2, 5 and 10 applications (Table 4, Figure 7).

    IREM halts by itself; networks that answer step by step take the steps of their training.
    """
    steps = None if isinstance(solver, IREM) else TRAINED_STEPS
    return {
        str(k): score_composition(solver, task, k, seed=SEED, max_steps=steps) for k in COMPOSED
    }


def hundredfold(solver: IREM, task: Task, evaluation: dict[str, Any]) -> dict[str, Any]:
    """Score a hundred applications, each of which halts by itself."""
    return score_composition(solver, task, 100, seed=SEED)


def sampled(solver: Ponder, task: Task, evaluation: dict[str, Any]) -> dict[str, Any]:
    """Score the outputs of steps that are drawn from the halting distribution."""
    kept, solver.halt = solver.halt, "sampled"
    try:
        scores = {name: evaluate(solver, task, difficulty=name, seed=SEED) for name in named(task)}
    finally:
        solver.halt = kept
    return {name: {"mse": each.mse, "steps_mean": each.steps_mean} for name, each in scores.items()}


def landscape(solver: IREM, task: Task, evaluation: dict[str, Any]) -> dict[str, Any]:
    """Return energies of candidates by their distance to the solution (Figure 5).

    Candidates lie between the solution and random starts: `errors` and `energies` have a row for
    each problem and a column for each share of the way.
    """
    generator = torch.Generator().manual_seed(SEED)
    problem, target = task.sample(_LANDSCAPE_PROBLEMS, "same", generator=generator)
    start = solver.energy.start(problem, generator)
    errors, energies = [], []
    with torch.no_grad():
        context = solver.energy.encode(problem)
        for share in torch.linspace(0, 1, _LANDSCAPE_SHARES).tolist():
            y = torch.lerp(target, start.y, share)
            errors.append(problem.layout.mean((y - target).square()))
            energies.append(solver.energy.value(context, Iterate(y, start.layout, start.z)))
    distances, heights = torch.stack(errors, 1), torch.stack(energies, 1)
    return {
        "errors": rounded(distances),
        "energies": rounded(heights),
        "rank_correlation": rank_correlation(distances.flatten(), heights.flatten()),
        "rank_correlation_of_a_problem": float(
            torch.tensor([rank_correlation(*each) for each in zip(distances, heights, strict=True)])
            .double()
            .mean()
        ),
    }


def rounded(values: Tensor) -> Any:
    """Return values as lists, with the five digits that a picture needs."""
    if values.ndim:
        return [rounded(each) for each in values]
    return float(f"{values.item():.5g}")


def descents(solver: IREM, task: Task, evaluation: dict[str, Any]) -> dict[str, Any]:
    """Return the error by step of each way to descend, and what its steps cost in evaluations."""
    size = getattr(solver.descent, "step_size", 1.0)
    compared: dict[str, Descent] = {
        "gradient": GradientDescent(step_size=size),
        "momentum": Momentum(step_size=size / 4, momentum=0.5),
        "nesterov": Nesterov(step_size=size / 4, momentum=0.5),
        "adam": Adam(step_size=0.05),
        "barzilai-borwein": BarzilaiBorwein(),
        "backtracking": Backtracking(),
    }
    found = {}
    for name, descent in compared.items():
        scores = evaluate(
            solver,
            task,
            difficulty="same",
            problems=CHOICE_PROBLEMS,
            seed=SEED,
            descent=descent,
            protocol="paper",
        )
        found[name] = {
            "descent": repr(descent),
            "evaluations_per_step": (scores.evaluations_mean - 1) / task.max_steps,
            "mse": scores.mse,
            "mse_by_step": {str(step): error for step, error in scores.mse_by_step.items()},
        }
    return found


MEASURES: dict[str, Measure] = {
    "composition": composition,
    "contours": contours,
    "cost": cost,
    "descents": descents,
    "elements": elements,
    "filters": filters,
    "halting": halting,
    "hundredfold": hundredfold,
    "judged": judged,
    "landscape": landscape,
    "nested": nested,
    "psnr": psnr,
    "running-on": running_on,
    "sampled": sampled,
    "sizes": sizes,
    "steps": steps,
}
