"""A script: train in forked processes that are killed at many moments, and compare in the end.

It is run by test_run_folder.py and test_distributed.py in a process of its own, since it forks and
kills. Its arguments are an empty folder, the number of processes that train together, and the name
of an energy. It prints one line a scenario: whether weights and log came out the same.
"""

import json
import os
import random
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import trainings
from irem_core import load
from irem_core.runs import checkpoint

ITERATIONS = 30
Result = tuple[dict[str, bytes], list[tuple[int, float]]]


def train(out: Path, rank: int, sabotage: Callable[[int], None]) -> NoReturn:
    """Train in this forked process, resuming where there is something to resume from."""
    try:
        sabotage(rank)
        trainings.train(
            out,
            solver=trainings.small_solver(getattr(trainings, sys.argv[3])),
            iterations=ITERATIONS,
            resume=True,
            checkpoint_every=4,
            log_every=3,
        )
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def attempt(out: Path, count: int, sabotage: Callable[[int], None], delay: float | None) -> None:
    """Train in forked processes; once one is gone before its time, the others are killed too."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    children = []
    for rank in range(count):
        child = os.fork()
        if not child:
            if count > 1:
                names = {"RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1"}
                for name, value in (names | {"MASTER_PORT": port}).items():
                    os.environ[name] = str(value)
            train(out, rank, sabotage)
        children.append(child)
    if delay is not None:
        time.sleep(delay)
        kill(children)
    codes = []
    while children:
        child, status = os.wait()
        children.remove(child)
        codes.append(os.waitstatus_to_exitcode(status))
        if codes[-1]:
            kill(children)
    # A process whose partner was killed may find the connection closed before it is killed itself.
    if any(codes) and -signal.SIGKILL not in codes:
        sys.exit(f"a training failed in {out.name}")


def kill(children: list[int]) -> None:
    for child in children:
        os.kill(child, signal.SIGKILL)


def nothing(rank: int) -> None:
    """Leave the training alone."""


def at_call(function: str, number: int, *, victim: int, after: bool) -> Callable[[int], None]:
    """Have one process kill itself at some call of a function that writes files."""

    def sabotage(rank: int) -> None:
        if rank != victim:
            return
        owner = Path if function == "replace" else checkpoint.os
        original = getattr(owner, function)
        calls = iter(range(1, 1_000_000))

        def fatal(*arguments):
            last = next(calls) == number
            if last and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(*arguments)
            if last:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(owner, function, fatal)

    return sabotage


def result(out: Path) -> Result:
    """Return the weights and the logged losses."""
    energy = getattr(trainings, sys.argv[3])
    unregistered = None if energy.__module__ != "trainings" else energy.for_task(trainings.TASK)
    lines = (out / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    losses = [(record["iteration"], record["loss"]) for record in records]
    return trainings.bits(load(out, energy=unregistered)), losses


def report(name: str, out: Path, expected: Result) -> None:
    leftovers = sorted(each.name for each in out.iterdir() if each.name.startswith("."))
    print(
        name,
        "same weights" if result(out)[0] == expected[0] else "DIFFERENT WEIGHTS",
        "same log" if result(out)[1] == expected[1] else f"DIFFERENT LOG {result(out)[1]}",
        f"LEFTOVERS {leftovers}" if leftovers else "no leftovers",
        sep=", ",
    )


def main() -> None:
    root, count = Path(sys.argv[1]), int(sys.argv[2])
    # What torch imports on first use is then imported once, before all forks.
    trainings.train(iterations=1)
    attempt(root / "undisturbed", count, nothing, None)
    expected = result(root / "undisturbed")
    report("undisturbed", root / "undisturbed", expected)

    # Each attempt gets one write further than the one before, then dies at or after it.
    for function in ("fsync", "replace"):
        out = root / function
        for number in range(1, 7 if count == 1 else 5):
            sabotage = at_call(function, number, victim=number % count, after=number % 2 == 0)
            attempt(out, count, sabotage, None)
        attempt(out, count, nothing, None)
        report(f"killed at {function}", out, expected)

    draw = random.Random(5)
    for _ in range(6 if count == 1 else 5):
        attempt(root / "random", count, nothing, draw.uniform(0.0, 0.4))
    attempt(root / "random", count, nothing, None)
    report("killed at random", root / "random", expected)


if __name__ == "__main__":
    main()
