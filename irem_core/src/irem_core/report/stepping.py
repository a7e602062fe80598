"""One problem solved under observation, in numbers few enough for a page to hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from irem_core.descent.base import Descent
from irem_core.distributed import derive
from irem_core.energies.landscape import Evaluation
from irem_core.problems.graphs import PAIRS, is_batch
from irem_core.problems.problem import Problem
from irem_core.problems.space import EdgeSpace, ImageSpace, MatrixSpace
from irem_core.solvers.base import Solver, budget, halting_of, place_of
from irem_core.solving.halting import FixedSteps, HaltingCriterion
from irem_core.solving.outcome import Outcome
from irem_core.solving.solution import Solution
from irem_core.tasks.task import Task

# What is drawn of an answer at most, and how many of its steps.
_ENTRIES, _SIDE, _PIXELS, _ROWS = 48, 24, 64, 400
_FRAMES = 101
_NUMBERS = 150_000


@attrs.frozen(kw_only=True)
class Drawing:
    """What is drawn of an answer.

    Args:
        kind: "vector", "matrix", "graph", "image" or "grid".
        shape: of what is drawn: `(entries,)`, `(height, width)` or `(channels, height, width)`; of
            a graph `(nodes,)`; of a grid `(rows, columns)`.
        edges: source and target of every entry of a graph.
        part: says which part of the answer is drawn, where it is not all of it.
        beside: where lines of a grid are (see `Grid`), and likewise `above`.
    """

    kind: str
    shape: tuple[int, ...]
    edges: list[tuple[int, int]] | None = None
    part: str | None = None
    beside: list[list[bool]] | None = None
    above: list[list[bool]] | None = None


Cells = list[list[tuple[str, str]]]


@attrs.frozen(kw_only=True)
class Followed:
    """A problem and its iterates.

    Args:
        drawing: what is drawn of its answers.
        steps: after how many steps, for each iterate kept.
        iterates: of each the entries that are drawn.
        exact: the right answer's, likewise.
        errors: mean squared error of each iterate over all entries of the answer.
        largest: the largest error of an entry of each.
        energies: of each; None for a solver without an energy.
        halted: after how many steps the halting rule stops; None for a solver without one.
        outcome: how it ends by that rule, in words.
        answered: whether the solver answers at once, so that there is nothing to step through.
        cells: of a grid, those of each iterate, and likewise `exact_cells`; None for others.
    """

    drawing: Drawing
    steps: list[int]
    iterates: list[list[float]]
    exact: list[float]
    errors: list[float]
    largest: list[float]
    energies: list[float] | None
    halted: int | None
    outcome: str
    answered: bool
    cells: list[Cells] | None
    exact_cells: Cells | None


def follow(
    solver: Solver,
    task: Task,
    difficulty: str,
    *,
    halting: HaltingCriterion | None = None,
    max_steps: int | None = None,
    descent: Descent | None = None,
    seed: int = 1,
) -> Followed:
    """Solve one problem, and go on as far as the published protocol where it halts before.

    Args:
        solver: what solves.
        task: where the problem comes from.
        difficulty: of the problem.
        halting: when it has arrived; the solver's own rule if None.
        max_steps: the most steps, which are all shown; the solver's own if None.
        descent: how to step; the solver's own if None.
        seed: of problem and start.
    """
    device, _ = place_of(solver)
    most, rule = budget(solver, task, max_steps), halting or halting_of(solver)
    generator = torch.Generator(device).manual_seed(derive(seed, "report", difficulty))
    problem, target = task.sample(1, difficulty, generator=generator, device=device)
    kept: list[_Kept] = []

    def keep(step: int, problems: Tensor, evaluation: Evaluation) -> None:
        kept.append((step, float(evaluation.energy[0]), evaluation.iterate.y.clone()))

    def solve(steps: int, rule: HaltingCriterion | None, observer: Any = None) -> Solution:
        start = torch.Generator(device).manual_seed(derive(seed, "report", "start"))
        return solver.solve(
            problem,
            max_steps=steps,
            descent=descent,
            halting=rule,
            generator=start,
            observer=observer,
        )

    halted = solve(most, rule)
    # A long budget that halting leaves unspent would show next to nothing but the end.
    further = max(int(halted.steps[0]), task.max_steps)
    shown = min(most, further) if max_steps is None else most
    solution = solve(shown, FixedSteps(steps=max(shown, 1)), keep)
    answered = not kept
    if answered:
        kept.append((1, math.nan, solution.y))
    drawing, drawn = _drawing(task, problem, target)
    steps, energies, iterates = zip(*_thinned(kept, drawn(target).numel()), strict=True)
    apart = [(each - target).double() for each in iterates]
    grids, exact = _cells(task, problem, iterates, target)
    return Followed(
        drawing=drawing,
        steps=list(steps),
        iterates=[_rounded(drawn(each)) for each in iterates],
        exact=_rounded(drawn(target)),
        errors=[float(each.square().mean()) for each in apart],
        largest=[float(each.abs().max()) for each in apart],
        energies=list(energies) if all(map(math.isfinite, energies)) else None,
        halted=None if rule is None else int(halted.steps[0]),
        outcome=Outcome(int(halted.outcome[0])).name.lower().replace("_", " "),
        answered=answered,
        cells=grids,
        exact_cells=exact,
    )


_Kept = tuple[int, float, Tensor]
"""After how many steps, of which energy, and the iterate itself."""


def _thinned(kept: list[_Kept], entries: int) -> list[_Kept]:
    """Choose as many iterates as a page can hold, evenly spaced, the first and the last among them.

    Those of a solver that has diverged to what is no number are left out.
    """
    finite = [each for each in kept if bool(each[2].isfinite().all())]
    shown = finite or [(step, energy, y.nan_to_num()) for step, energy, y in kept[:1]]
    count = min(_FRAMES, max(2, _NUMBERS // entries))
    places = {round(each) for each in torch.linspace(0, len(shown) - 1, count).tolist()}
    return [shown[place] for place in sorted(places)]


def _rounded(values: Tensor) -> list[float]:
    """Round to six digits: errors are drawn down to a ten thousandth of the largest."""
    return [float(f"{value:.6g}") for value in values.flatten().tolist()]


def _cells(
    task: Task, problem: Problem, iterates: Sequence[Tensor], target: Tensor
) -> tuple[list[Cells] | None, Cells | None]:
    """Return what stands in the cells of each iterate, and of the right answer, of a grid."""
    right = task.picture(problem, target)
    if right is None:
        return None, None
    grids = [task.picture(problem, each) for each in iterates]
    return [each.cells(right) for each in grids if each is not None], right.cells()


Part = Callable[[Tensor], Tensor]


def _drawing(task: Task, problem: Problem, target: Tensor) -> tuple[Drawing, Part]:
    """Choose what is drawn of an answer, and how to cut it out of the tensor of the answer."""
    grid = task.picture(problem, target)
    if grid is not None:
        drawing = Drawing(
            kind="grid",
            shape=grid.shape,
            beside=grid.beside.tolist(),
            above=grid.above.tolist(),
        )
        # Cells stand in place of numbers, of which one keeps the place of each iterate.
        return drawing, lambda y: y.flatten()[:1]
    space = problem.answer or task.answer
    if isinstance(space, EdgeSpace) and is_batch(problem.x):
        return _graph(problem, target)
    if isinstance(space, ImageSpace):
        return _image(target)
    if isinstance(space, MatrixSpace):
        return _matrix(target)
    entries = target.numel()
    part = f"the first {_ENTRIES} of {entries} entries" if entries > _ENTRIES else None
    return (
        Drawing(kind="vector", shape=(min(entries, _ENTRIES),), part=part),
        lambda y: y.flatten()[:_ENTRIES],
    )


def _matrix(target: Tensor) -> tuple[Drawing, Part]:
    height, width = target.shape[-2:]
    shape = (min(height, _SIDE), min(width, _SIDE))
    part = None
    if shape != (height, width):
        part = f"the upper left {shape[0]} x {shape[1]} entries of {height} x {width}"
    return Drawing(kind="matrix", shape=shape, part=part), lambda y: y[0, : shape[0], : shape[1]]


def _image(target: Tensor) -> tuple[Drawing, Part]:
    channels, height, width = target.shape[-3:]
    high, wide = min(height, _PIXELS), min(width, _PIXELS)
    top, left = (height - high) // 2, (width - wide) // 2
    part = None
    if (high, wide) != (height, width):
        part = f"the middle {high} x {wide} pixels of {height} x {width}"
    shown = 3 if channels == 3 else 1
    return (
        Drawing(kind="image", shape=(shown, high, wide), part=part),
        lambda y: y[0, :shown, top : top + high, left : left + wide],
    )


def _graph(problem: Problem, target: Tensor) -> tuple[Drawing, Part]:
    pairs = problem.x.get(PAIRS, problem.x.edge_index)
    rows, channels = target.shape[0], target.shape[1:].numel()
    part = f"the first {_ROWS} of {rows} pairs of nodes" if rows > _ROWS else None
    if channels > 1:
        part = f"{part or 'all pairs of nodes'}, the first of {channels} values each"
    edges = [(int(source), int(end)) for source, end in pairs[:, :_ROWS].T.tolist()]
    drawing = Drawing(kind="graph", shape=(int(problem.x.num_nodes),), edges=edges, part=part)
    return drawing, lambda y: y[:_ROWS].flatten(1)[:, 0]
