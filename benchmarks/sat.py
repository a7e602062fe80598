"""Random 3-SAT: how many formulas descent satisfies, how fast, at several sizes and clause ratios.

Every claim is checked again here, clause by clause. With python-sat installed a complete solver
says how many formulas can be satisfied at all, for as long as that takes it seconds.
"""

from __future__ import annotations

import time
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import attrs
import torch
from torch import Tensor

import measuring
from irem_core import CoordinateFlip, Descent, Outcome, load_task, solver_for
from measuring import Spread

SIZES, RATIOS = (50, 200), (3.0, 3.5, 4.0, 4.2)
SEED = 303


@attrs.frozen
class Way:
    """How to descend, for how many steps in all, and at which sizes."""

    descent: Descent | None
    max_steps: int
    sizes: tuple[int, ...] = SIZES


# Flips try each variable in each step, so they are measured on the small formulas alone.
WAYS = {
    "barzilai-borwein": Way(None, max_steps=20_000),
    "coordinate-flip": Way(CoordinateFlip(), max_steps=4_000, sizes=SIZES[:1]),
}


def draw(variables: int, ratio: float, count: int) -> Tensor:
    """Draw formulas, the same for every descent."""
    generator = torch.Generator().manual_seed(SEED)
    difficulty = f"variables={variables},ratio={ratio}"
    problem, _ = load_task("sat").sample(count, difficulty, generator=generator)
    formulas: Tensor = problem.x
    return formulas


def satisfiable(formulas: Tensor) -> list[bool] | None:
    """Ask a complete solver, where there is one."""
    if find_spec("pysat") is None:
        return None
    complete = import_module("pysat.solvers").Cadical153
    found = []
    for formula in formulas.tolist():
        with complete(bootstrap_with=formula) as solver:
            found.append(bool(solver.solve()))
    return found


def holds(formula: list[list[int]], assignment: list[float]) -> bool:
    """Check an assignment literal by literal."""
    return all(
        any((assignment[abs(each) - 1] == 1) == (each > 0) for each in clause) for clause in formula
    )


def measure(formulas: Tensor, variables: int, way: Way, rounds: int) -> dict[str, Any]:
    """Solve the formulas in one batch, from other starts in each round."""
    solver = solver_for(load_task("sat", variables=variables))
    assert solver is not None
    seconds, satisfied, steps, evaluations = [], [], [], []
    for seed in range(rounds):
        since = time.perf_counter()
        solution = solver.solve(
            formulas,
            descent=way.descent,
            max_steps=way.max_steps,
            generator=torch.Generator().manual_seed(seed),
        )
        seconds.append(time.perf_counter() - since)
        claims = (solution.outcome == Outcome.CONVERGED).tolist()
        true = list(map(holds, formulas.tolist(), solution.y.tolist()))
        if claims != true:
            raise SystemExit("A solution claims what is not so: the measurement is void.")
        satisfied.append(sum(true))
        steps.append(float(solution.steps.double().mean()))
        evaluations.append(float(solution.evaluations.double().mean()))
    return {
        "satisfied": attrs.asdict(Spread.of(satisfied)),
        "seconds": attrs.asdict(Spread.of(seconds)),
        "steps_mean": sum(steps) / rounds,
        "evaluations_mean": sum(evaluations) / rounds,
    }


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(__doc__ or "", rounds=3)
    parser.add_argument("--problems", type=int, default=200, help="formulas of each kind")
    options = measuring.parse(parser)
    machine = measuring.machine()
    results = []
    for variables in SIZES:
        for ratio in RATIOS:
            formulas = draw(variables, ratio, options.problems)
            possible = satisfiable(formulas)
            known = "" if possible is None else f" ({sum(possible)} satisfiable)"
            print(f"{options.problems} of {variables} variables at ratio {ratio}{known}")
            for name, way in WAYS.items():
                if variables not in way.sizes:
                    continue
                figures = measure(formulas, variables, way, options.rounds)
                print(
                    f"  {name:16}  satisfied {figures['satisfied']['median']:.0f}, "
                    f"{figures['seconds']['median']:.2f} s, {figures['steps_mean']:.0f} steps each",
                    flush=True,
                )
                results.append(
                    {
                        "variables": variables,
                        "ratio": ratio,
                        "descent": name,
                        "max_steps": way.max_steps,
                        "problems": options.problems,
                        "satisfiable": None if possible is None else sum(possible),
                        **figures,
                    }
                )
    measuring.write(options.json, {"machine": machine, "results": results})


if __name__ == "__main__":
    main()
