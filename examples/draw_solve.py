"""Draw how a trained run solves: energy and error by step, for problems of two difficulties.

    python examples/draw_solve.py runs/add-irem-0 solve.png

The colours are of medium lightness on a transparent ground, to be read on white and on black.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from irem_core import FixedSteps, Solver, Task, load
from irem_core.runs.checkpoint import read_metadata
from irem_core.runs.description import rebuild

INK = "#808890"
COLOURS = ("#2f8fd8", "#e07b39")


def follow(solver: Solver, task: Task, difficulty: str, steps: int) -> tuple[Tensor, Tensor]:
    """Return energies and mean squared errors by problem and step, `(problems, steps + 1)`."""
    problem, exact = task.sample(6, difficulty, generator=torch.Generator().manual_seed(1))
    solution = solver.solve(
        problem,
        max_steps=steps,
        halting=FixedSteps(steps=steps),
        record=("energy", "y"),
    )
    energies, errors = [], []
    for index, answer in enumerate(exact):
        assert solution.trace is not None
        trace = solution.trace.of(index)
        assert trace.energy is not None
        assert trace.y is not None
        energies.append(trace.energy)
        errors.append((trace.y - answer).square().flatten(1).mean(1))
    return torch.stack(energies), torch.stack(errors)


def plain(axes: Axes, title: str) -> None:
    axes.set_title(title, color=INK, fontsize=11, loc="left")
    axes.set_xlabel("step", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(colors=INK, which="both")
    axes.grid(color=INK, alpha=0.25, linewidth=0.5)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", type=Path, help="the folder of a run on vectors or matrices")
    parser.add_argument("out", type=Path, help="the picture, .svg or .png")
    parser.add_argument("--difficulty", nargs=2, default=["same", "harder"])
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()

    solver, task = load(options.run), rebuild(read_metadata(options.run)["task"])
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for difficulty, colour in zip(options.difficulty, COLOURS, strict=True):
        for axes, lines in zip(
            (left, right), follow(solver, task, difficulty, options.steps), strict=True
        ):
            style: dict[str, Any] = {"color": colour, "linewidth": 1.4, "alpha": 0.85}
            axes.plot(lines.T, label=[difficulty, *[""] * (len(lines) - 1)], **style)
    plain(left, "energy of the answer")
    plain(right, "mean squared error of the answer")
    right.set_yscale("log")
    right.legend(frameon=False, labelcolor=INK)
    figure.savefig(options.out, dpi=160, transparent=True)


if __name__ == "__main__":
    main()
