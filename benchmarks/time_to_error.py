"""Seconds to the paper's own test error, by this library's defaults and by plain Algorithm 1.

Ours is a training from nothing with what `irem train TASK` chooses, for as many iterations as reach
the published errors on both difficulties. Sampling is included, and so is the evaluation of 1,000
problems of each, each until its halting rule; the errors are printed. Plain is the paper's energy
and settings for its 10,000 iterations, from the rate of some of them, without evaluation.
Completion is left out: its published error is above that of copying the input.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import measuring
from irem_core import IREM, evaluate, fit, load_task, recipe
from train_speed import plain, train_plain

PUBLISHED_ITERATIONS = 10_000
# Iterations of ours, chosen on problems of other seeds; learning rates fall to zero over them.
ITERATIONS = {
    "add": 1_500,
    "matrix-inverse": 300,
    "edge-copy": 100,
    "connected-components": 150,
    "shortest-path": 100,
}
WARM_UP, MEASURED = 5, 20


def ours(name: str, iterations: int, seed: int) -> dict[str, Any]:
    """Train and evaluate, and return the seconds and the errors."""
    task = load_task(name)
    since = time.perf_counter()
    made = recipe(task, seed=seed)
    fit(made.solver, task, seed=seed, **{**made.training, "iterations": iterations})
    assert isinstance(made.solver, IREM)
    trained = time.perf_counter() - since
    errors = {
        each: evaluate(made.solver, task, difficulty=each, halting=made.solver.halting).mse
        for each in ("same", "harder")
    }
    return {
        "energy": type(made.solver.energy).__name__,
        "iterations": iterations,
        "training_seconds": trained,
        "seconds": time.perf_counter() - since,
        "mse": errors,
    }


def published(name: str) -> dict[str, float]:
    """Return the paper's errors of IREM."""
    found = [each for each in load_task(name).published if each.method == "irem"]
    return {each.difficulty: each.value for each in found}


def plain_seconds(name: str) -> float:
    """Return the seconds of the paper's iterations, from the rate of some."""
    made = plain(name)
    train_plain(made, WARM_UP)
    return train_plain(made, MEASURED) / MEASURED * PUBLISHED_ITERATIONS


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(__doc__ or "", rounds=1)
    parser.add_argument("--task", choices=ITERATIONS, action="append", help="all if unset")
    parser.add_argument("--seed", type=int, default=0, help="of our training")
    options = measuring.parse(parser)
    # torch-geometric's loaders call parts of torch that torch itself has deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    machine = measuring.machine()
    print(f"{'task':22}{'energy':18}{'ours':>8}{'plain':>9}{'ratio':>8}   same, harder (published)")
    figures: dict[str, Any] = {}
    for name in options.task or ITERATIONS:
        found, paper = ours(name, ITERATIONS[name], options.seed), published(name)
        slow = plain_seconds(name)
        reached = all(found["mse"][each] <= paper[each] for each in paper)
        ratio = slow / found["seconds"]
        figures[name] = {**found, "published": paper, "plain_seconds": slow, "ratio": ratio}
        figures[name]["reached"] = reached
        errors = ", ".join(f"{found['mse'][each]:.2g} ({paper[each]})" for each in paper)
        print(
            f"{name:22}{found['energy']:18}{found['seconds']:7.1f}s{slow:8.0f}s{ratio:7.1f}x   "
            f"{errors}{'' if reached else ' NOT REACHED'}"
        )
    measuring.write(options.json, {"machine": machine, "tasks": figures})


if __name__ == "__main__":
    main()
