"""What halting rules say on the zoo of test problems, and whether it is true.

Every registered descent walks on every problem that it serves, from several starts and with several
step sizes. The rules are asked of the same steps. An answer that is called converged and then moves
by more than ten times the tolerance of `Settled` in the steps after is a false one.

Then the energies of some of the library's tasks, as one would write them, are descended until
either rule halts, and the evaluations are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import torch
from torch import Tensor

import measuring
from irem_core import (
    LBFGS,
    BarzilaiBorwein,
    Descent,
    EnergyFn,
    EnergyPlateau,
    Outcome,
    Settled,
    load_task,
    minimize,
)
from irem_core.registry import DESCENTS, plugins
from irem_core.testing.zoo import ZOO, KnownProblem, SquaresEnergy, Watched, steepness, watch

RULES = {"settled": Settled(), "energy-plateau": EnergyPlateau()}
ADAM = (0.3, 0.05)
SHARES = (1.0, 0.1)
BATCH, MOST = 32, 400


class Written(EnergyFn):
    """An energy as one would write it, the square of what an answer leaves over.

    Args:
        residual: returns it, `(B, ...)`, of x and y.
    """

    def __init__(self, residual: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.residual = residual

    def energy(self, context: Tensor, y: Tensor) -> Tensor:
        energy: Tensor = self.residual(context, y).square().flatten(1).sum(1)
        return energy


def unsolved(x: Tensor, y: Tensor) -> Tensor:
    """Return what an answer to a linear system leaves over."""
    rows = y.shape[1]
    sides: Tensor = (x[:, : rows**2].unflatten(1, (rows, rows)) @ y[..., None])[..., 0]
    return sides - x[:, rows**2 :]


def uninverted(x: Tensor, y: Tensor) -> Tensor:
    """Return by how much x y is not the identity."""
    left: Tensor = x @ y - torch.eye(len(x[0]))
    return left


def unaligned(x: Tensor, y: Tensor) -> Tensor:
    """Return how far y is from an eigenvector of x, and its length from 1."""
    along = (x @ y[..., None])[..., 0]
    share = (y * along).sum(1, keepdim=True)
    return torch.cat([along - share * y, y.square().sum(1, keepdim=True) - 1], 1)


TASKS: dict[str, EnergyFn | None] = {
    "linear-system": Written(unsolved),
    "matrix-inverse": Written(uninverted),
    "eigenvector": Written(unaligned),
    "square": Written(lambda x, y: y - x @ x / 5),
    "add": Written(lambda x, y: y - sum(x.chunk(2, 1))),
    # Its own.
    "sat": None,
}


def descents(known: KnownProblem) -> Iterator[tuple[str, Descent]]:
    """Yield every registered descent that follows gradients, with steps that suit a problem."""
    steep = steepness(known)
    for plugin in plugins(DESCENTS):
        name, kind = plugin.name, plugin.load()
        serves = name != "levenberg-marquardt" or isinstance(known.energy, SquaresEnergy)
        if not (kind.needs_gradient and serves):
            continue
        sized = "step_size" in {field.name for field in attrs.fields(kind)}
        sizes = ADAM if name == "adam" else [share / steep for share in SHARES]
        for size in sizes if sized else [None]:
            yield name, kind() if size is None else kind(step_size=size)
        if name == "barzilai-borwein":
            yield name, kind(memory=1)


def tally(watched: list[Watched]) -> dict[str, Any]:
    """Count what a rule said, how much of it is false, and what it cost."""
    said = Counter(Outcome(each).name for one in watched for each in one.outcome.tolist())
    return {
        "outcomes": dict(sorted(said.items())),
        "false": sum(int(one.false().sum()) for one in watched),
        "evaluations": sum(int(one.evaluations.sum()) for one in watched),
    }


def measure(options: Any) -> dict[str, Any]:
    """Watch all rules on all descents of all problems, in single and in double precision."""
    found: dict[str, dict[str, list[Watched]]] = {}
    for title, known in ZOO.items():
        for name, descent in descents(known):
            for dtype in (torch.float32, torch.float64):
                watched = watch(
                    known,
                    descent,
                    list(RULES.values()),
                    count=options.starts,
                    steps=options.steps,
                    onward=options.onward,
                    dtype=dtype,
                )
                for rule, one in zip(RULES, watched, strict=True):
                    found.setdefault(name, {}).setdefault(rule, []).append(one)
                tell(title, descent, watched[0])
        print(f"{title} done", flush=True)
    return {name: tallied(rules) for name, rules in found.items()}


def tallied(rules: dict[str, list[Watched]]) -> dict[str, Any]:
    """Count what each rule said of one descent, and what it cost where the paper's is not false."""
    counted: dict[str, Any] = {rule: tally(each) for rule, each in rules.items()}
    for one, other in zip(*rules.values(), strict=True):
        fair = (other.outcome == Outcome.CONVERGED) & ~other.false()
        for rule, watched in zip(rules, (one, other), strict=True):
            fairly = int(watched.evaluations[fair].sum())
            counted[rule]["fairly"] = counted[rule].get("fairly", 0) + fairly
    return counted


def spend() -> dict[str, dict[str, dict[str, float]]]:
    """Count the evaluations that tasks' energies take until each rule halts, one problem each."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, written in TASKS.items():
        task = load_task(name)
        problem, _ = task.sample(BATCH, "harder", generator=torch.Generator().manual_seed(0))
        energy: Any = written or task.energy()
        for descent in (BarzilaiBorwein(), LBFGS()):
            for rule, halting in RULES.items():
                solution = minimize(
                    energy, problem, descent=descent, halting=halting, max_steps=MOST
                )
                label = f"{name}, {type(descent).__name__}"
                found.setdefault(label, {})[rule] = {
                    "evaluations": float(solution.evaluations.double().mean()),
                    "energy": float(energy(problem, solution.y).detach().mean()),
                    "converged": int((solution.outcome == Outcome.CONVERGED).sum()),
                }
    return found


def tell(title: str, descent: Descent, watched: Watched) -> None:
    """Print which answers were falsely called converged by the first rule."""
    for row in watched.false().nonzero().squeeze(1).tolist():
        print(
            f"false: {descent} on {title} in {watched.answer.dtype}, start {row}, after "
            f"{int(watched.steps[row])} steps: moved {float(watched.moved[row]):.1e}"
        )


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(__doc__ or "", rounds=1)
    parser.add_argument("--starts", type=int, default=8, help="of each problem and descent")
    parser.add_argument("--steps", type=int, default=300, help="for which rules are asked")
    parser.add_argument("--onward", type=int, default=200, help="steps after an answer")
    options = measuring.parse(parser)
    machine = measuring.machine()
    found = measure(options)
    tasks = spend()
    for name, rules in found.items():
        for rule, each in rules.items():
            print(f"{name:20}{rule:16}{each}")
    for name, spent in tasks.items():
        print(f"{name:32}{spent}")
    settings = {name: getattr(options, name) for name in ("starts", "steps", "onward")}
    measuring.write(
        options.json,
        {"machine": machine, "problems": len(ZOO), **settings, "descents": found, "tasks": tasks},
    )


if __name__ == "__main__":
    main()
