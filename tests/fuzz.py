"""Fuzz readers with atheris, guided by coverage: python tests/fuzz.py cnf npz --inputs 200000.

Without names all readers are fuzzed, one after the other, each in a process of its own. What a
reader breaks on is kept in a file, and `--again FILE READER` feeds it once more. Needs atheris,
which the tests do not: pip install -c constraints.txt atheris.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

NAMES = (
    *("checkpoint-bytes", "checkpoint", "training", "strategy", "difficulty", "cnf"),
    *("npy", "npz", "csv", "safetensors", "metrics", "journal"),
)
# A single input that takes longer counts as a hang.
HANG_SECONDS = 20
LONGEST = 4096
LOOK_EVERY = 500


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("readers", nargs="*", metavar="READER", help=", ".join(NAMES))
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", type=Path, help="a JSON file to add the figures to")
    parser.add_argument("--again", type=Path, help="feed the content of a file once")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    unknown = set(given.readers) - set(NAMES)
    if unknown:
        parser.error(f"no such reader: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if given.again is not None:
        from fuzz_targets import checked

        checked(given.readers[0], given.again.read_bytes())
    elif given.child is not None:
        fuzz(given.readers[0], Path(given.child), given.inputs, given.seed)
    else:
        crashes = 0
        for name in given.readers or NAMES:
            found = run(name, given.inputs, given.seed)
            crashes += found["crashes"]
            if given.record is not None:
                record(given.record, name, found)
        sys.exit(crashes > 0)


def fuzz(name: str, folder: Path, inputs: int, seed: int) -> None:
    """Feed a reader in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["irem_core", "irem_tasks"]):
        from fuzz_targets import MOST_MEMORY, READERS, Broken, checked, peak_memory, watched

    corpus = folder / "corpus"
    corpus.mkdir()
    for number, content in enumerate(READERS[name][1]()):
        (corpus / str(number)).write_bytes(content)
        checked(name, content)
    options = {
        "runs": inputs,
        "seed": seed,
        "max_len": LONGEST,
        "timeout": HANG_SECONDS,
        "rss_limit_mb": 4096,
        "artifact_prefix": f"{folder}/",
        "verbosity": 1,
        "print_final_stats": 1,
    }
    flags = [f"-{key}={value}" for key, value in options.items()]
    most, fed = peak_memory() + MOST_MEMORY, itertools.count(1)

    def feed(data: bytes) -> None:
        watched(name, data)
        # The peak never falls, and asking for it takes longer than most readers do.
        if next(fed) % LOOK_EVERY == 0 and peak_memory() > most:
            raise Broken(f"one of the last {LOOK_EVERY} inputs took {MOST_MEMORY:,} bytes")

    atheris.Setup([sys.argv[0], *flags, str(corpus)], feed)
    atheris.Fuzz()


def run(name: str, inputs: int, seed: int) -> dict[str, Any]:
    """Feed a reader in a process of its own; say and return what became of it."""
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    words = [sys.executable, __file__, name, "--child", str(folder)]
    words += ["--inputs", str(inputs), "--seed", str(seed)]
    began = time.perf_counter()
    ended = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
    seconds = time.perf_counter() - began
    done = re.findall(r"stat::number_of_executed_units:\s*(\d+)", ended.stderr)
    found = sorted(str(each) for each in folder.iterdir() if each.is_file())
    crashes = len(found) or int(ended.returncode != 0)
    fed = int(done[-1]) if done else 0
    print(f"{name}: {fed:,} inputs in {seconds:.0f} s, {crashes} crashes", flush=True)
    if crashes:
        print(ended.stdout[-6000:], ended.stderr[-1500:], *found, sep="\n", flush=True)
    return {"inputs": fed, "seconds": round(seconds, 1), "crashes": crashes}


def record(file: Path, name: str, found: dict[str, Any]) -> None:
    """Add the figures of a reader to a record."""
    from irem_core.runs.provenance import hardware

    names = ("atheris", "numpy", "safetensors", "torch")
    held = json.loads(file.read_text()) if file.exists() else {"readers": {}}
    held["machine"] = {**hardware(), "threads": os.cpu_count()}
    held["versions"] = {
        "python": platform.python_version(),
        **{each: version(each) for each in names},
    }
    held["readers"][name] = found
    file.write_text(json.dumps(held, indent=2) + "\n")


if __name__ == "__main__":
    main()
