"""A hand-written energy, minimised by every built-in descent without any training.

E(x, y) = y.Ay / 2 - x.y is lowest where A y = x, so the answers can be checked: each descent is
compared with the solution of the linear system, on eight problems at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

import irem_core as irem

DESCENTS = (
    irem.GradientDescent(step_size=0.4),
    irem.Momentum(step_size=0.2, momentum=0.7),
    irem.Nesterov(step_size=0.2, momentum=0.7),
    irem.Adam(step_size=0.05),
    irem.BarzilaiBorwein(),
    irem.Backtracking(),
)


class Quadratic(irem.EnergyFn):
    """The energy whose minimum solves A y = x. The one method to write is `energy`."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix)

    def energy(self, context: Tensor, y: Tensor) -> Tensor:
        return (0.5 * y * (y @ self.get_buffer("matrix")) - context * y).sum(-1)


def main() -> None:
    neighbours = torch.ones(15).diag(1) + torch.ones(15).diag(-1)
    matrix = (2.5 * torch.eye(16) - neighbours).double()
    x = torch.randn(8, 16, generator=torch.Generator().manual_seed(0)).double()
    exact = torch.linalg.solve(matrix, x.T).T
    energy, halting = Quadratic(matrix), irem.GradientNorm(tolerance=1e-6)

    print(f"{'descent':<17}{'steps':>6}{'evaluations':>13}  {'outcome':<12}{'error':>9}")
    for descent in DESCENTS:
        start = torch.zeros_like(x)
        found = irem.minimize(energy, x, start=start, descent=descent, halting=halting)
        steps, evaluations = int(found.steps.max()), int(found.evaluations.max())
        outcome = irem.Outcome(int(found.outcome.max())).name.lower()
        error = float((found.y - exact).abs().max())
        name = type(descent).__name__
        print(f"{name:<17}{steps:>6}{evaluations:>13}  {outcome:<12}{error:>9.1e}")


if __name__ == "__main__":
    main()
