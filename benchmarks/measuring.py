"""What the benchmarks share: the machine they run on, medians, peak memory, and records."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch

from irem_baselines.reproduce.cost import Clock
from irem_core import Recipe, Task, fit
from irem_core.files.storage import replacing
from irem_core.runs.provenance import commit, hardware, provenance, versions

MEBIBYTE = 2**20
WARM_UP = 5


@attrs.frozen
class Spread:
    """Repeated measurements of one quantity."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def __format__(self, spec: str) -> str:
        return f"{self.median:{spec}} ({self.low:{spec}} to {self.high:{spec}})"


def parser(description: str, rounds: int) -> argparse.ArgumentParser:
    """Make a parser of the options that every benchmark takes."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of torch")
    made.add_argument("--rounds", type=int, default=rounds, help="measurements of each side")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the measurements here too")
    # What a fresh process of the benchmark itself is to measure the memory of.
    made.add_argument("--memory-of", help=argparse.SUPPRESS)
    return made


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read a benchmark's options, and compute with as many threads as they say."""
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    return options


def machine() -> dict[str, Any]:
    """Describe and print the machine and its state: a busy one measures something else."""
    state: dict[str, Any] = {
        **hardware(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "versions": versions(),
        "commit": commit(),
    }
    print(
        f"{state['processor']}, {state['cores']} cores, torch {state['versions']['torch']} with "
        f"{state['threads']} threads, load {state['load']}"
    )
    if state["load"] > 0.5:
        print("Other processes were running: close them and measure again for figures to quote.")
    return state


def train(made: Recipe, task: Task, updates: int) -> list[float]:
    """Train as `fit` does, and return the seconds of each update once caches are warm."""
    clock = Clock()
    settings = {**made.training, "iterations": WARM_UP + updates}
    fit(made.solver, task, callbacks=[clock], **settings)
    passed = [end - begin for begin, end in zip(clock.ends, clock.ends[1:], strict=False)]
    return passed[WARM_UP - 1 :]


def memory_of(name: str, *arguments: str) -> int:
    """Run the benchmark again as a fresh process, which prints the bytes that `name` needs."""
    command = [sys.executable, sys.argv[0], "--memory-of", name, *arguments]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def command() -> str:
    """Return what was called, as anyone would call it: without folders of this machine."""
    root = Path(__file__).parents[1]

    def told(word: str) -> str:
        path = Path(word)
        if not path.is_absolute():
            return word
        return str(path.relative_to(root)) if path.is_relative_to(root) else path.name

    return " ".join(["python", *map(told, sys.argv)])


def keep_each(
    names: Iterable[str], seed: int, results: Path, measure: Callable[[str], dict[str, Any]]
) -> None:
    """Write a record NAME-SEED.json of each set that has none, measured on one thread.

    Args:
        names: of the sets.
        seed: of all that is drawn.
        results: the folder.
        measure: a set to what is measured of it, "same" and "harder" among it, which are printed.
    """
    torch.set_num_threads(1)
    results.mkdir(parents=True, exist_ok=True)
    for name in names:
        file = results / f"{name}-{seed}.json"
        if file.exists():
            continue
        about = {"set": name, "seed": seed, "command": command()}
        record = {**about, **provenance(), **measure(name)}
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        print(f"{name}: {record['same']}, {record['harder']}", flush=True)


def write(file: Path | None, measured: dict[str, Any]) -> None:
    """Write measurements as JSON, where a file is given."""
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(measured, indent=2) + "\n")
