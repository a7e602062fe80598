"""Drawing problems: whole batches as tasks do, one problem at a time with SciPy, and training.

For every installed task that is learned, a training batch is drawn after each iteration of the
default solver with the paper's settings, so that whatever slows the machine down slows both. Beside
them stands the plain way, in which NumPy draws as many numbers for each problem by itself and the
task's oracle answers it. A sampler may take a tenth of an iteration, which it is a part of.
"""

from __future__ import annotations

import time
from typing import Any

import attrs
import numpy as np
import torch

import measuring
from irem_core import IREM, Callback, IremError, Problem, Progress, Task, fit, load_task
from irem_core.problems import trees
from irem_core.registry import TASKS, plugins
from measuring import Spread

ALLOWED = 0.1
WARM_UP = 3


@attrs.frozen
class Row:
    """What drawing a training batch of a task takes.

    Args:
        task: its name.
        batch: problems of a batch.
        sampling: seconds to draw it at once.
        singly: seconds to draw it one problem at a time; None where the task has no oracle.
        iteration: seconds of a training iteration.
    """

    task: str
    batch: int
    sampling: Spread
    singly: Spread | None
    iteration: Spread

    @property
    def share(self) -> float:
        """The share of an iteration that the sampler takes."""
        return self.sampling.median / self.iteration.median


@attrs.define
class Alternation(Callback):
    """Time the iterations of `fit` and, between them, the sampler alone."""

    batch: int
    generator: torch.Generator
    iteration: list[float] = attrs.field(factory=list)
    sampling: list[float] = attrs.field(factory=list)
    _since: float = 0.0

    def stepped(self, progress: Progress) -> None:
        elapsed = time.perf_counter() - self._since
        since = time.perf_counter()
        progress.task.sample(self.batch, "train", generator=self.generator)
        if progress.iteration > WARM_UP:
            self.iteration.append(elapsed)
            self.sampling.append(time.perf_counter() - since)
        self._since = time.perf_counter()


def draw_singly(task: Task, batch: int, generator: torch.Generator) -> float | None:
    """Return the seconds that NumPy and the oracle take for a batch, one problem at a time."""
    problem, y = task.sample(batch, "train", generator=generator)
    layout = problem.layout
    singles = [trees.select(problem, layout, torch.tensor([each])) for each in range(batch)]
    numbers = [_numbers(single, y.numel() // batch) for single in singles]
    random = np.random.default_rng(0)
    since = time.perf_counter()
    try:
        for single, count in zip(singles, numbers, strict=True):
            random.uniform(-1, 1, count)
            task.oracle(single)
    except NotImplementedError:
        return None
    return time.perf_counter() - since


def _numbers(problem: Problem, of_graph: int) -> int:
    """Count the random numbers of a question: of a graph, one an answer, which is an edge's."""
    return sum(tensor.numel() for tensor in trees.tensors(problem.x)) or of_graph


def measure(name: str, rounds: int) -> Row:
    """Measure a task, `rounds` times.

    Raises:
        IremError: the task or its problems cannot be had, for want of a package for instance.
    """
    task = load_task(name)
    preset = IREM.presets["paper"](task.question, task.answer)
    solver = IREM.for_task(task, **preset.solver)
    batch = preset.training["batch_size"]
    generator = torch.Generator().manual_seed(0)
    alternation = Alternation(batch, generator)
    settings = {**preset.training, "iterations": WARM_UP + rounds}
    fit(solver, task, callbacks=[alternation], **settings)
    singly = [draw_singly(task, batch, generator) for _ in range(min(rounds, 3))]
    known = [seconds for seconds in singly if seconds is not None]
    return Row(
        task=name,
        batch=batch,
        sampling=Spread.of(alternation.sampling),
        singly=Spread.of(known) if known else None,
        iteration=Spread.of(alternation.iteration),
    )


def show(row: Row) -> None:
    """Print a row of the table."""
    singly, ratio = "-", "-"
    if row.singly is not None:
        singly = f"{row.singly.median * 1e3:.1f}"
        ratio = f"{row.singly.median / row.sampling.median:.0f}"
    verdict = "" if row.share < ALLOWED else f"  OVER {ALLOWED:.0%}"
    print(
        f"{row.task:22} {row.batch:5} {row.sampling.median * 1e3:9.2f} {singly:>9} {ratio:>6} "
        f"{row.iteration.median * 1e3:10.1f} {row.share:6.1%}{verdict}",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(__doc__ or "", rounds=20)
    parser.add_argument("tasks", nargs="*", help="which tasks; all that are installed if none")
    options = measuring.parse(parser)
    machine = measuring.machine()
    print("Milliseconds, medians:")
    print(
        f"{'task':22} {'batch':>5} {'at once':>9} {'singly':>9} {'ratio':>6} {'iteration':>10} "
        f"{'share':>6}"
    )
    rows: dict[str, Any] = {}
    for name in options.tasks or [plugin.name for plugin in plugins(TASKS)]:
        try:
            if load_task(name).energy() is not None:
                continue
            row = measure(name, options.rounds)
        except IremError as error:
            print(f"{name:22} left out: {error}")
            continue
        show(row)
        rows[name] = {**attrs.asdict(row), "share": row.share}
    measuring.write(options.json, {"machine": machine, "allowed_share": ALLOWED, "tasks": rows})


if __name__ == "__main__":
    main()
