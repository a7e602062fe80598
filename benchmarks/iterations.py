"""What an iteration of training takes with the library's defaults, in time and memory.

Each task is trained by `fit` with what `recipe` chooses, in rounds of so many iterations after the
first have filled caches and the replay buffer. Memory is what a fresh process grows by in an update
of the energy of pairs on 16 graphs of 100 nodes, the largest that results/ has errors for.
"""

from __future__ import annotations

from typing import Any

import attrs
import torch

import measuring
from irem_core import load_task, recipe
from irem_core.runs.provenance import peak_memory
from measuring import MEBIBYTE, Spread

TASKS = (
    "shortest-path",
    "connected-components",
    "matrix-inverse",
    "matrix-completion",
    "add",
    "edge-copy",
    "sort",
    "parity",
)
LARGE = "nodes=100"
LARGE_BATCH = 16


def iterations(task_name: str, count: int) -> tuple[str, int, list[float]]:
    """Return the energy's name, the fresh problems of an iteration, and seconds of each."""
    task = load_task(task_name)
    made = recipe(task)
    energy = type(getattr(made.solver, "energy")).__name__  # noqa: B009 (not all solvers have one)
    return energy, made.training["batch_size"], measuring.train(made, task, count)


def large_update() -> int:
    """Return the bytes that one update on large graphs makes this process grow by."""
    task = load_task("shortest-path")
    generator = torch.Generator().manual_seed(0)
    solver = recipe(task, replay=0).solver
    problem, target = task.sample(LARGE_BATCH, LARGE, generator=generator)
    optimizer = torch.optim.Adam(solver.parameters())
    before = peak_memory()
    solver.loss(problem, target, generator).backward()
    optimizer.step()
    return peak_memory() - before


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(__doc__ or "", rounds=20)
    options = measuring.parse(parser)
    if options.memory_of is not None:
        print(large_update())
        return
    machine = measuring.machine()
    figures: dict[str, Any] = {"tasks": {}}
    print(f"{'task':24}{'energy':24}{'fresh problems':>16}{'ms an iteration':>28}")
    for name in TASKS:
        energy, batch, passed = iterations(name, options.rounds)
        spread = Spread.of([1e3 * each for each in passed])
        print(f"{name:24}{energy:24}{batch:>16}{f'{spread:.1f}':>28}")
        figures["tasks"][name] = {
            "energy": energy,
            "batch_size": batch,
            "milliseconds": attrs.asdict(spread),
        }
    grown = measuring.memory_of("large", "--threads", str(options.threads))
    print(f"An update on {LARGE_BATCH} graphs of 100 nodes: {grown / MEBIBYTE:,.0f} MiB.")
    figures["large_update_bytes"] = grown
    measuring.write(options.json, {"machine": machine, **figures})


if __name__ == "__main__":
    main()
