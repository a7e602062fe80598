"""Problems of one kind that need from few to many steps, as arrays that both sides read.

The energy is E(y) = sum_i c_i r_i^2 / 2 + r_i^4 / 4 with r = W (y - a): dense, since W is one
rotation of all unknowns, and lowest at a. The curvatures c go from 1 to a number that each problem
has for itself, log-uniform.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def write(file: Path, *, count: int, size: int, steepest: float, seed: int = 0) -> None:
    """Draw problems and save them.

    Args:
        file: where to, as .npz.
        count: how many.
        size: unknowns of each.
        steepest: the largest curvature that a problem may have.
        seed: of the draws.
    """
    random = np.random.default_rng(seed)
    rotation = np.linalg.qr(random.normal(size=(size, size)))[0]
    most = steepest ** random.random((count, 1))
    curvature = most ** np.linspace(0, 1, size)
    minimiser = random.uniform(-1, 1, (count, size))
    np.savez(file, rotation=rotation, curvature=curvature, minimiser=minimiser)


def read(file: Path) -> dict[str, Any]:
    """Read what was saved."""
    with np.load(file) as arrays:
        return dict(arrays)
