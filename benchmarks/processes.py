"""Two processes of one thread each against one process of two, at the same total batch.

Both train `add` with the paper's energy and settings; the processes share every update through
DistributedDataParallel, as under torchrun. Each measurement is a fresh start, the time that of the
updates alone.
"""

from __future__ import annotations

import os
import subprocess
import sys

import attrs
import torch

import measuring
from irem_baselines.reproduce.cost import Clock
from irem_core import IREM, fit, load_task
from measuring import Spread

BATCH, WARM_UP, UPDATES = 128, 10, 60


def train(processes: int) -> float:
    """Return the seconds of the updates of this process, which may be one of several."""
    task, clock = load_task("add"), Clock()
    preset = IREM.presets["paper"](task.question, task.answer)
    solver = IREM.for_task(task, **preset.solver)
    settings = {**preset.training, "batch_size": BATCH // processes}
    fit(solver, task, callbacks=[clock], **{**settings, "iterations": WARM_UP + UPDATES})
    return clock.ends[-1] - clock.ends[WARM_UP - 1]


def measure(processes: int, threads: int) -> float:
    """Start the processes, and return the seconds of their updates."""
    own = [__file__, "--processes", str(processes), "--threads", str(threads)]
    command = [sys.executable, *own]
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
        command = [sys.executable, *launcher, "--master-port", "29617", *own]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    return max(float(line) for line in done.stdout.decode().split())


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(__doc__ or "", rounds=5)
    parser.add_argument("--processes", type=int, help="train as one of so many, print seconds")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.processes:
        # In one piece, since all processes write to one pipe.
        sys.stdout.write(f"{train(options.processes)}\n")
        return
    machine = measuring.machine()
    measuring.announce(machine)
    pairs = [(measure(2, 1), measure(1, 2)) for _ in range(options.rounds)]
    two, one = (Spread.of([pair[side] / UPDATES for pair in pairs]) for side in (0, 1))
    ratio = Spread.of([many / single for many, single in pairs])
    print(f"two processes, one thread each  {1e3 * two.median:.1f} ms an update")
    print(f"one process, two threads        {1e3 * one.median:.1f} ms an update")
    print(f"slower by                       {ratio:.2f}")
    figures = {"two": two, "one": one, "ratio": ratio}
    measuring.write(
        options.json,
        {"machine": machine, **{name: attrs.asdict(each) for name, each in figures.items()}},
    )


if __name__ == "__main__":
    main()
