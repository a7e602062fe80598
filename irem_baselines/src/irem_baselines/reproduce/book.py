"""The records in results/ as tables and figures read them, and tables of text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import attrs

from irem_baselines.reproduce.measures import TRAINED_STEPS
from irem_core import Floor

Record = dict[str, Any]


@attrs.define
class Book:
    """All records of a folder.

    Args:
        folder: of files TASK-METHOD-SEED.json.
    """

    folder: Path

    @cached_property
    def records(self) -> dict[tuple[str, str], list[Record]]:
        """The records by task and method, of all seeds in order.

        Where some are of answers that halted, those of the published protocol are left out: their
        errors and steps are of another thing.
        """
        found: dict[tuple[str, str], list[Record]] = {}
        for file in sorted(self.folder.glob("*-*.json")):
            record = json.loads(file.read_text(encoding="utf-8"))
            method = file.stem.removeprefix(f"{record['task']}-").rpartition("-")[0]
            found.setdefault((record["task"], method), []).append(record)
        for key, each in found.items():
            halted = [record for record in each if _protocol(record) == "solve"]
            found[key] = sorted(halted or each, key=lambda one: one["seed"])
        return found

    @cached_property
    def floors(self) -> dict[str, dict[str, Floor]]:
        """The floors that are kept beside the folder, by task and difficulty."""
        found = {}
        for file in sorted((self.folder.parent / "floors").glob("*.json")):
            record = json.loads(file.read_text(encoding="utf-8"))
            found[record["task"]] = {name: Floor(**each) for name, each in record["floors"].items()}
        return found

    def floor(self, task: str, difficulty: str) -> Floor | None:
        """Return what answers without reasoning score, fitted to that difficulty, where kept."""
        return self.floors.get(task, {}).get(difficulty)

    def relative(self, task: str, difficulty: str, errors: Sequence[float]) -> float | None:
        """Return the median of errors over the error of the difficulty's best constant answer.

        None where there is no error, no floor, or nothing that a constant leaves to explain.
        """
        floor = self.floor(task, difficulty)
        if floor is None or not floor.constant or not errors:
            return None
        return median(errors) / floor.constant

    def fitted_there(self, task: str, difficulties: Sequence[str]) -> list[list[str]]:
        """Write the rows of floors: a name, then error and relative error of each difficulty."""
        floors = [self.floor(task, each) for each in difficulties]
        rows = []
        for kind in ("constant", "entrywise"):
            errors = [None if each is None else getattr(each, kind) for each in floors]
            cells = [
                text
                for name, error in zip(difficulties, errors, strict=True)
                for text in (
                    figure(error),
                    figure(self.relative(task, name, [] if error is None else [error])),
                )
            ]
            if any(error is not None for error in errors):
                rows.append([f"{kind} fitted there", *cells])
        return rows

    def bounds(self, task: str, difficulty: str, errors: Sequence[float]) -> list[str]:
        """Write constant, entrywise and the relative error: the columns of tables over sizes."""
        floor = self.floor(task, difficulty)
        known = (None, None) if floor is None else (floor.constant, floor.entrywise)
        return [*map(figure, known), figure(self.relative(task, difficulty, errors))]

    def of(self, task: str, method: str) -> list[Record]:
        """Return the records of a task and method, which may be none."""
        return self.records.get((task, method), [])

    def errors(self, task: str, method: str, difficulty: str, kind: str = "mse") -> list[float]:
        """Return an error of every seed: "mse", "mse_last", "mse_best_checkpoint", or "tuned".

        Networks that answer step by step, and do not halt by themselves, are scored after the steps
        that they were trained with.
        """
        return [
            value
            for record in self.of(task, method)
            if (value := _error(record, difficulty, kind)) is not None
        ]

    def measured(self, task: str, method: str, measure: str) -> list[Any]:
        """Return a measure of every seed that has it."""
        kept = [record.get("measures", {}) for record in self.of(task, method)]
        return [each[measure] for each in kept if measure in each]


def _protocol(record: Record) -> str:
    return str(next((each.get("protocol") for each in record["evaluation"].values()), None))


def _error(record: Record, difficulty: str, kind: str) -> float | None:
    scores = record["evaluation"].get(difficulty)
    if scores is None:
        return None
    if kind == "tuned":
        found = record.get("measures", {}).get("steps", {}).get(difficulty)
        return None if found is None else float(found["mse"])
    if kind == "mse" and iterated(record):
        return float(scores["mse_by_step"][str(TRAINED_STEPS)])
    value = scores.get(kind)
    return None if value is None else float(value)


def iterated(record: Record) -> bool:
    """Say whether a record is of a network without an energy that takes all steps it is given."""
    scores = next(iter(record["evaluation"].values()))
    by_step = scores["mse_by_step"]
    if record["energy"] is not None or str(TRAINED_STEPS) not in by_step:
        return False
    return bool(scores["steps_mean"] == max(map(int, by_step)))


@attrs.frozen(kw_only=True)
class Table:
    """A table of text.

    Args:
        title: what it shows.
        columns: the heads.
        rows: as many texts each.
        notes: sentences below it.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        """Return the table in Markdown, without its title."""
        lines = [list(self.columns), ["---", *["---:"] * (len(self.columns) - 1)], *self.rows]
        text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        return text + "".join(f"\n{note}\n" for note in self.notes)


# What rows of references are called, which are fitted to the sizes and scales of training.
TITLES = {"constant": "constant of training", "entrywise": "entrywise of training"}


def figure(value: float | None, digits: int = 3) -> str:
    """Write a number, or a dash where there is none."""
    if value is None:
        return "-"
    # Below the rounding of the arithmetic an error is zero.
    return "0" if abs(value) < 1e-12 else f"{value:.{digits}g}"


def over_seeds(values: Sequence[float]) -> str:
    """Write the median over seeds, and the smallest and largest of several."""
    if len(values) < 2:
        return figure(values[0] if values else None)
    return f"{figure(median(values))} ({figure(min(values))} to {figure(max(values))})"


def provenance(records: Iterable[Record]) -> list[str]:
    """Return sentences that say how many seeds and iterations were trained, and on what."""
    listed = list(records)
    learned = [each for each in listed if each["iterations"] > 1]
    if not learned:
        return []
    iterations = sorted({each["iterations"] for each in learned})
    seeds = sorted({each["seed"] for each in learned})
    machines = sorted(
        {
            f"{each['hardware']['processor']}, {each['threads']} thread"
            f"{'s' if each['threads'] > 1 else ''}"
            for each in learned
        }
    )
    length = " or ".join(f"{each:,}" for each in iterations)
    return [
        f"Trained for {length} iterations; seeds {', '.join(map(str, seeds))} (one where no range "
        f"is given); {'; '.join(machines)}."
    ]
