"""A file of many problems solved into another, killed half-way, resumed, and solved undisturbed.

Problems are additions of 400 entries, a million by default, which take 3.2 GB; the solver is an
elementwise energy that is trained first, for seconds. `irem solve` runs in a process of its own,
whose peak memory is read while it runs. It is no part of `python benchmarks`, since it takes as
long as all of them.
"""

from __future__ import annotations

import filecmp
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import measuring
from irem_core import fit, load_task, recipe
from measuring import MEBIBYTE

SIZE, CHUNK = 400, 50_000


def write_problems(file: Path, count: int) -> None:
    """Write random additions, a chunk at a time."""
    random = np.random.default_rng(0)
    shape = (count, 2 * SIZE)
    held = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
    for start in range(0, count, CHUNK):
        rows = held[start : start + CHUNK]
        rows[:] = random.uniform(-1, 1, rows.shape)


def solve(folder: Path, name: str, threads: int, *, kill_at: int | None) -> dict[str, Any]:
    """Run `irem solve`, perhaps until so many blocks are done, and return what it took."""
    words = ["solve", folder / "run", "--input", folder / "x.npy", "--output", folder / name]
    words += ["--threads", threads, "--resume", "--json"]
    command = [sys.executable, "-m", "irem_core", *map(str, words)]
    since, memory = time.perf_counter(), [0]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            time.sleep(0.2)
            memory.append(resident(process.pid))
            if kill_at is not None and blocks(folder / f"{name}.part.jsonl") >= kill_at:
                process.send_signal(signal.SIGKILL)
                break
    return {"seconds": time.perf_counter() - since, "peak_bytes": max(memory)}


def resident(process: int) -> int:
    """Return the bytes that a process has held at most, 0 once it is gone."""
    status = Path(f"/proc/{process}/status")
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def blocks(journal: Path) -> int:
    """Return how many blocks a journal tells of."""
    return journal.read_text().count('"found"') if journal.is_file() else 0


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(__doc__ or "", rounds=1)
    parser.add_argument("--problems", type=int, default=1_000_000, help="how many to solve")
    parser.add_argument("--folder", type=Path, help="for some gigabytes; the system's if unset")
    options = measuring.parse(parser)
    machine = measuring.machine()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        task = load_task("add", size=SIZE)
        made = recipe(task, energy="elementwise")
        fit(made.solver, task, out=folder / "run", **{**made.training, "iterations": 200})
        write_problems(folder / "x.npy", options.problems)
        whole = solve(folder, "whole.npy", options.threads, kill_at=None)
        half = max(1, options.problems // 16_384 // 2)
        killed = solve(folder, "killed.npy", options.threads, kill_at=half)
        finished = not (folder / "killed.npy.part").exists()
        resumed = solve(folder, "killed.npy", options.threads, kill_at=None)
        same = filecmp.cmp(folder / "whole.npy", folder / "killed.npy", shallow=False)
        size = (folder / "x.npy").stat().st_size
    rate = options.problems / whole["seconds"]
    print(f"{options.problems:,} problems in {size / 2**30:.1f} GiB, {rate:,.0f} a second")
    for title, found in (("undisturbed", whole), ("until killed", killed), ("resumed", resumed)):
        print(f"{title:14}{found['seconds']:7.0f} s, {found['peak_bytes'] / MEBIBYTE:,.0f} MiB")
    print("was done before it could be killed" if finished else f"killed after {half} blocks")
    print("the answers are the same bytes" if same else "THE ANSWERS DIFFER")
    measuring.write(
        options.json,
        {
            "machine": machine,
            "problems": options.problems,
            "bytes": size,
            "undisturbed": whole,
            "until_killed": killed,
            "resumed": resumed,
            "killed": not finished,
            "same_bytes": same,
        },
    )


if __name__ == "__main__":
    main()
