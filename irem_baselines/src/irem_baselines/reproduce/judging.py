"""What is measured on energies that verify: errors by size, and what each entry adds."""

from __future__ import annotations

import time
from typing import Any

import torch

from irem_baselines.reproduce.cells import SEED
from irem_core import IREM, BarzilaiBorwein, Evaluation, FixedSteps, Task, evaluate

# Sizes to test on, by the parameter of the task that sets them.
SIZES = {"nodes": (10, 15, 20, 30, 50, 100), "size": (10, 20, 30, 50)}
# Work grows with the third power of the size, so of the largest there are fewer problems.
_PROBLEMS = 500
_LEAST_PROBLEMS = 10
_SAME_WORK = 15
_JUDGED_STEPS = (0, 1, 2, 5, 10)


def sizes_of(task: Task) -> dict[int, str]:
    """Return the sizes to test on, and the difficulties that have them; none without a size."""
    parameter = next((each for each in SIZES if each in task.parameters), None)
    return {} if parameter is None else {each: f"{parameter}={each}" for each in SIZES[parameter]}


def sizes(solver: IREM, task: Task, evaluation: dict[str, Any]) -> dict[str, Any]:
    """Return error, steps and seconds by size, for solvers that take any.

    Problems find their step sizes, from the energy alone, and halt by themselves: the step of
    training is too long at some sizes. Seconds are of one problem, on one thread.
    """
    if not solver.energy.size_free:
        return {}
    found = {}
    for size, difficulty in sizes_of(task).items():
        count = max(min(int(_PROBLEMS * (_SAME_WORK / size) ** 3), _PROBLEMS), _LEAST_PROBLEMS)
        began = time.perf_counter()
        scores = evaluate(
            solver,
            task,
            difficulty=difficulty,
            problems=count,
            seed=SEED,
            descent=BarzilaiBorwein(),
            halting=solver.halting,
        )
        found[str(size)] = {
            "problems": count,
            "mse": scores.mse,
            "steps_mean": scores.steps_mean,
            "seconds": (time.perf_counter() - began) / count,
            "mse_by_step": {str(step): error for step, error in scores.mse_by_step.items()},
            **scores.measures,
        }
    return found


def judged(solver: Any, task: Task, evaluation: dict[str, Any]) -> dict[str, Any]:
    """Return what each entry adds to the energy on the way of one solve, and its true error."""
    generator = torch.Generator().manual_seed(SEED)
    problem, target = task.sample(1, "same", generator=generator)
    context, steps = solver.energy.encode(problem), max(_JUDGED_STEPS)
    nodes = int(len(target) ** 0.5)
    found: dict[str, Any] = {}

    def note(step: int, problems: torch.Tensor, at: Evaluation) -> None:
        if step in _JUDGED_STEPS:
            y = at.iterate.y
            with torch.no_grad():
                added = solver.energy.contributions(context, y)
            found[str(step)] = {
                "energy": added.view(nodes, nodes).tolist(),
                "squared_error": (y - target).square().view(nodes, nodes).tolist(),
            }

    solver.solve(
        problem,
        max_steps=steps,
        halting=FixedSteps(steps=steps),
        generator=generator,
        observer=note,
    )
    return found
