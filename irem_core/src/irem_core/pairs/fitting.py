"""Training on pairs in one call."""

from __future__ import annotations

from typing import Any

from irem_core.pairs.cost import Cost, lasting
from irem_core.pairs.opening import pairs_of
from irem_core.solvers.recipes import recipe
from irem_core.training.fit import fit
from irem_core.training.progress import Progress


def fit_pairs(
    x: Any,
    y: Any = None,
    *,
    cost: Cost | None = None,
    entries: int | None = None,
    solver: str = "irem",
    energy: Any = None,
    preset: str | None = None,
    low: Any = None,
    high: Any = None,
    about: str | None = None,
    held_out: float = 0.1,
    categories: str | None = None,
    seed: int = 0,
    **training: Any,
) -> Progress:
    """Train a solver on pairs of question and answer, as `irem train --pairs` does.

    `fit_pairs(x, y, out="runs/mine").solver` answers questions in the units of x and y, and so does
    `load("runs/mine")`. `evaluate(progress.solver, progress.task)` scores it on the held-out pairs.

    Args:
        x: `(n, ...)` questions: vectors, matrices or images, an array or a tensor; or a data frame
            of pandas, polars or pyarrow, whose columns are entries; or graphs of torch-geometric
            that have their answers as `y` (see `StructuredPairs.of`).
        y: `(n, ...)` their answers, likewise; None for graphs, and for those that a cost has.
        cost: what answers minimise, where that is known: a function (x, y) -> (B,), in the units of
            x and y, or an `EnergyFn`, or "module:name" of one. The solver then proposes where the
            cost is descended from, and answers are as exact as its minima (see `WarmStart`).
        entries: numbers in an answer, where there is no y and no bound of each.
        solver: what to train, as for `recipe`; likewise `energy` and `preset`.
        energy: a name, a constructor such as "mlp(width=256)", or an energy.
        preset: the name of settings; the first that suits the energy if None.
        low: the least value of an answer's entries, a number or an array in the shape of an
            answer, with -infinity where there is none; no answer of the solver is below it.
        high: likewise the greatest.
        about: "nodes" or "edges", where answers of graphs could be about either.
        held_out: share of the pairs that training never sees.
        categories: "one-hot" to make an entry of each text in columns of text.
        seed: of weights, draws and starts.
        training: arguments of `fit` to use in place of the preset's, such as `out`.

    Returns:
        The finished training: its `solver` and its `task`.

    Raises:
        InputFileError: they are no pairs to learn from: different lengths, NaN, too few.
        SettingError: a run is to be kept of a cost that could not be found again by its name.
    """
    settings: dict[str, Any] = {"low": low, "high": high, "held_out": held_out}
    settings |= {"categories": categories, "about": about}
    if cost is not None:
        settings |= {"cost": lasting(cost, kept="out" in training)}
    if y is None:
        settings |= {"entries": entries}
    task = pairs_of(x, y, **settings)
    made = recipe(task, solver, energy=energy, preset=preset, seed=seed)
    return fit(made.solver, task, seed=seed, **{**made.training, **training})
