"""Share out money under constraints: thousands of portfolios at once, each with prices of its own.

A question is what assets are expected to earn. The answer is how to share 1 among them, none less
than 0, so that the risk is least while the earnings reach a goal that is part of the question. The
last problem asks for more than any share of these assets earns; it is said to be infeasible.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

import irem_core as irem

Question = dict[str, Tensor]


class Risk(irem.EnergyFn):
    """E = y' C y / 2, the variance of what the shares y earn."""

    def __init__(self, covariance: Tensor) -> None:
        super().__init__()
        self.register_buffer("covariance", covariance)
        # Shares of a whole are a space of their own, which descents never leave.
        self.answer = irem.SimplexSpace(len(covariance))

    def energy(self, context: Question, y: Tensor) -> Tensor:
        return ((y @ self.get_buffer("covariance")) * y).sum(-1) / 2


def missing(x: Question, y: Tensor) -> Tensor:
    """Return what is missing to the goal, which is to be at most 0."""
    return x["goal"] - (x["earnings"] * y).sum(-1)


def questions(count: int, assets: int, generator: torch.Generator) -> Question:
    earnings = torch.rand(count, assets, generator=generator, dtype=torch.float64)
    goal = earnings.mean(1) + 0.3 * torch.rand(count, generator=generator, dtype=torch.float64)
    goal[-1] = 1.1
    return {"earnings": earnings, "goal": goal}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--problems", type=int, default=1000, help="how many are solved")
    parser.add_argument("--assets", type=int, default=8, help="among how many each shares out")
    options = parser.parse_args()

    generator = torch.Generator().manual_seed(0)
    root = torch.randn(options.assets, options.assets, generator=generator, dtype=torch.float64)
    risk = Risk(root @ root.mT / options.assets)
    x = questions(options.problems, options.assets, generator)

    solver = irem.constrained(risk, at_most=missing, tolerance=1e-6)
    found = solver.minimize(x, descent=irem.BarzilaiBorwein())
    for outcome in irem.Outcome:
        chosen = found.outcome == outcome
        if bool(chosen.any()):
            print(
                f"{int(chosen.sum()):5} {outcome.name.lower():<12} violation at most "
                f"{float(found.violation[chosen].max()):.1e}, "
                f"{float(found.rounds[chosen].double().mean()):.1f} rounds"
            )
    print(f"shares of problem 0: {', '.join(f'{share:.3f}' for share in found.y[0])}")
    print(
        f"a goal higher by .01 would cost it a risk of {float(found.multipliers[0, 0]) / 100:.1e}"
    )


if __name__ == "__main__":
    main()
