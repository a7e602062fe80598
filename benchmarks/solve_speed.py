"""Solving with per-problem halting against a fixed number of steps, at equal error.

Many problems, 10,000 by default, are solved by one trained model in both ways, in alternating
rounds. The halting rule is chosen on problems and starts of its own, never on those reported.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import attrs
import torch

import measuring
from irem_core import (
    IREM,
    EnergyPlateau,
    FixedSteps,
    HaltingCriterion,
    MLPEnergy,
    Solver,
    Task,
    fit,
    load,
    load_task,
    provenance,
)
from irem_core.runs.checkpoint import MODEL, read_metadata
from irem_core.runs.description import rebuild
from measuring import MEBIBYTE, Spread

STEPS = 80
PROBLEMS_IN_VALIDATION = 1_000
SEED, SEED_OF_VALIDATION = 202, 101
# How far the error may exceed that of the fixed steps. The choice is held to less than the report.
ALLOWED, ALLOWED_IN_VALIDATION = 1.05, 1.03
FIXED = FixedSteps(steps=STEPS)
PLATEAUS = [
    EnergyPlateau(tolerance=tolerance, patience=patience)
    for tolerance in (0.1, 0.03, 0.01, 0.003, 0.001, 1e-4)
    for patience in (1, 3)
]
QUICK_SIZE, QUICK_WIDTH, QUICK_ITERATIONS = 16, 128, 1500


@attrs.frozen
class Result:
    """What solving some problems cost, and how well it went.

    Args:
        error: mean squared, over all entries of all problems.
        evaluations: energy evaluations of one problem, on average.
        seconds: for all of them.
    """

    error: float
    evaluations: float
    seconds: float


@attrs.frozen
class Trained:
    """A trained solver and its task."""

    solver: Solver
    task: Task

    @classmethod
    def of_run(cls, run: Path) -> Trained:
        return cls(load(run), rebuild(read_metadata(run)["task"]))

    def solve(self, halting: HaltingCriterion, problems: int, seed: int) -> Result:
        """Solve fresh problems in one call."""
        generator = torch.Generator().manual_seed(seed)
        problem, target = self.task.sample(problems, "same", generator=generator)
        since = time.perf_counter()
        solution = self.solver.solve(problem, halting=halting, max_steps=STEPS, generator=generator)
        return Result(
            seconds=time.perf_counter() - since,
            error=float((solution.y - target).square().mean()),
            evaluations=float(solution.evaluations.double().mean()),
        )


def choose(trained: Trained) -> EnergyPlateau:
    """Return the cheapest rule that loses next to nothing on the validation problems."""

    def validate(halting: HaltingCriterion) -> Result:
        return trained.solve(halting, PROBLEMS_IN_VALIDATION, SEED_OF_VALIDATION)

    allowed = ALLOWED_IN_VALIDATION * validate(FIXED).error
    results = [(plateau, validate(plateau)) for plateau in PLATEAUS]
    good = [(result.evaluations, plateau) for plateau, result in results if result.error <= allowed]
    if not good:
        raise SystemExit("No halting rule comes near the error of the fixed steps on this model.")
    return min(good, key=lambda each: each[0])[1]


def train_quickly(run: Path) -> None:
    """Train a small model, for want of a run."""
    task = load_task("add", size=QUICK_SIZE)
    energy = MLPEnergy.for_task(task, width=QUICK_WIDTH)
    fit(IREM.for_task(task, energy=energy), task, iterations=QUICK_ITERATIONS, out=run)


def measure_memory(run: Path, halting: HaltingCriterion, problems: int) -> int:
    """Return the bytes that solving adds to those of the imports, the model and a first solve."""
    trained = Trained.of_run(run)
    trained.solve(halting, 1, SEED)
    before = provenance.peak_memory()
    trained.solve(halting, problems, SEED)
    return provenance.peak_memory() - before


def report(
    plateau: EnergyPlateau, halted: list[Result], fixed: list[Result], memory: dict[str, int]
) -> dict[str, Any]:
    """Print the figures and return them for JSON."""
    evaluations = fixed[0].evaluations / halted[0].evaluations
    pairs = zip(fixed, halted, strict=True)
    speedup = Spread.of([slow.seconds / fast.seconds for slow, fast in pairs])
    ratio = halted[0].error / fixed[0].error
    print(f"{plateau}, chosen on {PROBLEMS_IN_VALIDATION} other problems:")
    figures = {}
    for name, results in (("halting", halted), ("fixed", fixed)):
        seconds = Spread.of([result.seconds for result in results])
        print(
            f"  {name:8} {results[0].evaluations:5.1f} evaluations a problem, {seconds:.2f} s, "
            f"error {results[0].error:.3e}, memory {memory[name] / MEBIBYTE:.0f} MiB"
        )
        figures[name] = {
            "evaluations_mean": results[0].evaluations,
            "seconds": attrs.asdict(seconds),
            "mse": results[0].error,
            "memory_bytes": memory[name],
        }
    print(f"  halting evaluates {evaluations:.2f} times less and is {speedup:.2f} times faster")
    verdict = "equal enough" if ratio <= ALLOWED else "NOT EQUAL: the comparison is void"
    print(f"  errors, halting : fixed {ratio:.3f}, at most {ALLOWED}: {verdict}")
    return {
        **figures,
        "halting_rule": attrs.asdict(plateau),
        "evaluations_ratio": evaluations,
        "speedup": attrs.asdict(speedup),
        "error_ratio": ratio,
        "valid": ratio <= ALLOWED,
    }


def measure(run: Path, problems: int, rounds: int) -> dict[str, Any]:
    """Measure both ways of solving and print the figures."""
    trained = Trained.of_run(run)
    plateau = choose(trained)
    rule = f"{plateau.tolerance}:{plateau.patience}"
    memory = {
        "halting": _memory(rule, run, problems),
        "fixed": _memory("fixed", run, problems),
    }
    halted, fixed = [], []
    for _ in range(rounds):
        halted.append(trained.solve(plateau, problems, SEED))
        fixed.append(trained.solve(FIXED, problems, SEED))
    return {"problems": problems, **report(plateau, halted, fixed, memory)}


def _memory(name: str, run: Path, problems: int) -> int:
    options = {"--run": run, "--problems": problems, "--threads": torch.get_num_threads()}
    return measuring.memory_of(name, *(str(each) for pair in options.items() for each in pair))


def _named(name: str) -> HaltingCriterion:
    """Read the halting rule that a memory measurement is to use."""
    if name == "fixed":
        return FIXED
    tolerance, patience = name.split(":")
    return EnergyPlateau(tolerance=float(tolerance), patience=int(patience))


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(__doc__ or "", rounds=3)
    parser.add_argument("--run", type=Path, default=Path("runs/add-irem-0"), help="a trained run")
    parser.add_argument("--problems", type=int, default=10_000, help="how many to solve")
    options = measuring.parse(parser)
    if options.memory_of:
        print(measure_memory(options.run, _named(options.memory_of), options.problems))
        return
    machine = measuring.machine()
    with tempfile.TemporaryDirectory() as folder:
        run: Path = options.run
        model = f"that of {run}"
        if not (run / MODEL).is_file():
            model = f"small and quickly trained, since there is no run in {run}"
            run = Path(folder) / "run"
            train_quickly(run)
        print(f"{options.problems} problems; the model is {model}.")
        figures = measure(run, options.problems, options.rounds)
    measuring.write(options.json, {"machine": machine, "model": model, **figures})


if __name__ == "__main__":
    main()
