"""Every benchmark of speed, one after the other, and what they were to reach: `make bench`.

Each is a script of its own, run in a process of its own, which prints its figures and writes them
as JSON into results/benchmarks/MACHINE. At the end stands the table of targets, with all machines
of that folder, which `benchmarks/render_results.py` writes into README.md and docs/speed.md. All of
them take some ten minutes on two cores; --only names some.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.markdown import Markdown

from speed_tables import speed
from targets import machine_name

ROOT = Path(__file__).parent.parent
SCRIPTS = (
    *("start", "train_speed", "train_speed_gpu", "gine", "energies", "iterations"),
    *("solve_speed", "streaming", "time_to_error", "implicit", "descents", "many_problems"),
    "factor",
)
# Those that are another script on a GPU, where one is there.
ON_GPU = {"train_speed_gpu": "train_speed"}


def main() -> None:
    """Run them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=SCRIPTS, action="append", help="all if unset")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of torch")
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "benchmarks")
    options = parser.parse_args()
    folder = options.results / machine_name()
    for script in options.only or SCRIPTS:
        since = time.perf_counter()
        print(f"== {script}", flush=True)
        if script in ON_GPU and not torch.cuda.is_available():
            print("(no GPU)\n", flush=True)
            continue
        file = Path(__file__).parent / f"{ON_GPU.get(script, script)}.py"
        command = [sys.executable, str(file), "--threads", str(options.threads)]
        command += ["--device", "cuda"] if script in ON_GPU else []
        subprocess.run([*command, "--json", str(folder / f"{script}.json")], check=True)
        print(f"({time.perf_counter() - since:.0f} s)\n", flush=True)
    for table in speed(options.results):
        Console().print(Markdown(table.markdown()))


if __name__ == "__main__":
    main()
