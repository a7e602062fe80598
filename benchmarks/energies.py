"""Training and solving with each energy on a task of each space: rates, work and memory.

Training is by `fit` with what `recipe` chooses for the energy, or with the paper's settings for the
paper's energies; solving is of fresh problems by the briefly trained solver, each problem with as
many steps as its halting rule takes. Memory is what a fresh process grows by in training.
"""

from __future__ import annotations

import time

import attrs
import torch

import measuring
from irem_core import IREM, load_task, recipe
from irem_core.runs.provenance import peak_memory
from measuring import MEBIBYTE, Spread


@attrs.frozen
class Row:
    """What is measured.

    Args:
        space: of the answers.
        task: by name.
        energy: by name.
        problems: how many to solve.
    """

    space: str
    task: str
    energy: str
    problems: int


ROWS = (
    Row("vector", "add", "mlp", 1024),
    Row("vector", "add", "elementwise", 1024),
    Row("vector", "sort", "ranking", 256),
    Row("vector", "parity", "periodic", 1024),
    Row("matrix", "matrix-inverse", "mlp", 512),
    Row("matrix", "matrix-inverse", "pairwise", 64),
    Row("matrix", "matrix-inverse", "rational", 512),
    Row("matrix", "matrix-completion", "spectral", 64),
    Row("graph", "shortest-path", "gine", 256),
    Row("graph", "shortest-path", "pairwise", 128),
    Row("sparse graph", "sparse-shortest-path", "sparse-pairwise", 4),
    Row("image", "denoise", "conv", 16),
)
MAX_STEPS = 20


def trained(row: Row, iterations: int) -> tuple[IREM, list[float]]:
    """Train, and return the solver and the seconds of each iteration after the first."""
    task = load_task(row.task)
    made = recipe(task, energy=row.energy)
    assert isinstance(made.solver, IREM)
    return made.solver, measuring.train(made, task, iterations)


def solved(row: Row, solver: IREM) -> dict[str, float]:
    """Solve fresh problems, and return the rate and the work."""
    generator = torch.Generator().manual_seed(5)
    problem, _ = load_task(row.task).sample(row.problems, "same", generator=generator)
    since = time.perf_counter()
    solution = solver.solve(problem, max_steps=MAX_STEPS, generator=generator)
    return {
        "problems_per_second": row.problems / (time.perf_counter() - since),
        "evaluations_mean": float(solution.evaluations.double().mean()),
    }


def grown(row: Row) -> int:
    """Return the bytes that a short training makes this process grow by."""
    load_task(row.task)
    before = peak_memory()
    trained(row, 3)
    return peak_memory() - before


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(__doc__ or "", rounds=10)
    options = measuring.parse(parser)
    if options.memory_of is not None:
        print(grown(ROWS[int(options.memory_of)]))
        return
    machine = measuring.machine()
    print(
        f"{'task':22}{'energy':17}{'ms an iteration':>26}{'problems/s':>12}{'evaluations':>12}"
        f"{'memory':>10}"
    )
    rows = []
    for number, row in enumerate(ROWS):
        solver, passed = trained(row, options.rounds)
        training = Spread.of([1e3 * each for each in passed])
        solving = solved(row, solver)
        memory = measuring.memory_of(str(number), "--threads", str(options.threads))
        print(
            f"{row.task:22}{row.energy:17}{f'{training:.1f}':>26}"
            f"{solving['problems_per_second']:12.0f}{solving['evaluations_mean']:12.1f}"
            f"{memory / MEBIBYTE:6.0f} MiB"
        )
        rows.append(
            {
                **attrs.asdict(row),
                "training_milliseconds": attrs.asdict(training),
                **solving,
                "memory_bytes": memory,
            }
        )
    measuring.write(options.json, {"machine": machine, "rows": rows})


if __name__ == "__main__":
    main()
