"""The side of optimistix: for each line read, which names a method and a tolerance, solve once.

`compare.py` runs it with the Python of an environment that has `requirements.txt`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import valleys

import optimistix

MOST = 20_000

jax.config.update("jax_enable_x64", True)


def energy(y: Any, problem: Any) -> Any:
    """Return the energy of one problem."""
    rotation, curvature, minimiser = problem
    r = rotation @ (y - minimiser)
    return jnp.sum(curvature * r**2 / 2 + r**4 / 4)


def solver(method: str, tolerance: float) -> Any:
    """Make a method of optimistix."""
    both = {"rtol": tolerance, "atol": tolerance}
    if method == "lbfgs":
        return optimistix.LBFGS(**both, history_length=10)
    return optimistix.BFGS(**both)


def program(method: str, tolerance: float) -> Any:
    """Return a compiled function that solves a batch."""
    made = solver(method, tolerance)

    def solve(rotation: Any, curvature: Any, minimiser: Any) -> Any:
        found = optimistix.minimise(
            energy,
            made,
            jnp.zeros_like(minimiser),
            (rotation, curvature, minimiser),
            max_steps=MOST,
            throw=False,
        )
        return found.value, found.stats["num_steps"]

    return jax.jit(jax.vmap(solve, in_axes=(None, 0, 0)))


def main() -> None:
    """Read requests and answer each with a line of JSON."""
    arrays = valleys.read(Path(sys.argv[1]))
    given = [jnp.asarray(arrays[name]) for name in ("rotation", "curvature", "minimiser")]
    programs: dict[tuple[str, float], Any] = {}
    for line in sys.stdin:
        method, tolerance = json.loads(line)
        key = (method, tolerance)
        if key not in programs:
            programs[key] = program(method, tolerance)
            jax.block_until_ready(programs[key](*given))
        since = time.perf_counter()
        answers, steps = jax.block_until_ready(programs[key](*given))
        seconds = time.perf_counter() - since
        error = float(np.abs(np.asarray(answers) - arrays["minimiser"]).max())
        quantiles = np.quantile(np.asarray(steps), [0.05, 0.5, 0.95, 1.0]).tolist()
        print(json.dumps({"seconds": seconds, "error": error, "steps": quantiles}), flush=True)


if __name__ == "__main__":
    main()
