"""Draw one energy in two dimensions, trained by each objective on a question with two answers.

    python examples/draw_landscapes.py docs/images/landscapes.png

It takes about a minute. Crosses are the right answers, which are drawn equally often, and dots
where descents of random candidates end.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from draw_solve import COLOURS, INK
from irem_core import (
    IREM,
    Contrastive,
    Denoising,
    DescentError,
    GradientDescent,
    MLPEnergy,
    Objective,
    Problem,
    VectorSpace,
)

QUESTION, ANSWER = VectorSpace(1), VectorSpace(2)
RIGHT = torch.tensor([[-0.7, -0.35], [0.7, 0.35]])
UPDATES, BATCH = 1500, 256


def trained(objective: Objective, step_size: float) -> IREM:
    """Train the paper's energy, small, to answer the one question by either answer."""
    torch.manual_seed(0)
    energy = MLPEnergy(QUESTION, ANSWER, width=64, depth=3)
    solver = IREM(
        energy, steps=5, descent=GradientDescent(step_size=step_size), replay=0, objective=objective
    )
    optimizer = torch.optim.Adam(solver.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(1)
    for update in range(UPDATES):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * (1 + math.cos(math.pi * update / UPDATES)) / 2
        target = RIGHT[torch.randint(2, (BATCH,), generator=generator)]
        optimizer.zero_grad()
        solver.loss(Problem(torch.ones(BATCH, 1), ANSWER), target, generator).backward()
        optimizer.step()
    return solver


def grid(count: int) -> tuple[Tensor, Tensor]:
    line = torch.linspace(-1.2, 1.2, count)
    across, up = torch.meshgrid(line, line, indexing="xy")
    return across, up


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="the picture, .png or .svg")
    options = parser.parse_args()
    panels = {
        "descent": (DescentError(), 1.0),
        "denoising": (Denoising(levels=0.25), 0.03),
        "contrastive": (Contrastive(against="noise", noise=0.6), 0.03),
        "denoising + contrastive": (
            Denoising(levels=0.25) + Contrastive(against="noise", noise=0.6),
            0.03,
        ),
    }
    figure, row = plt.subplots(1, len(panels), figsize=(11, 3), layout="constrained", sharey=True)
    across, up = grid(80)
    for axes, (name, (objective, step_size)) in zip(row, panels.items(), strict=True):
        solver = trained(objective, step_size)
        candidates = torch.stack([across, up], -1).view(-1, 2)
        with torch.no_grad():
            energy = solver.energy(torch.ones(len(candidates), 1), candidates).view(across.shape)
        axes.contourf(across, up, energy, levels=24, cmap="Greys", alpha=0.7)
        start = ANSWER.start(solver.problem(torch.ones(40, 1)).layout, torch.Generator())
        ends = solver.solve(torch.ones(40, 1), start=start, max_steps=400).y
        axes.scatter(*ends.T, s=14, color=COLOURS[1], label="where descents end")
        axes.scatter(*RIGHT.T, s=60, marker="x", color=COLOURS[0], label="right answers")
        axes.set_title(name, color=INK, fontsize=11, loc="left")
        axes.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal", xticks=[], yticks=[])
    row[0].legend(loc="upper left", fontsize=7, framealpha=0.6)
    figure.savefig(options.out, dpi=130, transparent=True)


if __name__ == "__main__":
    main()
