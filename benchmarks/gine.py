"""The two paths of the GINE energy: dense for complete graphs, and torch-geometric's as it is.

One evaluation of energy and gradient, and one training iteration with the paper's settings, on
shortest paths in graphs of 2 to 10 nodes. Rounds of both paths alternate in one process, so that
whatever slows the machine down slows both.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import attrs
import torch
from torch import Tensor

import measuring
from irem_core import IREM, GINEEnergy, Iterate, Problem, Task, differentiate, load_task
from measuring import Spread

PATHS = ("complete", "edges")
WARM_UP = 3


@attrs.define
class Side:
    """A path of the energy: a solver that trains with it, and the seconds that this takes.

    Args:
        solver: of the paper's settings.
        optimizer: of its weights.
        task: what it trains on.
        batch: fresh problems of an iteration.
        generator: of problems and starts; the same numbers for both paths.
        evaluation: seconds of an evaluation, a number per round.
        iteration: seconds of a training iteration, likewise.
    """

    solver: IREM
    optimizer: torch.optim.Optimizer
    task: Task
    batch: int
    generator: torch.Generator
    evaluation: list[float] = attrs.field(factory=list)
    iteration: list[float] = attrs.field(factory=list)

    @classmethod
    def of(cls, path: str, task: Task) -> Side:
        """Make the paper's solver around a path; both paths get the same weights."""
        preset = IREM.presets["paper"](task.question, task.answer)
        solver = IREM(GINEEnergy.for_task(task, path=path), **preset.solver)
        learning_rate = preset.training["learning_rate"]
        return cls(
            solver=solver,
            optimizer=torch.optim.Adam(solver.parameters(), lr=learning_rate, fused=True),
            task=task,
            batch=preset.training["batch_size"],
            generator=torch.Generator().manual_seed(0),
        )

    def train(self) -> None:
        """Do what an iteration of `fit` does: draw, descend, go back through the last step."""
        problem, target = self.task.sample(self.batch, generator=self.generator)
        self.optimizer.zero_grad(set_to_none=True)
        self.solver.loss(problem, target, self.generator).backward()
        self.optimizer.step()

    def evaluator(self, problem: Problem, y: Tensor) -> Callable[[], Iterate]:
        """Return what computes the energies of candidates and their gradient in them."""
        energy, at = self.solver.energy, Iterate(y, problem.layout)
        context = energy.encode(problem)
        return lambda: differentiate(energy, context, at).slope


def seconds(work: Callable[[], Any], repetitions: int) -> float:
    """Return the mean seconds of a call."""
    since = time.perf_counter()
    for _ in range(repetitions):
        work()
    return (time.perf_counter() - since) / repetitions


def measure(rounds: int, repetitions: int) -> tuple[dict[str, Side], float]:
    """Measure both paths, `rounds` times each.

    Returns:
        The measurements by path, and how far their gradients differ, as a share of the largest.
    """
    task = load_task("shortest-path")
    sides = {path: Side.of(path, task) for path in PATHS}
    generator = torch.Generator().manual_seed(1)
    problem, _ = task.sample(sides[PATHS[0]].batch, generator=generator)
    y = task.answer.start(problem.layout, generator)
    evaluators = {path: side.evaluator(problem, y) for path, side in sides.items()}
    dense, listed = (evaluators[path]().y for path in PATHS)
    for path, side in sides.items():
        seconds(evaluators[path], WARM_UP)
        seconds(side.train, WARM_UP)
    for _ in range(rounds):
        for path, side in sides.items():
            side.evaluation.append(seconds(evaluators[path], 5 * repetitions))
        for side in sides.values():
            side.iteration.append(seconds(side.train, repetitions))
    return sides, float((dense - listed).abs().max() / listed.abs().max())


def report(sides: dict[str, Side], difference: float) -> dict[str, Any]:
    """Print the figures and return them for JSON."""
    batch = sides[PATHS[0]].batch
    rows = {
        "evaluation": f"energy and gradient, {batch} graphs",
        "iteration": f"training iteration, {batch} + {batch // 2} graphs",
    }
    print("Milliseconds, medians of rounds (and their range):")
    print(f"{'':40}{'complete':>24}{'edges':>24}{'edges : complete':>24}")
    figures: dict[str, Any] = {
        "torch-geometric": version("torch-geometric"),
        "batch": batch,
        "gradients_differ_by": difference,
    }
    for name, title in rows.items():
        dense, listed = (getattr(sides[path], name) for path in PATHS)
        ratio = Spread.of([slow / fast for fast, slow in zip(dense, listed, strict=True)])
        shown = [Spread.of([1e3 * each for each in side]) for side in (dense, listed)]
        cells = [f"{each:.1f}" for each in shown] + [f"{ratio:.2f}"]
        print(f"{title:40}" + "".join(f"{cell:>24}" for cell in cells))
        figures[name] = {
            "complete_seconds": attrs.asdict(Spread.of(dense)),
            "edges_seconds": attrs.asdict(Spread.of(listed)),
            "ratio": attrs.asdict(ratio),
        }
    print(f"Their gradients differ by {difference:.1g} of the largest.")
    return figures


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(__doc__ or "", rounds=10)
    parser.add_argument("--updates", type=int, default=10, help="training iterations of a round")
    options = measuring.parse(parser)
    machine = measuring.machine()
    figures = report(*measure(options.rounds, options.updates))
    measuring.write(options.json, {"machine": machine, **figures})


if __name__ == "__main__":
    main()
