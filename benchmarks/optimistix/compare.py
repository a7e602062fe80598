"""Problems that need from few to many steps, against optimistix (vmapped and compiled, on the CPU).

    python3 -m venv /tmp/optimistix
    /tmp/optimistix/bin/pip install -r benchmarks/optimistix/requirements.txt
    python benchmarks/optimistix/compare.py --python /tmp/optimistix/bin/python

Both sides descend the same problems (see `valleys.py`) from 0 by quasi-Newton methods, in float64
and in turns. Halting rules differ, so each side has the loosest tolerance, a power of ten, at which
the answers to problems drawn apart are as near to their minimisers as asked; the errors on those
that are timed are printed beside. Both keep to the same cores.
"""

from __future__ import annotations

import cProfile
import json
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

import valleys

import measuring
from irem_core import LBFGS, EnergyFn, GradientNorm, Solution, minimize
from measuring import Spread

NEAR, DRAWN_APART, MOST = 1e-3, 500, 20_000
TOLERANCES = [10.0**-power for power in range(1, 12)]
# Problems, unknowns, the steepest curvature, and what is compared.
CASES = {
    "10,000 of 100 unknowns": (10_000, 100, 1e3, ("lbfgs",)),
    "1,000 of 10 unknowns": (1_000, 10, 1e4, ("lbfgs", "bfgs")),
}
# Whose time a step's is, by the files and functions that are called for it; what the search
# evaluates is the energy's.
PARTS = {
    "energy and gradient": ("landscape.py:differentiate",),
    "direction": ("curvature.py:then", "curvature.py:among", "curvature.py:inverse"),
    "line search": ("ray_search.py:along",),
    "halting": ("halting.py:judge",),
}
Found = dict[str, Any]


class Valleys(EnergyFn):
    """The energy of `valleys.py`; x holds `curvature` and `minimiser`, `(B, n)` each."""

    def __init__(self, rotation: Tensor) -> None:
        super().__init__()
        self.register_buffer("rotation", rotation)

    def energy(self, context: Any, y: Tensor) -> Tensor:
        square = ((y - context["minimiser"]) @ self.get_buffer("rotation").mT).square()
        energy: Tensor = (context["curvature"] * square / 2 + square.square() / 4).sum(1)
        return energy


class Ours:
    """This library, with an energy that is compiled or not."""

    def __init__(self, file: Path, *, compiled: bool) -> None:
        arrays = {name: torch.as_tensor(each) for name, each in valleys.read(file).items()}
        self.energy = Valleys(arrays.pop("rotation"))
        self.x = arrays
        if compiled:
            self.energy.compile()

    def solve(self, method: str, tolerance: float) -> Found:
        """Solve once; `method` is that of the other side."""
        since = time.perf_counter()
        solution = self.run(tolerance)
        seconds = time.perf_counter() - since
        quantiles = solution.steps.double().quantile(torch.tensor([0.05, 0.5, 0.95, 1.0]).double())
        error = float((solution.y - self.x["minimiser"]).abs().max())
        return {"seconds": seconds, "error": error, "steps": quantiles.tolist()}

    def run(self, tolerance: float) -> Solution:
        """Descend from 0."""
        return minimize(
            self.energy,
            self.x,
            start=torch.zeros_like(self.x["minimiser"]),
            descent=LBFGS(),
            halting=GradientNorm(tolerance=tolerance),
            max_steps=MOST,
        )

    def profile(self, tolerance: float) -> dict[str, float]:
        """Return the share of the time that each part of a step takes."""
        profiler = cProfile.Profile()
        profiler.runcall(self.run, tolerance)
        stats = pstats.Stats(profiler)
        spent: dict[str, float] = {}
        for (file, _, name), (_, _, _, seconds, _) in stats.stats.items():  # type: ignore[attr-defined]
            for part, names in PARTS.items():
                if f"{Path(file).name}:{name}" in names:
                    spent[part] = spent.get(part, 0.0) + seconds
        spent["line search"] -= spent["energy and gradient"]
        whole = stats.total_tt  # type: ignore[attr-defined]
        shares = {part: seconds / whole for part, seconds in spent.items()}
        return {**shares, "the rest": 1 - sum(shares.values())}


@contextmanager
def theirs(python: str, file: Path) -> Iterator[Callable[[str, float], Found]]:
    """Start optimistix on the problems of a file, and yield what solves them once."""
    command = [python, str(Path(__file__).parent / "theirs.py"), str(file)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        asked, said = process.stdin, process.stdout
        assert asked is not None
        assert said is not None

        def solve(method: str, tolerance: float) -> Found:
            asked.write(json.dumps([method, tolerance]) + "\n")
            asked.flush()
            found: Found = json.loads(said.readline())
            return found

        yield solve
        asked.close()


def loosest(solve: Callable[[str, float], Found], method: str) -> float:
    """Return the loosest tolerance at which all answers are near their minimisers."""
    for tolerance in TOLERANCES:
        if solve(method, tolerance)["error"] <= NEAR:
            return tolerance
    sys.exit(f"{method} does not come within {NEAR} at any tolerance.")


def compare(title: str, folder: Path, options: Any) -> Found:
    """Measure one case."""
    count, size, steepest, methods = CASES[title]
    file, apart = folder / f"{size}.npz", folder / f"{size}-apart.npz"
    for name, many, seed in ((file, count, 0), (apart, min(DRAWN_APART, count), 1)):
        valleys.write(name, count=many, size=size, steepest=steepest, seed=seed)
    sides = {name: Ours(file, compiled=name == "compiled") for name in ("eager", "compiled")}
    ours = loosest(Ours(apart, compiled=False).solve, "lbfgs")
    sides["compiled"].solve("lbfgs", ours)
    found: Found = {"tolerance": ours, "profile": sides["eager"].profile(ours), "against": {}}
    print(title, {part: f"{share:.0%}" for part, share in found["profile"].items()})
    with theirs(options.python, file) as solve, theirs(options.python, apart) as solve_apart:
        for method in methods:
            tolerance = loosest(solve_apart, method)
            rounds = [
                {name: side.solve(method, ours) for name, side in sides.items()}
                | {"optimistix": solve(method, tolerance)}
                for _ in range(options.rounds)
            ]
            found["against"][method] = told(method, tolerance, rounds)
    return found


def told(method: str, tolerance: float, rounds: list[dict[str, Found]]) -> Found:
    """Print and return what the rounds of a comparison measured."""
    told: Found = {"tolerance": tolerance}
    for name in rounds[0]:
        seconds = Spread.of([each[name]["seconds"] for each in rounds])
        each = told[name] = {**rounds[0][name], "seconds": attrs.asdict(seconds)}
        steps = ", ".join(f"{number:.0f}" for number in each["steps"])
        print(f"  {name:12} {seconds:.3f} s, steps {steps}, error {each['error']:.1e}")
    for name in ("eager", "compiled"):
        ratio = Spread.of(
            [each["optimistix"]["seconds"] / each[name]["seconds"] for each in rounds]
        )
        told[name]["ratio"] = attrs.asdict(ratio)
        print(f"  optimistix {method} : {name} {ratio:.2f}", flush=True)
    return told


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(__doc__ or "", rounds=3)
    parser.add_argument("--python", required=True, help="of the environment that has optimistix")
    parser.add_argument("--only", choices=CASES, action="append", help="all if unset")
    options = measuring.parse(parser)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    machine = measuring.machine()
    with tempfile.TemporaryDirectory() as folder:
        cases = {each: compare(each, Path(folder), options) for each in options.only or CASES}
    measuring.write(options.json, {"machine": machine, "near": NEAR, "cases": cases})


if __name__ == "__main__":
    main()
