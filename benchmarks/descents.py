"""How many evaluations descents take to the minima of published test problems, beside scipy.

Each problem of `irem_core.testing.zoo` that is smooth is descended from its source's start until
the energy is within 1e-8 of the minimum. An evaluation is of energy and gradient together, and one
of the energy alone counts as one too. Products with Hessians and Jacobians are not counted, nor are
scipy's Jacobians.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.optimize import Bounds, least_squares
from scipy.optimize import minimize as scipy_minimize
from torch import Tensor

import measuring
from irem_core import EnergyError, EnergyFn, GradientNorm, build, minimize
from irem_core.testing.zoo import ZOO, KnownProblem

GOAL, MOST = 1e-8, 2_000
DESCENTS = ("lbfgs", "levenberg_marquardt", "newton_cg", "anderson", "barzilai_borwein")
THEIRS = {"lbfgs": "L-BFGS-B", "levenberg_marquardt": "least_squares (lm)"}


class Enough(Exception):
    """The energy came near enough to the minimum, or took too many evaluations."""


class Watching(EnergyFn):
    """The energy of a problem, which counts its evaluations and stops at the goal."""

    def __init__(self, problem: KnownProblem) -> None:
        super().__init__()
        self.known = problem.energy
        self.goal = problem.minimum + GOAL * max(1.0, abs(problem.minimum))
        self.count, self.reached = 0, False

    def energy(self, context: Any, y: Tensor) -> Tensor:
        energy = self.known.energy(context, y)
        self.seen(float(energy[0].detach()))
        return energy

    def residuals(self, context: Any, y: Tensor) -> Tensor | None:
        return self.known.residuals(context, y)

    def seen(self, energy: float) -> None:
        """Count an evaluation, and stop where nothing further is to be learned."""
        self.count += 1
        self.reached = energy <= self.goal
        if self.reached or self.count >= MOST:
            raise Enough


def counted(problem: KnownProblem, run: Callable[[Watching], Any]) -> int | None:
    """Return the evaluations that a run takes to the goal; None where it does not get there."""
    watching = Watching(problem)
    try:
        run(watching)
    except Enough:
        pass
    except EnergyError:
        return None
    return watching.count if watching.reached else None


def ours(descent: str) -> Callable[[KnownProblem], int | None]:
    """Return what counts the evaluations of a descent."""

    def run(watching: Watching, known: KnownProblem) -> None:
        problem, start = known.batch()
        halting = GradientNorm(tolerance=0.0)
        made = build("irem.descents", descent)
        minimize(watching, problem, start=start, descent=made, halting=halting, max_steps=MOST)

    return lambda known: counted(known, lambda watching: run(watching, known))


def lbfgsb(known: KnownProblem) -> int | None:
    """Count the evaluations of scipy's L-BFGS-B."""
    bounds = Bounds(
        -np.inf if known.low is None else known.low, np.inf if known.high is None else known.high
    )

    def run(watching: Watching) -> None:
        def both(at: Any) -> Any:
            y = torch.tensor(at[None], requires_grad=True)
            energy = watching.known.energy(None, y)
            energy.sum().backward()
            watching.seen(float(energy[0].detach()))
            assert y.grad is not None
            return float(energy[0].detach()), y.grad[0].numpy()

        options = {"maxiter": MOST, "maxfun": MOST, "ftol": 0.0, "gtol": 0.0}
        start = np.array(known.start)
        settings: Any = {"jac": True, "method": "L-BFGS-B", "bounds": bounds, "options": options}
        scipy_minimize(both, start, **settings)

    return counted(known, run)


def lm(known: KnownProblem) -> int | None:
    """Count the evaluations of scipy's `least_squares` by MINPACK; None for what it cannot take."""
    start = torch.tensor([known.start], dtype=torch.float64)
    residuals = known.energy.residuals(None, start)
    bounded = known.low is not None or known.high is not None
    if residuals is None or bounded or residuals.shape[1] < start.shape[1]:
        return None

    def run(watching: Watching) -> None:
        def function(at: Any) -> Any:
            found = watching.known.residuals(None, torch.tensor(at[None]))
            assert found is not None
            watching.seen(float(found.square().sum()))
            return found[0].numpy()

        def jacobian(at: Any) -> Any:
            found = torch.autograd.functional.jacobian(
                lambda y: watching.known.residuals(None, y), torch.tensor(at[None])
            )
            return found[0, :, 0].numpy()

        least_squares(
            function, np.array(known.start), jac=jacobian, method="lm", max_nfev=MOST,
            xtol=1e-15, ftol=1e-15, gtol=1e-15,
        )  # fmt: skip

    return counted(known, run)


def measure() -> dict[str, Any]:
    """Count the evaluations of every method on every problem."""
    methods = {name: ours(name) for name in DESCENTS}
    methods |= {THEIRS["lbfgs"]: lbfgsb, THEIRS["levenberg_marquardt"]: lm}
    problems: dict[str, Any] = {}
    for name, known in ZOO.items():
        if known.smooth:
            problems[name] = {each: count(known) for each, count in methods.items()}
            print(f"{name:24}", problems[name])
    ratios = {
        name: statistics.median(
            row[name] / row[other] for row in problems.values() if row[name] and row[other]
        )
        for name, other in THEIRS.items()
    }
    failures = {
        each: sum(row[each] is None for row in problems.values())
        for each in (*DESCENTS, THEIRS["lbfgs"])
    }
    print(f"median ratio to scipy: {ratios}; failures of {len(problems)}: {failures}")
    return {"goal": GOAL, "most": MOST, "problems": problems, "ratios": ratios}


def main() -> None:
    """Count and print."""
    options = measuring.parse(measuring.parser(__doc__ or "", rounds=1))
    machine = measuring.machine()
    measuring.write(options.json, {"machine": machine, **measure()})


if __name__ == "__main__":
    main()
