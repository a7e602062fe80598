"""What training costs with and without truncation and replay (Table 2): time and memory.

Run as a module it trains one of `ABLATIONS` for some iterations and prints what that took:
`python -m irem_baselines.reproduce.cost METHOD`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from statistics import median
from typing import Any

import attrs
import torch

from irem_core import (
    IREM,
    Callback,
    FullUnroll,
    Progress,
    Solver,
    Task,
    fit,
    load_task,
    provenance,
)

TASK = "shortest-path"
ROUNDS = 3
ITERATIONS = 40
# The first iterations allocate memory and fill the replay buffer.
_WARM_UP = 10
ABLATIONS: dict[str, dict[str, Any]] = {
    "irem-full-no-replay": {"replay": 0, "backprop": FullUnroll()},
    "irem-full": {"backprop": FullUnroll()},
    "irem": {},
}


@attrs.define
class Clock(Callback):
    """Note when every iteration ends."""

    ends: list[float] = attrs.field(factory=list)

    def stepped(self, progress: Progress) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())


def cost(solver: Solver, task: Task, evaluation: dict[str, Any]) -> dict[str, Any]:
    """Return seconds an iteration and bytes of memory of each ablation, measured in turns.

    Every measurement is of a fresh process on one thread. The task is shortest-path, Table 2's.
    """
    module = [sys.executable, "-m", "irem_baselines.reproduce.cost"]
    taken: dict[str, list[dict[str, float]]] = {method: [] for method in ABLATIONS}
    for _ in range(ROUNDS):
        for method, measured in taken.items():
            done = subprocess.run([*module, method], check=True, stdout=subprocess.PIPE, text=True)
            measured.append(json.loads(done.stdout))
    return {
        method: {kind: median(each[kind] for each in measured) for kind in ("seconds", "bytes")}
        for method, measured in taken.items()
    }


def train(method: str) -> dict[str, float]:
    """Train for some iterations in this process: the median iteration and the growth of memory."""
    torch.set_num_threads(1)
    task = load_task(TASK)
    preset = IREM.presets["paper"](task.question, task.answer)
    solver = IREM.for_task(task, **{**preset.solver, **ABLATIONS[method]})
    before, clock = provenance.peak_memory(), Clock()
    fit(solver, task, callbacks=[clock], **{**preset.training, "iterations": ITERATIONS})
    passed = [end - begin for begin, end in zip(clock.ends, clock.ends[1:], strict=False)]
    return {
        "seconds": median(passed[_WARM_UP:]),
        "bytes": provenance.peak_memory() - before,
    }


if __name__ == "__main__":
    print(json.dumps(train(sys.argv[1])))
