"""How many evaluations descents take to the minima of published test problems, beside scipy.

Every registered descent that follows gradients goes down every problem of `irem_core.testing.zoo`,
from the start that its source gives, until the energy is within 1e-8 of the minimum. Steps of a set
size are 1 / L long, where L is the steepest curvature that is known. An evaluation is of energy and
gradient together, and one of the energy alone counts as one too. Products with Hessians and
Jacobians are not counted, nor are scipy's Jacobians.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import torch
from scipy.optimize import Bounds, least_squares
from scipy.optimize import minimize as scipy_minimize
from torch import Tensor

import measuring
from halting import descents
from irem_core import Descent, EnergyError, EnergyFn, FixedSteps, minimize
from irem_core.testing.zoo import ZOO, KnownProblem

GOAL, MOST = 1e-8, 1_000
THEIRS = {
    "lbfgs": "scipy L-BFGS-B",
    "levenberg-marquardt": "scipy lm",
    "newton-cg": "scipy Newton-CG",
}
# What is said in place of a count.
REFUSED, ELSEWHERE, STOPPED, TOO_MANY = "refused", "elsewhere", "stopped", "too many"
Count = int | str


class Enough(Exception):
    """The energy came near enough to the minimum, or took too many evaluations."""


class Watching(EnergyFn):
    """The energy of a problem, which counts its evaluations and stops at the goal."""

    def __init__(self, problem: KnownProblem) -> None:
        super().__init__()
        self.asked = problem
        self.known = problem.energy
        self.goal = problem.minimum + GOAL * max(1.0, abs(problem.minimum))
        self.count, self.lowest = 0, float("inf")
        self.best = torch.tensor([problem.start], dtype=torch.float64)

    def energy(self, context: Any, y: Tensor) -> Tensor:
        energy = self.known.energy(context, y)
        self.seen(y, energy)
        return energy

    def residuals(self, context: Any, y: Tensor) -> Tensor | None:
        return self.known.residuals(context, y)

    def seen(self, y: Tensor, energy: Tensor) -> None:
        """Count an evaluation, and stop where nothing further is to be learned."""
        self.count += 1
        found = float(energy[0].detach())
        if found < self.lowest:
            self.lowest, self.best = found, y.detach().clone()
        if self.lowest <= self.goal or self.count >= MOST:
            raise Enough

    def said(self) -> Count:
        """Return the evaluations to the goal, or how it was missed."""
        if self.lowest <= self.goal:
            return self.count
        _, slope = self.both(self.best)
        ahead = self.asked.space.project(self.best - slope)
        still = float((ahead - self.best).abs().max()) <= 1e-4 * max(1.0, abs(self.lowest))
        return ELSEWHERE if still else STOPPED if self.count < MOST else TOO_MANY

    def both(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the energy and its gradient, uncounted."""
        y = y.detach().requires_grad_()
        energy = self.known.energy(None, y)
        (slope,) = torch.autograd.grad(energy.sum(), y)
        return energy.detach(), slope


def counted(problem: KnownProblem, run: Callable[[Watching], Any]) -> Count:
    """Return the evaluations that a run takes to the goal, or how it misses it."""
    watching = Watching(problem)
    try:
        run(watching)
    except Enough:
        pass
    except EnergyError:
        return REFUSED
    return watching.said()


def ours(known: KnownProblem, descent: Descent) -> Count:
    """Count the evaluations of a descent."""
    problem, start = known.batch()
    halting = FixedSteps(steps=MOST)
    return counted(
        known,
        lambda watching: minimize(
            watching, problem, start=start, descent=descent, halting=halting, max_steps=MOST
        ),
    )


def scipys(known: KnownProblem, method: str, **options: Any) -> Count:
    """Count the evaluations of a method of scipy's `minimize`."""
    settings: dict[str, Any] = {"method": method, "options": options}
    if known.low is not None or known.high is not None:
        low = -np.inf if known.low is None else known.low
        settings["bounds"] = Bounds(low, np.inf if known.high is None else known.high)
    if method == "Newton-CG":
        if "bounds" in settings:
            return REFUSED
        settings["hessp"] = lambda at, along: torch.autograd.functional.vhp(
            lambda y: known.energy.energy(None, y).sum(), torch.tensor(at[None]),
            torch.tensor(along[None]),
        )[1][0].numpy(force=True)  # fmt: skip

    def run(watching: Watching) -> None:
        def both(at: Any) -> Any:
            y = torch.tensor(at[None])
            energy, slope = watching.both(y)
            watching.seen(y, energy)
            return float(energy[0]), slope[0].numpy()

        scipy_minimize(both, np.array(known.start), jac=True, **settings)

    return counted(known, run)


def lm(known: KnownProblem) -> Count:
    """Count the evaluations of scipy's `least_squares` by MINPACK, where it takes the problem."""
    start = torch.tensor([known.start], dtype=torch.float64)
    residuals = known.energy.residuals(None, start)
    bounded = known.low is not None or known.high is not None
    if residuals is None or bounded or residuals.shape[1] < start.shape[1]:
        return REFUSED

    def run(watching: Watching) -> None:
        def function(at: Any) -> Any:
            y = torch.tensor(at[None])
            found = watching.known.residuals(None, y)
            assert found is not None
            watching.seen(y, found.square().sum(1))
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


def measured(known: KnownProblem, names: Collection[str]) -> dict[str, Count]:
    """Count the evaluations of every method on a problem; of all descents where none is named."""
    made: dict[str, Descent] = {}
    for name, descent in descents(known):
        if not names or name in names:
            made.setdefault(name, descent)
    every = [name for name, _ in descents(ZOO["rosenbrock"]) if not names or name in names]
    row = {name: ours(known, made[name]) if name in made else REFUSED for name in every}
    none = {"ftol": 0.0, "gtol": 0.0}
    row[THEIRS["lbfgs"]] = scipys(known, "L-BFGS-B", maxiter=MOST, maxfun=MOST, **none)
    row[THEIRS["levenberg-marquardt"]] = lm(known)
    row[THEIRS["newton-cg"]] = scipys(known, "Newton-CG", maxiter=MOST, xtol=1e-15)
    return row


def compared(problems: dict[str, dict[str, Count]]) -> dict[str, Any]:
    """Compare each descent that scipy has too, on the problems that both take."""
    found: dict[str, Any] = {}
    for name, other in THEIRS.items():
        pairs = [(row[name], row[other]) for row in problems.values()]
        both = [pair for pair in pairs if REFUSED not in pair]
        ratios = [a / b for a, b in both if isinstance(a, int) and isinstance(b, int)]
        found[name] = {
            "to": other,
            "ratio": statistics.median(ratios),
            "problems": len(both),
            "failures": [
                sum(isinstance(each, str) for each in side) for side in zip(*both, strict=True)
            ],
        }
    return found


def measure(names: Collection[str]) -> dict[str, Any]:
    """Count the evaluations of every method on every problem."""
    problems: dict[str, dict[str, Count]] = {}
    for name, known in ZOO.items():
        problems[name] = measured(known, names)
        print(f"{name:24}", problems[name], flush=True)
    found = compared(problems)
    for name, each in found.items():
        print(name, each)
    return {"goal": GOAL, "most": MOST, "problems": problems, "compared": found}


def main() -> None:
    """Count and print."""
    parser = measuring.parser(__doc__ or "", rounds=1)
    parser.add_argument("--only", action="append", default=[], help="a descent; all if unset")
    options = measuring.parse(parser)
    machine = measuring.machine()
    names = {*options.only, *THEIRS} if options.only else set()
    measuring.write(options.json, {"machine": machine, **measure(names)})


if __name__ == "__main__":
    main()
