"""Draw the pictures of the pages on descents, halting and the other axes of choice.

    python examples/draw_axes.py docs/images

The pictures are descents.png, halting.png, backpropagation.png, replay.png, scratchpad.png,
verifying.png and diverging.png. Only replay.png trains something, for a quarter of a minute.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from draw_solve import COLOURS, INK, plain
from irem_core import (
    IREM,
    Adam,
    Backtracking,
    BarzilaiBorwein,
    EnergyFn,
    EnergyPlateau,
    FixedSteps,
    GradientDescent,
    Iterate,
    Landscape,
    Layout,
    MLPEnergy,
    Momentum,
    Nesterov,
    ScratchpadEnergy,
    Solution,
    Trace,
    evaluate,
    fit,
    load_task,
    minimize,
)

BLUE, ORANGE = COLOURS
GREEN, PURPLE = "#4aa564", "#b86bc4"


class Valley(EnergyFn):
    """A valley 20 times as steep across as along, not in line with the axes; 0 at x."""

    def energy(self, context: Tensor, y: Tensor) -> Tensor:
        turned = (y - context) @ torch.tensor([[0.8, -0.6], [0.6, 0.8]])
        return (turned.square() * torch.tensor([0.5, 10.0])).sum(-1)


class Bowl(EnergyFn):
    """A parabola for each problem, as steep as x says."""

    def energy(self, context: Tensor, y: Tensor) -> Tensor:
        return (context * y.square()).sum(-1) / 2


class Bend(ScratchpadEnergy):
    """y belongs at the square of z, and z at x."""

    scratchpad = 1

    def energy(self, context: Tensor, y: Tensor, z: Tensor) -> Tensor:
        return ((y - z.square()).square() + 0.2 * (z - context).square()).sum(-1)


def trace(solution: Solution, problem: int = 0) -> Trace:
    """Return what was recorded of one problem."""
    assert solution.trace is not None
    return solution.trace.of(problem)


def contours(axes: Axes, energy: Tensor, across: Tensor, up: Tensor) -> None:
    levels = energy.min() + (energy.max() - energy.min()) * torch.linspace(0, 1, 12) ** 3
    axes.contour(across, up, energy, levels.tolist(), colors=INK, linewidths=0.6, alpha=0.6)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def path(axes: Axes, across: Tensor, up: Tensor, colour: str = BLUE) -> None:
    axes.plot(across, up, ".-", color=colour, linewidth=1.4, markersize=5)
    axes.plot(across[-1:], up[-1:], "*", color=ORANGE, markersize=11)


def descents() -> Figure:
    figure, grid = plt.subplots(2, 3, figsize=(9, 5), layout="constrained")
    across, up = torch.linspace(-1.4, 0.8, 90), torch.linspace(-1, 1.2, 90)
    plane = torch.stack(torch.meshgrid(across, up, indexing="xy"), -1).reshape(-1, 2)
    height = Valley()(torch.zeros_like(plane), plane).reshape(90, 90)
    kinds = (
        GradientDescent(step_size=0.08),
        Momentum(step_size=0.02, momentum=0.8),
        Nesterov(step_size=0.02, momentum=0.8),
        Adam(step_size=0.15),
        BarzilaiBorwein(),
        Backtracking(),
    )
    for axes, descent in zip(grid.flat, kinds, strict=True):
        solution = minimize(
            Valley(),
            torch.zeros(1, 2),
            start=torch.tensor([[-1.2, 1.0]]),
            descent=descent,
            halting=EnergyPlateau(tolerance=1e-4),
            max_steps=500,
            record=["y"],
        )
        visited = trace(solution).y
        assert visited is not None
        contours(axes, height, across, up)
        path(axes, *visited.T)
        title = f"{type(descent).__name__}: {int(solution.steps)} steps"
        axes.set_title(title, color=INK, fontsize=10, loc="left")
        axes.set(xlim=(-1.4, 0.8), ylim=(-1, 1.2))
    return figure


def halting() -> Figure:
    figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained")
    steepness = torch.tensor([[1.6], [1.0], [0.4], [0.15], [0.07]])
    solution = minimize(
        Bowl(),
        steepness,
        start=torch.ones(5, 1),
        descent=GradientDescent(step_size=0.4),
        halting=EnergyPlateau(tolerance=1e-3, patience=3),
        max_steps=200,
        record=["energy"],
    )
    for problem, steps in enumerate(solution.steps.tolist()):
        energy = trace(solution, problem).energy
        assert energy is not None
        axes.plot(energy, color=BLUE, linewidth=1.4)
        axes.plot(steps, energy[-1], "o", color=ORANGE)
        axes.annotate(
            str(steps), (steps, float(energy[-1])), (6, 3), textcoords="offset points", color=INK
        )
    plain(axes, "energy of five problems, each until it no longer changes")
    axes.set_yscale("log")
    return figure


def backpropagation() -> Figure:
    figure, grid = plt.subplots(1, 2, figsize=(9, 2.6), layout="constrained")
    for axes, title, first in zip(grid, ("LastStep", "FullUnroll"), (4, 0), strict=True):
        for step in range(6):
            reached = step > first
            axes.text(step, 0, f"$y^{step}$", color=INK, ha="center", va="center", fontsize=13)
            if step:
                colour = ORANGE if reached else INK
                style = {"arrowstyle": "->", "color": colour, "lw": 1.8 if reached else 0.9}
                axes.annotate("", (step - 0.2, 0), (step - 0.8, 0), arrowprops=style)
                axes.annotate("", (step - 0.5, 0.05), (2.5, 0.8), arrowprops=style)
        axes.text(2.5, 0.9, r"weights $\theta$", color=INK, ha="center", fontsize=11)
        axes.annotate("", (5.8, 0), (5.2, 0), arrowprops={"arrowstyle": "->", "color": ORANGE})
        axes.text(6.1, 0, "loss", color=ORANGE, ha="center", va="center", fontsize=11)
        axes.set(xlim=(-0.4, 6.5), ylim=(-0.3, 1.1))
        axes.axis("off")
        axes.set_title(title, color=INK, fontsize=11, loc="left")
    return figure


def replay() -> Figure:
    """Sort eight numbers with an energy trained with replay and with one trained without."""
    figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained")
    task = load_task("sort", values=8)
    for capacity, label, colour in ((10_000, "with replay", BLUE), (0, "without", ORANGE)):
        solver = IREM(MLPEnergy.for_task(task, width=64), replay=capacity)
        fit(solver, task, iterations=1000, learning_rate=1e-3, schedule="cosine", seed=0)
        by_step = evaluate(solver, task, problems=500, halting=FixedSteps(steps=40)).mse_by_step
        axes.plot(list(by_step), list(by_step.values()), color=colour, label=label)
    axes.axvline(5, color=INK, linewidth=0.8, linestyle=":")
    plain(axes, "mean squared error of sorting eight numbers; trained with five steps")
    axes.set_ylim(0.02, 0.04)
    axes.legend(frameon=False, labelcolor=INK)
    return figure


def scratchpad() -> Figure:
    figure, axes = plt.subplots(figsize=(9, 3.6), layout="constrained")
    memory, up = torch.linspace(-1.2, 1.6, 120), torch.linspace(-0.6, 1.8, 120)
    z, y = (each.reshape(-1, 1) for each in torch.meshgrid(memory, up, indexing="xy"))
    height = Bend().energy(torch.full_like(y, 1.2), y, z).reshape(120, 120)
    seen: list[Iterate] = []
    layout = Layout(1)
    minimize(
        Bend(),
        torch.tensor([[1.2]]),
        start=Iterate(torch.tensor([[-0.4]]), layout, torch.tensor([[-0.9]])),
        descent=GradientDescent(step_size=0.12),
        halting=EnergyPlateau(tolerance=1e-7),
        max_steps=300,
        observer=lambda step, problems, evaluation: seen.append(evaluation.iterate),
    )
    contours(axes, height, memory, up)
    path(
        axes,
        torch.cat([each.z[:, 0] for each in seen if each.z is not None]),
        torch.cat([each.y[:, 0] for each in seen]),
    )
    axes.set_xlabel("z, the scratchpad", color=INK)
    axes.set_ylabel("y, the answer", color=INK)
    return figure


def verifying() -> Figure:
    """Descend the energy of formulas from random assignments; 0 shows that one is satisfied."""
    figure, grid = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
    for axes, ratio in zip(grid, (3.0, 4.2), strict=True):
        task = load_task("sat")
        problem, _ = task.sample(1, f"ratio={ratio}", generator=torch.Generator().manual_seed(0))
        energy = task.energy()
        assert isinstance(energy, Landscape)
        for seed in range(8):
            solution = minimize(
                energy,
                problem,
                descent=BarzilaiBorwein(),
                halting=EnergyPlateau(tolerance=1e-6),
                max_steps=60,
                generator=torch.Generator().manual_seed(seed),
                record=["energy"],
            )
            fallen = trace(solution).energy
            assert fallen is not None
            colour = BLUE if float(fallen[-1]) < 1e-3 else ORANGE
            axes.plot(fallen.clamp_min(1e-6), color=colour, linewidth=1.4)
        plain(axes, f"energy of assignments, {ratio:g} clauses a variable")
        axes.set_yscale("log")
    return figure


def diverging() -> Figure:
    """Descend the valley, whose largest curvature is 20, by steps on both sides of 2 / 20."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    sizes = {0.002: GREEN, 0.05: BLUE, 0.0995: PURPLE, 0.104: ORANGE}
    for size, colour in sizes.items():
        solution = minimize(
            Valley(),
            torch.zeros(1, 2),
            start=torch.tensor([[-1.2, 1.0]]),
            descent=GradientDescent(step_size=size),
            halting=FixedSteps(steps=60),
            record=["energy", "gradient_norm"],
        )
        found = trace(solution)
        assert found.energy is not None
        assert found.gradient_norm is not None
        left.plot(found.energy, color=colour)
        right.plot(found.gradient_norm, color=colour, label=f"step size {size}")
    plain(left, "energy")
    plain(right, "norm of the gradient")
    for axes in (left, right):
        axes.set_yscale("log")
    figure.legend(loc="outside lower center", ncols=4, frameon=False, labelcolor=INK)
    return figure


PICTURES = (descents, halting, backpropagation, replay, scratchpad, verifying, diverging)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path, help="the folder to draw into")
    names = [each.__name__ for each in PICTURES]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    options = parser.parse_args()
    for draw in PICTURES:
        if draw.__name__ in options.only:
            figure = draw()
            figure.savefig(options.out / f"{draw.__name__}.png", dpi=130, transparent=True)
            plt.close(figure)


if __name__ == "__main__":
    main()
