"""A cost that can be written down: learn where to begin, then descend the cost itself.

Two costs, a quadratic program in a box and the inverse kinematics of a planar arm, are learned from
questions alone. New questions are then answered from a learned start and, for comparison, from
random ones; scipy minimises the same costs. The arm can reach a point in several ways, of which
only one is best: descents from random starts find it in some of the cases only.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

import irem_core as irem

Cost = Callable[[Tensor, Tensor], Tensor]
SIZE, JOINTS = 6, 4
_DRAW = np.random.default_rng(0)
_HALF = _DRAW.normal(size=(SIZE, SIZE))
MATRIX = torch.from_numpy(_HALF @ _HALF.T / SIZE + 0.1 * np.eye(SIZE))


def program(x: Tensor, y: Tensor) -> Tensor:
    """y' (Q + diag d) y / 2 - c' y, where a question holds c and d."""
    c, d = x.split(SIZE, -1)
    energy: Tensor = ((y @ MATRIX.to(y)) * y / 2 + d * y * y / 2 - c * y).sum(-1)
    return energy


def arm(x: Tensor, y: Tensor) -> Tensor:
    """The squared distance of the hand to a point, and a little for each bent joint."""
    angle = y.cumsum(-1)
    hand = torch.stack([angle.cos().sum(-1), angle.sin().sum(-1)], -1)
    cost: Tensor = (hand - x).square().sum(-1) + 1e-2 * y.square().sum(-1)
    return cost


def questions(name: str, count: int, seed: int) -> NDArray[np.float64]:
    draw = np.random.default_rng(seed)
    if name == "program":
        return np.concatenate([draw.normal(size=(count, SIZE)), draw.random((count, SIZE))], 1)
    radius, angle = draw.uniform(0.5, 3.5, count), draw.uniform(-math.pi, math.pi, count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def by_scipy(cost: Cost, x: Tensor, start: Tensor, low: float, high: float) -> Tensor:
    """Return the minimum that scipy finds from a start."""

    def value(y: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        at = torch.from_numpy(y)[None].requires_grad_()
        found = cost(x[None], at)
        (slope,) = torch.autograd.grad(found.sum(), at)
        return float(found.detach()), slope[0].numpy()

    found = minimize(
        value,
        start.numpy(),
        jac=True,
        method="L-BFGS-B",
        bounds=[(low, high)] * len(start),
        options={"ftol": 0, "gtol": 1e-11, "maxiter": 5000},
    )
    return torch.from_numpy(found.x)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--iterations", type=int, default=2000, help="updates of the weights")
    parser.add_argument("--questions", type=int, default=5000, help="to learn from")
    parser.add_argument("--new", type=int, default=200, help="questions to answer")
    parser.add_argument("--starts", type=int, default=16, help="random ones of each question")
    options = parser.parse_args()
    kinds: dict[str, tuple[Cost, int, float, float]] = {
        "program": (program, SIZE, 0.0, 1.0),
        "arm": (arm, JOINTS, -2.5, 2.5),
    }
    columns = ("cost", "from", "evaluations", "best found", "distance to scipy")
    print("{:<9}{:<14}{:>12}{:>12}{:>19}".format(*columns))
    for name, (cost, entries, low, high) in kinds.items():
        done = irem.fit_pairs(
            questions(name, options.questions, 0),
            cost=cost,
            entries=entries,
            low=low,
            high=high,
            iterations=options.iterations,
        )
        solver = done.solver
        x = torch.from_numpy(questions(name, options.new, 1))
        draw = torch.Generator().manual_seed(0)
        shape = (options.starts, len(x), entries)
        starts = low + (high - low) * torch.rand(shape, generator=draw, dtype=torch.float64)
        learned = solver.solve(x)
        random = [solver.solve(x, start=start) for start in starts]
        best = torch.stack([cost(x, each.y) for each in (learned, *random)]).amin(0)
        for title, found in (("learned start", [learned]), ("random start", random)):
            evaluations = torch.stack([each.evaluations for each in found]).double().mean()
            reached = [cost(x, each.y) - best < 1e-7 for each in found]
            # Scipy begins a little off the answer, so that it finds the same minimum by itself.
            first = found[0].y
            near = first + 0.02 * torch.randn(first.shape, generator=draw, dtype=first.dtype)
            near = near.clamp(low, high)
            exact = torch.stack(
                [by_scipy(cost, *each, low, high) for each in zip(x, near, strict=True)]
            )
            distance = (first - exact).abs().amax(-1) / exact.abs().amax(-1).clamp(min=0.1)
            share = torch.stack(reached).double().mean()
            print(f"{name:<9}{title:<14}{evaluations:>12.1f}{share:>12.3f}{distance.max():>19.1e}")


if __name__ == "__main__":
    main()
