"""Single problems of addition, as Figures 1, 4 and 6 show them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from irem_core import IREM, FixedSteps, Iterate, Problem, Task, compose

SEED = 2
STEPS = 40
SHOWN = 9
_GRID = 41


def _descent(solver: IREM, problem: Problem, steps: int) -> list[Tensor]:
    """Return all iterates of a solve, the start first."""
    iterates: list[Tensor] = []
    solver.solve(
        problem,
        max_steps=steps,
        halting=FixedSteps(steps=steps),
        generator=torch.Generator().manual_seed(SEED),
        observer=lambda step, problems, evaluation: iterates.append(evaluation.iterate.y.clone()),
    )
    return iterates


def elements(solver: IREM, task: Task, evaluation: dict[str, Any]) -> dict[str, Any]:
    """Return the squared error of the first elements of one answer at every step (Figure 4)."""
    problem, target = task.sample(1, "same", generator=torch.Generator().manual_seed(SEED))
    squared = torch.stack([(y - target)[0, :SHOWN].square() for y in _descent(solver, problem, 40)])
    return {"squared_errors": squared.T.tolist()}


def nested(solver: IREM, task: Task, evaluation: dict[str, Any]) -> dict[str, Any]:
    """Return three nested additions of four vectors, their first nine elements (Figure 6)."""
    generator = torch.Generator().manual_seed(SEED)
    operands = [
        torch.empty(1, task.answer.size).uniform_(-1, 1, generator=generator) for _ in range(4)
    ]
    solution = compose(solver, 3).solve(operands, generator=generator)
    return {
        "operands": [each[0, :SHOWN].tolist() for each in operands],
        "predictions": [part.y[0, :SHOWN].tolist() for part in solution.parts],
        "sum": torch.stack(operands).sum(0)[0, :SHOWN].tolist(),
        "steps": [int(part.steps) for part in solution.parts],
    }


def contours(solver: IREM, task: Task, evaluation: dict[str, Any]) -> dict[str, Any]:
    """Return a solve in the plane of its first two coordinates, over the energy there (Figure 1).

    The other coordinates of the plane are those of the last iterate.
    """
    problem, target = task.sample(1, "same", generator=torch.Generator().manual_seed(SEED))
    path = torch.cat(_descent(solver, problem, STEPS))
    ends = torch.cat([path[:, :2], target[:, :2]])
    middle, reach = ends.mean(0), 0.6 * (ends.amax(0) - ends.amin(0)).max() + 0.3
    first, second = (torch.linspace(-1, 1, _GRID) * reach + each for each in middle)
    plane = path[-1].repeat(_GRID * _GRID, 1)
    plane[:, :2] = torch.cartesian_prod(first, second)
    every = Problem(problem.x.expand(len(plane), -1), task.answer)
    with torch.no_grad():
        context = solver.energy.encode(every)
        energies = solver.energy.value(context, Iterate(plane, every.layout))
    return {
        "first": first.tolist(),
        "second": second.tolist(),
        "energies": energies.reshape(_GRID, _GRID).T.tolist(),
        "path": path[:, :2].tolist(),
        "solution": target[0, :2].tolist(),
    }
