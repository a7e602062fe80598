"""Random 3-SAT near the threshold: a learned energy of clauses beside the written one, and GSAT.

    irem train sat --energy factor --iterations 2500 --threads 1 --out runs/sat
    python benchmarks/sat_learned.py runs/sat

Formulas are uniform ones that can be satisfied, of as many variables and clauses as SATLIB's
uf20-91 and uf50-218. A run descends each from at most --starts starts, until its answer holds; the
others take, for each formula, no more energy evaluations than it may. All answers are checked
clause by clause.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch

import measuring
from irem_core import CoordinateFlip, Problem, Solution, Solver
from irem_core.runs.checkpoint import load_run
from irem_tasks.sat import Sat, SatEnergy, SatSolver

SIZES = {20: "variables=20,ratio=4.55", 50: "variables=50,ratio=4.36"}
WAYS = ("learned", "written", "gsat")
SEED = 303
# Of one start at most.
STEPS = 60
# Of GSAT, for every variable.
FLIPS = 4


def solve(way: str, solver: Solver, task: Sat, problem: Problem, starts: int) -> Solution:
    """Solve formulas by the run, by descents of the written energy, or by flips of a variable."""
    generator = torch.Generator().manual_seed(1)
    most = starts * STEPS
    if way == "learned":
        return solver.solve(problem, restarts=starts - 1, max_steps=STEPS, generator=generator)
    formulas, energy = task.clauses(problem), SatEnergy()
    if way == "written":
        return SatSolver(energy).solve(formulas, max_steps=most, generator=generator)
    variables = energy.variables(formulas)
    gsat = SatSolver(energy, descent=CoordinateFlip(), renewal=1.0, steps=FLIPS * variables)
    # A flip looks at all variables, an evaluation each.
    return gsat.solve(formulas, max_steps=most // variables, generator=generator)


def satisfied(way: str, task: Sat, problem: Problem, found: Solution) -> int:
    """Count the formulas that are satisfied."""
    if way == "learned":
        return int(task.verify(problem, found.y).sum())
    return int(Sat().verify(task.clauses(problem), found.y).sum())


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Solve the same formulas in all ways."""
    solver, task, _ = load_run(options.run)
    if not isinstance(task, Sat):
        raise SystemExit(f"{options.run} is no run of irem train sat --energy factor.")
    results = []
    for variables, difficulty in SIZES.items():
        generator = torch.Generator().manual_seed(SEED)
        problem, _ = task.sample(options.problems, difficulty, generator=generator)
        for way in WAYS:
            since = time.perf_counter()
            found = solve(way, solver, task, problem, options.starts)
            row = {
                "variables": variables,
                "way": way,
                "problems": options.problems,
                "starts": options.starts,
                "satisfied": satisfied(way, task, problem, found),
                "evaluations_mean": float(found.evaluations.double().mean()),
                "seconds": time.perf_counter() - since,
            }
            results.append(row)
            print(
                f"{variables} variables, {way:8} satisfied {row['satisfied']} of "
                f"{options.problems}, {row['evaluations_mean']:,.0f} energy evaluations each, "
                f"{row['seconds']:.0f} s",
                flush=True,
            )
    return results


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(__doc__ or "", rounds=1)
    parser.add_argument("run", type=Path, help="a run of irem train sat --energy factor")
    parser.add_argument("--problems", type=int, default=100, help="formulas of each size")
    parser.add_argument("--starts", type=int, default=1024, help="descents of each at most")
    options = measuring.parse(parser)
    machine = measuring.machine()
    measuring.write(options.json, {"machine": machine, "results": measure(options)})


if __name__ == "__main__":
    main()
