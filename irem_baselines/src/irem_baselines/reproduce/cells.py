"""Cells: the trainings that tables and figures are made of, each a command and a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import attrs

SEED = 1
"""Of the problems that are tested on."""
PYTHON = (sys.executable, "-m", "irem_core")
"""How to start `irem` in a process of its own."""
PAPER_TASKS = (
    "add",
    "matrix-completion",
    "matrix-inverse",
    "edge-copy",
    "connected-components",
    "shortest-path",
)
LEARNED = (
    *("irem", "feedforward", "recurrent", "ponder", "iterative-feedforward"),
    # As the paper released it, where the text names the denoising objective.
    "iterative-feedforward-unrolled",
)
REFERENCES = ("constant", "entrywise", "classical")
STEP_SIZES = (10, 30, 100, 300, 1000)

# The bound of completion, which is no method of any table: it knows how problems are drawn.
BOUND = ("matrix-completion", "posterior-mean")
# What each method is on the command line; the other methods are solvers of their names.
_SOLVERS = {
    "irem-no-replay": "irem(replay=0)",
    "irem-full": "irem(backprop=full_unroll())",
    "irem-full-no-replay": "irem(replay=0, backprop=full_unroll())",
    "recurrent-matched": "recurrent(width='matched')",
    "iterative-feedforward-unrolled": "iterative_feedforward(trained_by='unroll')",
    "irem-default": "irem",
    "irem-elementwise": "irem",
    "irem-pairwise": "irem",
    "irem-gradient-free": "irem(backprop=gradient_free())",
    **{f"irem-step-{size}": f"irem(descent=gradient(step_size={size}.0))" for size in STEP_SIZES},
}
# The energies of methods that are named after them, which are not the default.
_ENERGIES = {"irem-elementwise": "elementwise", "irem-pairwise": "pairwise"}
# What edge copy needs of the paper's energy, and paths and components do not. Longer training makes
# it worse: weights grow, and the kinks of ReLUs, which stay where they are drawn, draw together.
_TUNED: dict[tuple[str, str], dict[str, Any]] = {
    ("edge-copy", "irem"): {"energy": "gine(kinks='edges')", "length": 2_500}
}
# What this library trains by default, addition with its structure given too, and edge copy and
# inverse, where that is the default, without.
VERIFIERS = (
    *(
        (task, "irem-default")
        for task in (
            *("shortest-path", "connected-components", "matrix-inverse", "matrix-completion"),
            *("add", "edge-copy", "sort", "parity"),
        )
    ),
    ("add", "irem-elementwise"),
    ("edge-copy", "irem-pairwise"),
    ("matrix-inverse", "irem-pairwise"),
)
# What they are compared with on tasks that the paper's tables are not about; bits of parity have no
# answers of their own, so there is nothing entrywise.
FLOORS = (
    *(("sort", method) for method in REFERENCES),
    *(("parity", method) for method in ("constant", "classical")),
)
# Difficulties of shortest-path in Figure 2.
GRAPH_SIZES = tuple(f"nodes={nodes}" for nodes in (10, 15, 20, 25, 30))


@attrs.frozen(kw_only=True, order=True)
class Cell:
    """One training, and what is measured on the trained solver.

    Args:
        task: what is solved, such as "add" or "add(size=20)".
        method: what solves it, the name that tables show.
        seed: of weights, problems and starts.
        variant: a name that stands for the task in the file, where that is not the task's own.
        preset: the solver's settings; its default if None.
        energy: what IREM trains; the preset's if None.
        folder: which of the folders of records and of runs it is kept in.
        difficulties: on which the solver is scored, beside those that the task names.
        measures: names of `measures.MEASURES`.
        length: updates of the weights; the preset's if None.
        iterations: as many in their place, for a quick look.
    """

    task: str
    method: str
    seed: int = 0
    variant: str | None = None
    preset: str | None = None
    energy: str | None = None
    folder: str = "paper"
    difficulties: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    length: int | None = None
    iterations: int | None = None

    @property
    def name(self) -> str:
        """The name of the file: TASK-METHOD-SEED."""
        return f"{self.variant or self.task}-{self.method}-{self.seed}"

    @property
    def protocol(self) -> str:
        """How problems are solved (see `irem_core.evaluate`); the paper's as published."""
        return "paper" if self.folder == "paper" else "solve"

    def file(self, results: Path) -> Path:
        """Return where the cell's record is kept, in a folder of records."""
        return results / f"{self.name}.json"

    def words(self) -> list[str]:
        """Return the words of the `irem train` that trains it, after `irem`."""
        task, solver = self.task, _SOLVERS.get(self.method, self.method)
        if (task, self.method) == BOUND:
            task, solver = f"{task.replace('-', '_')}(algorithm='posterior-mean')", "classical"
        words = ["train", task, "--solver", solver]
        for option, value in (("--preset", self.preset), ("--energy", self.energy)):
            words += [] if value is None else [option, value]
        words += ["--seed", str(self.seed), "--threads", "1"]
        words += ["--protocol", "paper"] if self.protocol == "paper" else []
        updates = self.length if self.iterations is None else self.iterations
        words += [] if updates is None else ["--iterations", str(updates)]
        return words

    def command(self) -> str:
        """Return the command that makes the record."""
        short = "" if self.iterations is None else f" --iterations {self.iterations}"
        return f"irem reproduce {self.name}{short}"

    def process(self, run: Path) -> list[str]:
        """Return the command of a process that trains it into a folder, or goes on there."""
        return [*PYTHON, *self.words(), "--out", str(run), "--resume"]


def cell(task: str, method: str, seed: int = 0) -> Cell:
    """Return a cell of the paper's tables with all that tables and figures want to know of it."""
    measures: list[str] = []
    difficulties: tuple[str, ...] = ()
    if method.startswith("irem"):
        measures += ["steps", "halting"]
    if method == "ponder":
        measures.append("sampled")
    if task == "add":
        measures.append("composition")
    if method == "irem":
        measures.append("descents")
        if task == "shortest-path" and seed == 0:
            measures.append("cost")
        if task in PAPER_TASKS[:3]:
            measures.append("landscape")
        if task == "add" and seed == 0:
            measures += ["elements", "nested", "contours"]
    if task == "shortest-path" and method in ("irem", "recurrent"):
        difficulties = GRAPH_SIZES
    return Cell(
        task=task,
        method=method,
        seed=seed,
        preset=_preset(method),
        difficulties=difficulties,
        measures=tuple(measures),
        **_TUNED.get((task, method), {}),
    )


def denoise(method: str, seed: int = 0) -> Cell:
    """Return a cell of Table 5."""
    measures = ("psnr", "filters") if method == "irem" else ("psnr",)
    preset = _preset(method)
    return Cell(task="denoise", method=method, seed=seed, preset=preset, measures=measures)


def small_add(method: str, seed: int = 0) -> Cell:
    """Return a cell of addition of vectors of 20, which training without gradients can learn."""
    preset = _preset(method)
    return Cell(task="add(size=20)", variant="small-add", method=method, seed=seed, preset=preset)


def verifier(task: str, method: str, seed: int = 0) -> Cell:
    """Return a cell of the library's own energies, or of what their tasks are compared with."""
    measures: tuple[str, ...] = ()
    difficulties: tuple[str, ...] = ()
    if method.startswith("irem"):
        measures = ("halting", "sizes", "running-on")
        measures += ("judged",) if task == "shortest-path" else ()
        measures += ("composition",) if task == "add" else ()
    if (task, method) == ("add", "irem-elementwise"):
        difficulties = ("scale=7", "size=4000")
        measures += ("hundredfold",)
    return Cell(
        task=task,
        method=method,
        seed=seed,
        energy=_ENERGIES.get(method),
        folder="verifiers",
        difficulties=difficulties,
        measures=measures,
    )


def _preset(method: str) -> str | None:
    """Return the preset of the paper's energies, which the tables are about, for IREM."""
    return "tuned" if method.startswith("irem") else None
