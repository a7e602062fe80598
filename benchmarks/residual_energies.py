"""How many steps each descent takes down a trained energy, to the error of the one of training.

    irem train matrix-inverse --out runs/matrix-inverse
    python examples/quadratic_program.py --file runs/programs.npz
    irem train --pairs runs/programs.npz --out runs/programs
    python benchmarks/residual_energies.py runs/matrix-inverse runs/programs

Problems are solved by the descent that the run was trained with, and halt by the run's rule. Their
error is the one to reach, or that of the lowest energies found, where it is larger, since no
descent ends elsewhere: every one starts from the same answers and steps without halting, until the
error over all problems is no larger than 1.05 times that. Evaluations are those of a problem until
then, trials of line searches included; products with Hessians and Jacobians are not among them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import measuring
from irem_core import (
    IREM,
    Descent,
    EnergyError,
    Evaluation,
    FixedSteps,
    Problem,
    Solution,
    Solver,
    build,
    load,
)
from irem_core.pairs.standardized import Standardized
from irem_core.runs.checkpoint import read_metadata
from irem_core.runs.description import rebuild

NAMES = ("barzilai-borwein", "lbfgs", "levenberg-marquardt", "newton-cg", "anderson")
ALLOWED = 1.05


class Errors:
    """An observer of the mean squared error after each step, of all problems together."""

    def __init__(self, target: Tensor) -> None:
        self.target = target
        self.y = torch.full_like(target, torch.inf)
        self.found: list[float] = []

    def __call__(self, step: int, problems: Tensor, evaluation: Evaluation) -> None:
        if evaluation.iterate.y.shape == self.y.shape:
            self.y = evaluation.iterate.y
        self.found.append(float((self.y - self.target).square().mean()))

    def reached(self, error: float) -> int | None:
        """Return the first step after which the error is this small."""
        return next((step for step, each in enumerate(self.found) if each <= error), None)


def descents(own: Descent) -> dict[str, Descent]:
    """Return the descent of training, and the others as they are by default."""
    made: dict[str, Descent] = {"of training": own}
    return made | {name: build("irem.descents", name) for name in NAMES}


def walk(
    solver: Solver, problem: Problem, descent: Descent, steps: int, observer: Any = None
) -> Solution:
    """Descend for a number of steps from the same starts each time."""
    return solver.solve(
        problem,
        descent=descent,
        halting=FixedSteps(steps=steps),
        max_steps=steps,
        generator=torch.Generator().manual_seed(1),
        observer=observer,
    )


def compare(
    solver: Solver, trained: Descent, problem: Problem, target: Tensor, most: int
) -> dict[str, Any]:
    """Solve problems by the descent of training, and then by each up to that error."""
    generator = torch.Generator().manual_seed(1)
    own = solver.solve(problem, descent=trained, generator=generator)
    error = float((own.y - target).square().mean())
    walks: dict[str, tuple[Descent, Errors, float]] = {}
    for name, descent in descents(trained).items():
        errors = Errors(target)
        try:
            walked = walk(solver, problem, descent, most, errors)
        except EnergyError as refused:
            print(f"  {name}: {refused}")
            continue
        assert walked.energy is not None
        walks[name] = (descent, errors, float(walked.energy.mean()))
    lowest = min(walks.values(), key=lambda each: each[2])[1].found[-1]
    goal, found = ALLOWED * max(error, lowest), {}
    print(f"  to reach {goal:.2e}: error where it halts {error:.2e}, at the minimum {lowest:.2e}")
    for name, (descent, errors, _) in walks.items():
        steps, spent = errors.reached(goal), None
        if steps is not None:
            spent = float(walk(solver, problem, descent, steps).evaluations.double().mean())
        found[name] = {"steps": steps, "evaluations": spent, "error": errors.found[-1]}
        print(f"  {name:22}", found[name], flush=True)
    halted = {"error": error, "steps": float(own.steps.double().mean())}
    return {"goal": goal, "lowest": lowest, "halted": halted, "descents": found}


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(__doc__ or "", rounds=1)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of trained IREMs")
    parser.add_argument("--problems", type=int, default=100, help="of each difficulty")
    parser.add_argument("--steps", type=int, default=100, help="at most")
    options = measuring.parse(parser)
    machine, found = measuring.machine(), {}
    for run in options.runs:
        solver, described = load(run), read_metadata(run)["task"]
        task, name = rebuild(described), described["name"]
        inside = solver.solver if isinstance(solver, Standardized) else solver
        assert isinstance(inside, IREM)
        for difficulty in (each for each in ("same", "harder") if each in task.difficulties):
            generator = torch.Generator().manual_seed(0)
            problem, target = task.sample(options.problems, difficulty, generator=generator)
            title = f"{name}, {difficulty}"
            print(title, type(inside.energy).__name__, inside.descent)
            found[title] = compare(solver, inside.descent, problem, target, options.steps)
    measuring.write(options.json, {"machine": machine, "problems": options.problems, "runs": found})


if __name__ == "__main__":
    main()
