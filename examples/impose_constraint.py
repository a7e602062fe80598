"""Impose a constraint that training never saw: energies add up.

A solver learns to add two vectors. Then the energy of a penalty, high where an entry is negative,
is added to what was learned, and the same problems are solved again: entries that would be negative
come out as nearly zero. With a weight a constraint counts for less: `learned + 0.1 * penalty`.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

import irem_core as irem


class Negative(irem.EnergyFn):
    """E(y) = sum min(0, y)^2 / 2, which is zero where no entry is negative."""

    def energy(self, context: Tensor, y: Tensor) -> Tensor:
        return y.clamp(max=0).square().sum(-1) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--iterations", type=int, default=2000, help="updates of the weights")
    parser.add_argument("--size", type=int, default=8, help="numbers in each vector")
    parser.add_argument("--problems", type=int, default=1000, help="how many are solved")
    options = parser.parse_args()

    task = irem.load_task("add", size=options.size)
    solver = irem.IREM(irem.MLPEnergy.for_task(task, width=128))
    irem.fit(solver, task, iterations=options.iterations, learning_rate=1e-3, schedule="cosine")

    generator = torch.Generator().manual_seed(1)
    problem, total = task.sample(options.problems, "same", generator=generator)
    wanted = total.clamp(min=0)
    # The penalty is steeper than what was learned, so each problem looks for its own step size.
    descent = irem.BarzilaiBorwein()
    print(f"{'energy':<20}{'smallest entry':>15}{'error':>9}")
    for title, energy in (
        ("learned", solver.energy),
        ("learned + penalty", solver.energy + Negative()),
    ):
        found = irem.minimize(energy, problem, descent=descent).y
        error = float((found - wanted).square().mean())
        print(f"{title:<20}{float(found.min()):>15.3f}{error:>9.1e}")


if __name__ == "__main__":
    main()
