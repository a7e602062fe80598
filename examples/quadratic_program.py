"""Learn where small quadratic programs with bounds have their minimum, from pairs alone."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

from irem_core import evaluate, fit_pairs


def pairs(count: int, *, size: int = 6, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return coefficients and minimisers.

    A question is c and d, of `size` numbers each, and its answer the y between 0 and 1 that
    minimises y' (Q + diag d) y / 2 - c' y, where Q is the same for all.
    """
    draw = np.random.default_rng(seed)
    mixing = draw.normal(size=(2 * size, size)) / np.sqrt(2 * size)
    c, d = draw.normal(size=(count, size)), draw.uniform(0.1, 1.0, size=(count, size))
    answers = []
    for linear, diagonal in zip(c, d, strict=True):
        # With H = L L' the program is that of least squares, |L' y - L^-1 c|^2 / 2.
        root = np.linalg.cholesky(mixing.T @ mixing + np.diag(diagonal))
        found = lsq_linear(root.T, np.linalg.solve(root, linear), bounds=(0, 1), tol=1e-10)
        answers.append(found.x)
    return np.concatenate([c, d], 1), np.array(answers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5000, help="how many to learn from")
    parser.add_argument("--size", type=int, default=6, help="variables of a program")
    parser.add_argument("--iterations", type=int, help="the default of irem train if unset")
    parser.add_argument("--seed", type=int, default=0, help="of programs and weights")
    parser.add_argument("--file", help="only write the pairs to this .npz file, for irem train")
    options = parser.parse_args()

    x, y = pairs(options.pairs, size=options.size, seed=options.seed)
    if options.file:
        np.savez(options.file, x=x, y=y)
        return
    training = {} if options.iterations is None else {"iterations": options.iterations}
    done = fit_pairs(x, y, seed=options.seed, **training)
    scores, floor = evaluate(done.solver, done.task), done.task.floor("same")
    print(f"trained on {options.pairs} pairs for {done.seconds / 60:.1f} minutes")
    print(
        f"held-out pairs: error {scores.mse:.5f}, linear regression {floor.linear:.5f}, "
        f"constant {floor.constant:.5f}"
    )
    print(
        f"R2 {scores.measures['r2']:.4f}, AUROC of the worst tenth {scores.worst_tenth_auroc:.3f}"
    )

    asked = torch.tensor(x[:5], dtype=torch.float32)
    solution = done.solver.solve(asked)
    errors = (solution.y - torch.tensor(y[:5], dtype=torch.float32)).square().mean(1)
    assert solution.energy is not None
    for steps, energy, error in zip(solution.steps, solution.energy, errors, strict=True):
        print(f"{int(steps)} steps, energy {energy:.4f}, error {error:.5f}")


if __name__ == "__main__":
    main()
