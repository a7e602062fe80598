"""What `irem reproduce` makes: which cells each table and figure needs, and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from irem_baselines.reproduce import extras, figures, floors, headline, tables, verifiers
from irem_baselines.reproduce.book import Book, Table
from irem_baselines.reproduce.cells import (
    BOUND,
    FLOORS,
    LEARNED,
    PAPER_TASKS,
    REFERENCES,
    STEP_SIZES,
    VERIFIERS,
    Cell,
    cell,
    denoise,
    small_add,
    verifier,
)
from irem_core import UnknownNameError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GRAPHS = "shortest-path"


@attrs.frozen(kw_only=True)
class Target:
    """A table or a figure.

    Args:
        title: what it shows.
        cells: tasks and methods that it is made of, in the order to train them in.
        measures: what it needs to be measured on them.
        folder: which of the folders of records and of runs they are kept in.
        single: one seed serves, however many are asked for.
        make: makes records that are of no training, in the folder.
        tables: writes it, or the numbers that a figure draws.
        draw: draws it into an empty figure.
        size: of the figure, in inches.
    """

    title: str
    cells: tuple[tuple[str, str], ...] = ()
    measures: tuple[str, ...] = ()
    folder: str = "paper"
    single: bool = False
    make: Callable[[Path], None] | None = None
    tables: Callable[[Book], list[Table]] | None = None
    draw: Callable[[Book, Figure], None] | None = None
    size: tuple[float, float] = (7.0, 4.5)

    def trainings(self, seeds: int) -> list[Cell]:
        """List the cells of so many seeds; a reference, which draws next to nothing, has one."""
        return [
            _cell(task, method, seed)
            for seed in range(1 if self.single else seeds)
            for task, method in self.cells
            if not (seed and method in (*REFERENCES, BOUND[1]))
        ]


_OWN = {"denoise": denoise, "small-add": small_add}


def _cell(task: str, method: str, seed: int) -> Cell:
    if (task, method) in (*VERIFIERS, *FLOORS):
        return verifier(task, method, seed)
    return _OWN[task](method, seed) if task in _OWN else cell(task, method, seed)


def _each(tasks: tuple[str, ...], methods: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((task, method) for method in methods for task in tasks)


_ADDED = (("add", "irem"),)
_STEP_METHODS = tuple(f"irem-step-{size}" for size in STEP_SIZES if size != 100)
_ABLATIONS = ("irem", "irem-full", "irem-full-no-replay")
TARGETS: Mapping[str, Target] = {
    "floors": Target(
        title="what answers without reasoning score, on every difficulty that is shown",
        folder="floors",
        make=floors.make,
        tables=floors.table,
    ),
    "table1": Target(
        title="errors of all methods on the six tasks",
        cells=(*_each(PAPER_TASKS, (*LEARNED, *REFERENCES)), BOUND),
        measures=("steps",),
        tables=tables.table_1,
    ),
    "table2": Target(
        title="replay and truncation",
        cells=_each((GRAPHS,), _ABLATIONS),
        measures=("cost",),
        tables=tables.table_2,
    ),
    "table3": Target(
        title="step sizes",
        cells=_each(("add",), ("irem", *_STEP_METHODS)),
        tables=tables.table_3,
    ),
    "table4": Target(
        title="addition composed",
        cells=_each(("add",), LEARNED),
        measures=("composition",),
        tables=tables.table_4,
    ),
    "table5": Target(
        title="denoising photographs",
        cells=_each(("denoise",), ("irem", "residual")),
        measures=("psnr", "filters"),
        tables=tables.table_5,
    ),
    "figure1": Target(
        title="a solve over the energy's contours",
        cells=_ADDED,
        measures=("contours",),
        single=True,
        draw=figures.figure_1,
        size=(6.0, 5.0),
    ),
    "figure2": Target(
        title="error by step for 10 to 30 nodes",
        cells=_each((GRAPHS,), ("irem", "recurrent")),
        tables=extras.graph_sizes,
        draw=figures.figure_2,
        size=(10.0, 4.2),
    ),
    "figure3": Target(
        title="error by step of every method",
        cells=_each(PAPER_TASKS[:3], LEARNED),
        draw=figures.figure_3,
        size=(9.0, 9.5),
    ),
    "figure4": Target(
        title="elements of an addition by step",
        cells=_ADDED,
        measures=("elements",),
        single=True,
        draw=figures.figure_4,
    ),
    "figure5": Target(
        title="energy against distance to the solution",
        cells=_each(PAPER_TASKS[:3], ("irem",)),
        measures=("landscape",),
        single=True,
        tables=extras.landscapes,
        draw=figures.figure_5,
        size=(12.0, 4.0),
    ),
    "figure6": Target(
        title="three nested additions",
        cells=_ADDED,
        measures=("nested",),
        single=True,
        draw=figures.figure_6,
        size=(13.0, 2.6),
    ),
    "figure7": Target(
        title="error of composed addition",
        cells=_each(("add",), LEARNED),
        measures=("composition",),
        draw=figures.figure_7,
    ),
    "figure8": Target(
        title="PSNR by step",
        cells=_each(("denoise",), ("irem", "residual")),
        measures=("psnr",),
        draw=figures.figure_8,
    ),
    "descents": Target(
        title="error against energy evaluations of each descent",
        cells=_each(PAPER_TASKS, ("irem",)),
        measures=("descents",),
        single=True,
        tables=extras.descents,
        draw=figures.descents,
        size=(12.0, 7.5),
    ),
    "halting": Target(
        title="the halting rule, and energies as a sign of wrong answers",
        cells=_each(PAPER_TASKS, ("irem",)),
        measures=("halting",),
        tables=extras.halting,
    ),
    "outputs": Target(
        title="outputs of networks that answer step by step, and of halting",
        cells=_each(PAPER_TASKS, LEARNED[2:]),
        measures=("sampled",),
        tables=extras.outputs,
    ),
    "headline": Target(
        title="what is trained by default, in a dozen rows",
        cells=headline.DEFAULTS,
        measures=("sizes",),
        folder="verifiers",
        tables=headline.table,
    ),
    "verifiers": Target(
        title="the library's own energies, beside the paper's",
        cells=(*VERIFIERS, *FLOORS),
        measures=("halting", "sizes"),
        folder="verifiers",
        tables=verifiers.table,
    ),
    "running-on": Target(
        title="halted answers beside those of running on",
        cells=VERIFIERS,
        measures=("running-on",),
        folder="verifiers",
        tables=verifiers.running_on,
    ),
    "verifiers-sizes": Target(
        title="error and relative error by nodes and by step, of ours and of the paper's energy",
        cells=(("shortest-path", "irem-default"),),
        measures=("sizes",),
        folder="verifiers",
        single=True,
        draw=verifiers.draw_sizes,
        size=(15.0, 4.5),
    ),
    "verifiers-entries": Target(
        title="what each entry adds to the energy, beside its error",
        cells=(("shortest-path", "irem-default"),),
        measures=("judged",),
        folder="verifiers",
        single=True,
        draw=verifiers.draw_judged,
        size=(11.0, 5.0),
    ),
    "gradient-free": Target(
        title="training without gradients through the descent",
        cells=_each(("small-add",), ("irem", "irem-gradient-free")),
        tables=extras.gradient_free,
    ),
}


def find_cell(name: str) -> Cell:
    """Return the cell of a file's name, such as "add-irem-0".

    Raises:
        UnknownNameError: no table or figure has such a cell.
    """
    stem, _, seed = name.rpartition("-")
    if seed.isdecimal():
        for target in TARGETS.values():
            for task, method in target.cells:
                if stem == f"{task}-{method}":
                    return _cell(task, method, int(seed))
    raise UnknownNameError(
        f"There is no table, figure or cell {name!r}; expected one of {', '.join(TARGETS)}, all, "
        "or TASK-METHOD-SEED, such as add-irem-0."
    )
