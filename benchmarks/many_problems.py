"""Many small problems in one batch, against a loop over scipy.

Each smooth problem of `irem_core.testing.zoo` is descended from 10,000 starts around that of its
source, in one call of `minimize` by L-BFGS, until the norm of the gradient is at most 1e-6. The
loop calls scipy's L-BFGS-B for some of these starts, with the same energy and its gradient, until
no entry of the gradient is larger, and its time is scaled up. For Rosenbrock's functions it is
measured with scipy's own `rosen` and `rosen_der` as well, which need no torch.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import torch
from scipy.optimize import Bounds, rosen, rosen_der
from scipy.optimize import minimize as scipy_minimize
from torch import Tensor

import measuring
from irem_core import LBFGS, GradientNorm, minimize
from irem_core.testing.zoo import ZOO, KnownProblem
from measuring import Spread

TOLERANCE, GOAL, MOST = 1e-6, 1e-8, 500
BY_SCIPY = {"rosenbrock", "chained-rosenbrock"}
Both = Callable[[Any], Any]


def by_torch(known: KnownProblem) -> Both:
    """Return what gives scipy the energy and its gradient."""

    def both(at: Any) -> Any:
        y = torch.from_numpy(at[None]).requires_grad_()
        energy = known.energy.energy(None, y)
        (slope,) = torch.autograd.grad(energy, y)
        return energy.item(), slope[0].numpy()

    return both


def by_scipy(at: Any) -> Any:
    """Return Rosenbrock's function and its gradient."""
    return rosen(at), rosen_der(at)


def batch(known: KnownProblem, problem: Any, start: Tensor) -> tuple[float, Tensor]:
    """Solve all problems at once; return the seconds and the energies."""
    since = time.perf_counter()
    halting = GradientNorm(tolerance=TOLERANCE)
    found = minimize(
        known.energy, problem, start=start, descent=LBFGS(), halting=halting, max_steps=MOST
    )
    assert found.energy is not None
    return time.perf_counter() - since, found.energy


def loop(known: KnownProblem, both: Both, starts: Any) -> tuple[float, Tensor]:
    """Solve one problem after the other; return the seconds and the energies."""
    low = -np.inf if known.low is None else known.low
    bounds = Bounds(low, np.inf if known.high is None else known.high)
    options = {"maxiter": MOST, "ftol": 0.0, "gtol": TOLERANCE}
    settings: Any = {"jac": True, "method": "L-BFGS-B", "bounds": bounds, "options": options}
    since = time.perf_counter()
    energies = [scipy_minimize(both, each, **settings).fun for each in starts]
    return time.perf_counter() - since, torch.tensor(energies)


def compare(name: str, options: Any) -> dict[str, Any]:
    """Measure one problem, in turns."""
    known = ZOO[name]
    problem, start = known.batch(options.problems)
    starts, scale = start[: options.sample].numpy(), options.problems / options.sample
    loops = {"torch": by_torch(known)} | ({"scipy": by_scipy} if name in BY_SCIPY else {})
    goal = known.minimum + GOAL * max(1.0, abs(known.minimum))
    ours, theirs = [], {each: [] for each in loops}  # type: ignore[var-annotated]
    for _ in range(options.rounds):
        seconds, energies = batch(known, problem, start)
        ours.append(seconds)
        for each, both in loops.items():
            seconds, others = loop(known, both, starts)
            theirs[each].append(seconds * scale)
    ratios = {
        each: Spread.of([other / own for other, own in zip(seconds, ours, strict=True)])
        for each, seconds in theirs.items()
    }
    reached = [float((each <= goal).double().mean()) for each in (energies, others)]
    told = ", ".join(f"{ratio:.1f} by {each}" for each, ratio in ratios.items())
    print(f"{name:22} {Spread.of(ours):.2f} s, scipy : ours {told}; reached", reached, flush=True)
    return {
        "seconds": attrs.asdict(Spread.of(ours)),
        "ratio": {each: attrs.asdict(ratio) for each, ratio in ratios.items()},
        "reached": reached,
    }


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(__doc__ or "", rounds=3)
    parser.add_argument("--problems", type=int, default=10_000, help="in a batch")
    parser.add_argument("--sample", type=int, default=200, help="of them, for the loop")
    smooth = [name for name, known in ZOO.items() if known.smooth]
    parser.add_argument("--only", choices=smooth, action="append", help="all if unset")
    options = measuring.parse(parser)
    machine = measuring.machine()
    found = {name: compare(name, options) for name in options.only or smooth}
    median = statistics.median(each["ratio"]["torch"]["median"] for each in found.values())
    print(f"median ratio {median:.1f}")
    settings = {"problems": options.problems, "sample": options.sample}
    measuring.write(options.json, {"machine": machine, **settings, "median": median, "zoo": found})


if __name__ == "__main__":
    main()
