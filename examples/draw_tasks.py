"""Draw one problem of each kind of task with its answer.

    python examples/draw_tasks.py docs/images

The pictures are tasks-vectors.png, tasks-matrices.png, tasks-graphs.png, tasks-sparse.png,
tasks-denoise.png and tasks-sat.png. The photographs of denoising come with scikit-image; without it
that picture is left out.
"""

from __future__ import annotations

import argparse
from itertools import permutations
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from torch import Tensor

from irem_core import (
    BarzilaiBorwein,
    EnergyFn,
    EnergyPlateau,
    InputFileError,
    load_task,
    minimize,
)

INK = "#27303a"
GREY = "#7a838d"
PALE = "#d5dae0"
BLUE, ORANGE = "#2f7fc1", "#d9682b"
SIGNED = plt.get_cmap("RdBu_r").with_extremes(bad=PALE)
# White at 0 would be lost on a white ground.
ON_WHITE = plt.get_cmap("coolwarm")
LENGTHS = plt.get_cmap("viridis_r")

Array = NDArray[Any]


def drawn(name: str, difficulty: str = "same", *, seed: int = 0, **settings: Any) -> Any:
    """Return x and y of one problem: tensors, or a graph and a value for each pair of nodes."""
    generator = torch.Generator().manual_seed(seed)
    task = load_task(name, **settings)
    problem, y = task.sample(1, difficulty, generator=generator)
    return (problem.x, y[:, 0]) if task.answer.ragged else (problem.x[0], y[0])


def vectors() -> Figure:
    figure, ((add, negate), (sort, parity)) = plt.subplots(
        2, 2, figsize=(9, 5), layout="constrained"
    )
    x, y = drawn("add", size=12)
    first, second = x.chunk(2)
    bars(add, "add: y is the sum of two vectors", {"both halves of x": first, "": second}, y)
    x, y = drawn("negate", size=12)
    bars(negate, "negate: y is -x", {"x": x}, y)
    x, y = drawn("sort", values=16)
    bars(sort, "sort: y is x in ascending order", {"x": x}, y)

    bits, y = drawn("parity")
    running = bits.cumsum(0) % 2
    for height, values in ((1, bits), (0, running)):
        fill = [GREY if value else "white" for value in values.tolist()]
        parity.scatter(range(20), [height] * 20, s=130, c=fill, edgecolors=GREY)
    parity.scatter(19, 0, s=130, c=fill[-1:], edgecolors=BLUE, linewidths=3)
    parity.text(-0.5, 1.3, "x: the bits, filled where 1", color=INK, fontsize=9)
    parity.text(-0.5, 0.3, "their running parity; the last is y", color=INK, fontsize=9)
    parity.set(xlim=(-1, 20), ylim=(-0.5, 1.7))
    parity.axis("off")
    heading(parity, "parity: y is the sum of the bits, modulo 2")
    return figure


def bars(axes: Axes, title: str, questions: dict[str, Tensor], y: Tensor) -> None:
    """Draw y as bars and each part of x as points."""
    axes.bar(range(len(y)), y.tolist(), color=BLUE, width=0.7, alpha=0.75, label="y")
    for label, values in questions.items():
        axes.plot(values.tolist(), "o", color=ORANGE, markersize=5, label=label or None)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_xticks([])
    axes.tick_params(colors=GREY, labelsize=8)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "left")
        spine.set_color(GREY)
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="best", labelcolor=INK)
    axes.margins(y=0.2)
    heading(axes, title)


def matrices() -> Figure:
    figure = plt.figure(figsize=(9, 4.1), layout="constrained")
    parts: Any = figure.subfigures(2, 4, height_ratios=(1, 1.6), wspace=0.04)
    completion, shown = drawn("matrix-completion")
    hidden = completion.where(completion != 0, torch.nan)
    system, solution = drawn("linear-system")
    matrix, right = system[:400].reshape(20, 20), system[400:, None]
    gap = torch.full((20, 2), torch.nan)
    cells = {
        "matrix-completion": (hidden, shown),
        "matrix-inverse": drawn("matrix-inverse"),
        "square": drawn("square"),
        "determinant": drawn("determinant"),
        "lu": drawn("lu"),
        "qr": drawn("qr"),
        "eigenvector": drawn("eigenvector"),
        "linear-system": (torch.cat([matrix, gap, right], 1), solution),
    }
    named = {"lu": "y: L above U", "qr": "y: Q above R", "linear-system": "y: v"}
    for part, (name, (x, y)) in zip(parts.flat, cells.items(), strict=True):
        part.suptitle(name, color=INK, fontsize=11)
        left, second = part.subplots(1, 2)
        if name == "linear-system":
            image(left, x, "x: A | A v", SIGNED.with_extremes(bad="white"))
        else:
            image(left, x, "x")
        if y.numel() > 1:
            image(second, y if y.ndim == 2 else y[:, None], named.get(name, "y"))
        else:
            second.axis("off")
            second.text(0.5, 0.5, f"y = {float(y):.3g}", ha="center", va="center", color=INK)
    return figure


def image(axes: Axes, values: Tensor, label: str, cmap: Any = SIGNED) -> None:
    """Show numbers by colour: blue below 0, white at 0, red above, grey where hidden."""
    limit = float(values.nan_to_num().abs().max())
    rows, columns = values.shape
    # A single column would be drawn much larger than the matrix beside it.
    middle = (0.42 * rows, 0.58 * rows) if columns == 1 else (0, columns)
    axes.imshow(
        values.numpy(),
        cmap=cmap,
        vmin=-limit,
        vmax=limit,
        interpolation="nearest",
        extent=(*middle, rows, 0),
    )
    if columns == 1:
        axes.set_xlim(0, rows)
    bare(axes)
    below(axes, label)


def graphs() -> Figure:
    figure, rows = plt.subplots(2, 3, figsize=(9, 6), layout="constrained", height_ratios=(1.25, 1))
    for (upper, lower), draw in zip(rows.T, (edge_copy, components, paths), strict=True):
        draw(upper, lower)
    return figure


def edge_copy(upper: Axes, lower: Axes) -> None:
    batch, y = drawn("edge-copy", "nodes=5")
    values = batch.edge_attr.reshape(5, 5)
    places = circle(5)
    limit = float(values.abs().max())
    colours = ON_WHITE((values.numpy() / limit + 1) / 2)
    for start, end in permutations(range(5), 2):
        arrow(upper, places[start], places[end], colours[start, end])
    nodes(upper, places, colours.diagonal().T)
    heading(upper, "edge-copy")
    below(upper, "x: a value on every edge;\nself loops colour the nodes")
    image(lower, y.reshape(5, 5), "y: the same values", ON_WHITE)


def components(upper: Axes, lower: Axes) -> None:
    batch, y = drawn("connected-components", seed=13)
    given, together = batch.edge_attr.reshape(10, 10), y.reshape(10, 10)
    places = circle(10)
    for start, end in given.nonzero().tolist():
        if start != end:
            arrow(upper, places[start], places[end], INK)
    label = together.argmax(1)  # the first node of the component
    several = together.sum(1) > 1
    palette = plt.get_cmap("Set2")
    order = {int(first): index for index, first in enumerate(label[several].unique())}
    colours = [
        palette(order[int(first)]) if many else to_rgba(PALE)
        for first, many in zip(label, several, strict=True)
    ]
    nodes(upper, places, np.array(colours))
    heading(upper, "connected-components")
    below(upper, "x: 1 on the edges that are given;\na colour a component, grey for single nodes")
    lower.imshow(together.numpy(), cmap="Blues", vmin=0, vmax=1.4)
    bare(lower)
    below(lower, "y: 1 for nodes of one component")


def paths(upper: Axes, lower: Axes) -> None:
    batch, y = drawn("shortest-path", "nodes=7", seed=25)
    lengths, distances = batch.edge_attr.reshape(7, 7), y.reshape(7, 7)
    places = circle(7)
    longest = float(lengths.max())
    for start, end in lengths.triu().nonzero().tolist():
        direct = bool(lengths[start, end] <= distances[start, end])
        upper.plot(
            *places[[start, end]].T,
            color=LENGTHS(float(lengths[start, end]) / longest),
            linewidth=3 if direct else 0.8,
            zorder=1,
        )
    nodes(upper, places, np.array([to_rgba("white")] * 7))
    heading(upper, "shortest-path")
    below(upper, "x: lengths, darker where longer;\nbold where no path is shorter")
    shown = lower.imshow(distances.numpy(), cmap=LENGTHS, vmin=0, vmax=longest)
    bare(lower)
    below(lower, "y: distances")
    bar(lower, shown)


def circle(count: int) -> Array:
    angle = np.pi / 2 - 2 * np.pi * np.arange(count) / count
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def arrow(axes: Axes, start: Array, end: Array, colour: Any) -> None:
    axes.add_patch(
        FancyArrowPatch(
            (start[0], start[1]),
            (end[0], end[1]),
            connectionstyle="arc3,rad=0.12",
            arrowstyle="-|>",
            mutation_scale=11,
            shrinkA=9,
            shrinkB=9,
            color=colour,
            linewidth=1.8,
        )
    )


def nodes(axes: Axes, places: Array, colours: Array) -> None:
    dots(axes, places, s=190, c=colours, edgecolors=INK, linewidths=1.2)
    axes.set(xlim=(-1.25, 1.25), ylim=(-1.2, 1.2), aspect="equal")
    bare(axes)


def dots(axes: Axes, places: Array, **style: Any) -> Any:
    """Draw points over everything drawn before."""
    return axes.scatter(places[:, 0], places[:, 1], zorder=2, **style)


class Stress(EnergyFn):
    """How far places in the plane are from given distances: an energy whose minimum is a layout."""

    def energy(self, context: Tensor, y: Tensor) -> Tensor:
        apart = (y[:, :, None] - y[:, None]).square().sum(-1)
        # Of equal places the distance has no derivative.
        lengths = (apart + 1e-6).sqrt()
        weight = context.clamp(min=1e-6).pow(-2) * (context > 0)
        return (weight * (lengths - context).square()).sum((1, 2)) / context.shape[1]


def layout(edges: Tensor, count: int) -> Array:
    """Place nodes so that those few edges apart are near; components stand side by side."""
    ones = np.ones(edges.shape[1])
    hops = dijkstra(csr_array((ones, edges.numpy()), (count, count)), unweighted=True)
    hops[np.isinf(hops)] = 1.3 * hops[np.isfinite(hops)].max()
    start = torch.randn(1, count, 2, generator=torch.Generator().manual_seed(2)) * 3
    solution = minimize(
        Stress(),
        torch.as_tensor(hops, dtype=torch.float32)[None],
        start=start,
        descent=BarzilaiBorwein(),
        halting=EnergyPlateau(tolerance=1e-4),
        max_steps=300,
    )
    return solution.y[0].numpy()


def sparse() -> Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained")
    batch, y = drawn("sparse-shortest-path", "nodes=100")
    places, seen, answers = asked(left, batch, y)
    shown = dots(left, places[seen], c=answers, s=75, cmap=LENGTHS, edgecolors=INK)
    heading(left, "sparse-shortest-path")
    below(left, "coloured: the nodes asked about from the star; y is their distance")
    bar(left, shown)

    batch, y = drawn("sparse-components", "nodes=100")
    places, seen, answers = asked(right, batch, y)
    for value, colour, label in ((1, BLUE, "y = 1"), (0, "white", "y = 0")):
        of = seen[answers == value]
        dots(right, places[of], c=colour, s=75, edgecolors=INK, label=label)
    right.legend(loc="lower right", fontsize=9, labelcolor=INK, framealpha=0.9, edgecolor=PALE)
    heading(right, "sparse-components")
    below(right, "y is 1 for nodes that a path joins to the star, else 0")
    return figure


def asked(axes: Axes, batch: Any, y: Tensor) -> tuple[Array, Array, Array]:
    """Draw a sparse graph and a source; return places, and the nodes seen from it with answers."""
    source, seen = batch.pair_index
    of_first = source == source[0]
    places = layout(batch.edge_index, batch.num_nodes)
    for start, end in batch.edge_index.T.tolist():
        axes.plot(*places[[start, end]].T, color=PALE, linewidth=1, zorder=1)
    dots(axes, places, s=9, c=GREY)
    dots(axes, places[[int(source[0])]], s=260, marker="*", c=ORANGE, edgecolors=INK)
    axes.set_aspect("equal")
    axes.margins(0.06)
    bare(axes)
    return places, seen[of_first].numpy(), y[of_first].numpy()


def denoise() -> Figure:
    figure, rows = plt.subplots(2, 4, figsize=(9, 4.9), layout="constrained")
    for row, seed in zip(rows, (26, 17), strict=True):
        for axes, sigma in zip(row[1:], (15, 45, 75), strict=True):
            x, y = drawn("denoise", f"sigma={sigma}", seed=seed, patch=72)
            axes.imshow(x[0].numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            heading(axes, f"x at sigma = {sigma}")
        row[0].imshow(y[0].numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        heading(row[0], "y")
    for axes in rows.flat:
        bare(axes)
    return figure


def sat() -> Figure:
    clauses, y = drawn("sat", "same", variables=12)
    figure, axes = plt.subplots(figsize=(9, 3.8), layout="constrained")
    signs = torch.full((len(y), len(clauses)), torch.nan)
    for clause, literals in enumerate(clauses.tolist()):
        for literal in literals:
            variable = abs(literal) - 1
            signs[variable, clause] = 1.0 if literal > 0 else -1.0
            if (literal > 0) == bool(y[variable]):
                axes.plot(clause, variable, "o", color="white", markersize=5)
    cmap = SIGNED.with_extremes(bad="#f1f3f5")
    axes.imshow(signs.numpy(), cmap=cmap, vmin=-1.4, vmax=1.4, aspect="auto")
    axes.set_yticks(
        range(len(y)),
        [f"{'true' if value else 'false'}   {place}" for place, value in enumerate(y, 1)],
    )
    axes.set_xticks([])
    axes.tick_params(length=0, labelsize=9, labelcolor=INK)
    axes.set_xlabel(
        "x: a column a clause, red where it has the variable and blue where its negation;\n"
        "a dot on each literal that the assignment makes true",
        color=INK,
    )
    axes.set_ylabel("y: an assignment of the variables", color=INK)
    for spine in axes.spines.values():
        spine.set_color(PALE)
    heading(axes, "sat: every clause has a true literal")
    return figure


def heading(axes: Axes, text: str) -> None:
    axes.set_title(text, color=INK, fontsize=11)


def below(axes: Axes, text: str) -> None:
    axes.set_xlabel(text, color=INK, fontsize=9)


def bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def bar(axes: Axes, shown: Any) -> None:
    scale = axes.figure.colorbar(shown, ax=axes, shrink=0.7, pad=0.02)
    scale.outline.set_visible(False)
    scale.ax.tick_params(labelsize=8, colors=GREY)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, help="the folder that the pictures are written to")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for draw in (vectors, matrices, graphs, sparse, denoise, sat):
        try:
            figure = draw()
        except InputFileError as error:
            print(f"{draw.__name__} is left out: {error}")
            continue
        figure.savefig(options.out / f"tasks-{draw.__name__}.png", dpi=100, facecolor="white")
        plt.close(figure)


if __name__ == "__main__":
    main()
