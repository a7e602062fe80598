"""Train IREM to add, score it, load it again, solve one problem and compose it with itself."""

from __future__ import annotations

import argparse

import torch

from irem_core import IREM, MLPEnergy, compose, evaluate, fit, load, load_task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=500, help="the paper has 10,000")
    parser.add_argument("--size", type=int, default=20, help="entries to add; the paper has 400")
    parser.add_argument("--out", default="runs/example-add", help="the run's folder")
    options = parser.parse_args()

    task = load_task("add", size=options.size)
    solver = IREM.for_task(task, energy=MLPEnergy.for_task(task, width=128))
    fit(solver, task, iterations=options.iterations, seed=0, out=options.out, resume=True)
    for difficulty in ("same", "harder"):
        scores = evaluate(solver, task, difficulty=difficulty, problems=200)
        print(
            f"{difficulty}: error {scores.mse:.4f}, constant {task.floor(difficulty).constant:.4f}"
        )

    loaded = load(options.out)
    a, b, c = torch.rand(3, 1, options.size, generator=torch.Generator().manual_seed(0))
    solution = loaded.solve(torch.cat([a, b], 1), max_steps=80)
    error = float((solution.y - (a + b)).square().mean())
    print(f"a + b: error {error:.4f} after {int(solution.steps)} steps")
    error = float((compose(loaded, 2)(a, b, c) - (a + b + c)).square().mean())
    print(f"a + b + c: error {error:.4f}")


if __name__ == "__main__":
    main()
