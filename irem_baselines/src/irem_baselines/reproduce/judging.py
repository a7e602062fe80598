"""What is measured on energies that verify: errors by size, and what each entry adds."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from irem_baselines.reproduce.cells import SEED
from irem_core import (
    IREM,
    EnergyPlateau,
    Evaluation,
    FixedSteps,
    Outcome,
    Solution,
    Task,
    evaluate,
)

# Sizes to test on, by the parameter of the task that sets them.
SIZES = {"nodes": (10, 15, 20, 30, 50, 100), "size": (10, 20, 30, 50)}
# Work grows with the third power of the size, so of the largest there are fewer problems.
_PROBLEMS = 500
_LEAST_PROBLEMS = 10
_SAME_WORK = 15
# Sizes are left out where one problem would take more seconds than this. A step takes the third
# power of the size, and there are more steps.
_LONGEST, _POWER = 60.0, 4
_JUDGED_STEPS = (0, 1, 2, 5, 10)
# How many problems are run on, and for how many steps.
_RUN_ON, _ON = 100, 400


def sizes_of(task: Task) -> dict[int, str]:
    """Return the sizes to test on, and the difficulties that have them; none without a size."""
    parameter = next((each for each in SIZES if each in task.parameters), None)
    return {} if parameter is None else {each: f"{parameter}={each}" for each in SIZES[parameter]}


def sizes(solver: IREM, task: Task, evaluation: dict[str, Any]) -> dict[str, Any]:
    """Return error, steps and seconds by size, for solvers that take any.

    Seconds are of one problem, on one thread. Sizes whose problems would take more than a minute,
    by what the size before took, are left out.
    """
    if not solver.energy.size_free:
        return {}
    found: dict[str, Any] = {}
    before, seconds = 1, 0.0
    for size, difficulty in sizes_of(task).items():
        if seconds * (size / before) ** _POWER > _LONGEST:
            break
        count = max(min(int(_PROBLEMS * (_SAME_WORK / size) ** 3), _PROBLEMS), _LEAST_PROBLEMS)
        began = time.perf_counter()
        scores = evaluate(
            solver,
            task,
            difficulty=difficulty,
            problems=count,
            seed=SEED,
        )
        before, seconds = size, (time.perf_counter() - began) / count
        found[str(size)] = {
            "problems": count,
            "mse": scores.mse,
            "steps_mean": scores.steps_mean,
            "seconds": seconds,
            "mse_by_step": {str(step): error for step, error in scores.mse_by_step.items()},
            **scores.measures,
        }
    return found


def running_on(solver: IREM, task: Task, evaluation: dict[str, Any]) -> dict[str, Any]:
    """Return what 400 steps make of the answers that problems halt with, and what those cost.

    `moved` counts the converged answers that move by more than ten times what the rule leaves,
    `paper` is what the descent of training and the paper's halting rule give from the same starts.
    """
    ways: dict[str, dict[str, Any]] = {
        "halted": {},
        "on": {"max_steps": _ON, "halting": FixedSteps(steps=_ON)},
        "paper": {
            "max_steps": task.max_steps,
            "descent": solver.descent,
            "halting": EnergyPlateau(tolerance=1e-3),
        },
    }
    found = {}
    for difficulty in ("same", "harder"):
        generator = torch.Generator().manual_seed(SEED)
        sums, entries, converged, moved = dict.fromkeys(ways, torch.zeros(3)), 0, 0, 0
        for problem, target in task.batches(_RUN_ON, difficulty, generator=generator):
            start = solver.energy.start(problem, generator)
            solved = {name: solver.solve(problem, start=start, **way) for name, way in ways.items()}
            for name, each in solved.items():
                squares = (each.y - target).double().square().sum()
                spent = each.steps.sum(), each.evaluations.sum()
                sums[name] = sums[name] + torch.stack([squares, *spent])
            entries += target.numel()
            arrived = solved["halted"].outcome == Outcome.CONVERGED
            converged += int(arrived.sum())
            moved += int((arrived & _moved(solver, solved["halted"], solved["on"])).sum())
        scale = torch.tensor([entries, _RUN_ON, _RUN_ON])
        names = ("mse", "steps_mean", "evaluations_mean")
        found[difficulty] = {
            "problems": _RUN_ON,
            "converged": converged,
            "moved": moved,
            **{way: dict(zip(names, (sums[way] / scale).tolist(), strict=True)) for way in ways},
        }
    return found


def _moved(solver: IREM, halted: Solution, on: Solution) -> Tensor:
    """Say which answers moved by more than ten times the tolerance of the solver's rule."""
    left = getattr(solver.halting, "absolute", 0.0), getattr(solver.halting, "relative", 1e-3)
    size = halted.layout.amax(halted.last.abs())
    distance = halted.layout.amax((on.last - halted.last).abs())
    return distance > 10 * (left[0] + left[1] * size)


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
