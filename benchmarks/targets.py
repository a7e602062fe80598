"""What the benchmarks were to reach, and whether the figures of all machines do."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from irem_core.runs.provenance import hardware

Figures = dict[str, Any]


@attrs.frozen
class Target:
    """One figure that a benchmark was to reach.

    Args:
        title: what it is.
        script: which benchmark measures it.
        figure: reads it from that benchmark's JSON, None where it does not hold it.
        aim: the number to reach.
        most: whether the aim is the most it may be, rather than the least.
        form: how to write it.
    """

    title: str
    script: str
    figure: Callable[[Figures], float | None]
    aim: float
    most: bool = False
    form: str = "{:.2f} x"

    def reached(self, value: float) -> bool:
        """Say whether a figure is good enough."""
        return value <= self.aim if self.most else value >= self.aim


def _sooner(task: str) -> Callable[[Figures], float | None]:
    """Read how much sooner a task's published error is reached, where it is."""

    def figure(found: Figures) -> float | None:
        row = found["tasks"].get(task)
        return row["ratio"] if row is not None and row["reached"] else None

    return figure


def _fastest(space: str, found: Figures) -> float:
    """Read the ratio of whichever way of training is the fastest on a space."""
    ways = (each for name, each in found.items() if name.startswith(space))
    return max(float(each["ratio"]["median"]) for each in ways)


def _evaluations(descent: str, found: Figures) -> float:
    """Read the median ratio of a descent's evaluations to those of scipy's."""
    return float(found["compared"][descent]["ratio"])


TASKS = ("add", "matrix-inverse", "edge-copy", "connected-components", "shortest-path")
TARGETS = (
    *(
        Target(f"time to the paper's error, {task}", "time_to_error", _sooner(task), 10)
        for task in TASKS
    ),
    Target(
        "training on vectors, against plain Algorithm 1",
        "train_speed",
        lambda found: found["vector"]["ratio"]["median"],
        # What every processor can reach: plain needs 1.42 times as many operations.
        1.35,
    ),
    Target(
        "share of a matrix product's rate in that",
        "train_speed",
        lambda found: found["vector"]["share_of_matrix_product"]["median"],
        0.75,
        form="{:.0%}",
    ),
    Target(
        "training on graphs, compiled, against plain Algorithm 1",
        "train_speed",
        lambda found: found["graph, compiled"]["ratio"]["median"],
        3.0,
    ),
    *(
        Target(
            f"training on {space}s on a GPU, against plain Algorithm 1",
            "train_speed_gpu",
            partial(_fastest, space),
            aim,
        )
        for space, aim in (("vector", 10.0), ("graph", 20.0))
    ),
    Target(
        "energy evaluations, 80 steps against halting",
        "solve_speed",
        lambda found: found["evaluations_ratio"] if found["valid"] else None,
        5.0,
    ),
    Target(
        "time of solving, 80 steps against halting",
        "solve_speed",
        lambda found: found["speedup"]["median"] if found["valid"] else None,
        5.0,
    ),
    Target(
        "continuous batching, against waiting for the slowest",
        "streaming",
        lambda found: found["ways"]["waiting"]["times_streamed"]["median"],
        2.0,
    ),
    *(
        Target(
            f"evaluations to minima, {name} against scipy's",
            "descents",
            partial(_evaluations, name),
            1.2,
            most=True,
        )
        for name in ("lbfgs", "levenberg-marquardt")
    ),
    Target(
        "10,000 problems in a batch, against a loop over scipy",
        "many_problems",
        lambda found: found["median"],
        20.0,
    ),
    Target(
        "10,000 problems of 100 unknowns, against optimistix",
        "optimistix",
        lambda found: found["cases"]["10,000 of 100 unknowns"]["against"]["lbfgs"]["eager"][
            "ratio"
        ]["median"],
        1.5,
    ),
    Target(
        "a step of a factor energy, against one written for 9 x 9 boards alone",
        "factor",
        lambda found: found["ratio"]["median"],
        1.5,
        most=True,
    ),
    Target(
        "irem --help",
        "start",
        lambda found: found["seconds"]["irem --help"]["median"],
        0.6,
        most=True,
        form="{:.2f} s",
    ),
    Target(
        "irem list",
        "start",
        lambda found: found["seconds"]["irem list"]["median"],
        1.0,
        most=True,
        form="{:.2f} s",
    ),
)


def machines(results: Path) -> list[dict[str, Figures]]:
    """Read what these benchmarks measured, by their names, on one machine after the other."""
    scripts = {target.script for target in TARGETS}
    found = [
        {
            file.stem: json.loads(file.read_text(encoding="utf-8"))
            for file in sorted(folder.glob("*.json"))
            if file.stem in scripts
        }
        for folder in sorted(results.iterdir())
    ]
    return [each for each in found if each]


def rows(found: list[dict[str, Figures]]) -> Iterator[list[str]]:
    """Yield what each target is, its aim, what each machine reached, and a verdict on the worst."""
    for target in TARGETS:
        bound = "at most" if target.most else "at least"
        measured = [each.get(target.script) for each in found]
        values = [None if each is None else target.figure(each) for each in measured]
        reached = [
            value is not None and target.reached(value)
            for each, value in zip(measured, values, strict=True)
            if each is not None
        ]
        yield [
            target.title,
            f"{bound} {target.form.format(target.aim)}",
            *("-" if value is None else target.form.format(value) for value in values),
            "not measured" if not reached else "reached" if all(reached) else "not reached",
        ]


def machine_name() -> str:
    """Return a name for this machine's folder: its processor, cores and GPU."""
    found = hardware()
    words = [str(found["processor"]), f"{os.cpu_count()}-cores", str(found.get("gpu", ""))]
    return re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")
