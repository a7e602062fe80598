"""Seconds until `irem --help` and `irem list` are done: neither may import torch."""

from __future__ import annotations

import subprocess
import sys
import time

import attrs

import measuring
from measuring import Spread

COMMANDS = {"irem --help": ["--help"], "irem list": ["list"]}


def seconds(words: list[str]) -> float:
    """Return how long a command of a process of its own takes."""
    since = time.perf_counter()
    command = [sys.executable, "-m", "irem_core", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - since


def main() -> None:
    """Measure and print."""
    options = measuring.parse(measuring.parser(__doc__ or "", rounds=7))
    machine = measuring.machine()
    figures = {}
    for name, words in COMMANDS.items():
        seconds(words)  # what the first start compiles is kept
        spread = Spread.of([seconds(words) for _ in range(options.rounds)])
        print(f"{name:12} {spread:.2f} s")
        figures[name] = attrs.asdict(spread)
    measuring.write(options.json, {"machine": machine, "seconds": figures})


if __name__ == "__main__":
    main()
