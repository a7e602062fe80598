"""Make the records of cells: train what is missing, measure, and write JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import attrs

from irem_baselines.reproduce.cells import SEED, Cell
from irem_core import StorageError, TrainingDivergedError, storage

Record = dict[str, Any]


@attrs.frozen(kw_only=True)
class Folders:
    """Where records and runs are kept.

    Args:
        results: the folder of records, one JSON file a cell.
        runs: the folder of trained runs and of the logs of their trainings.
    """

    results: Path
    runs: Path

    def record(self, cell: Cell) -> Record | None:
        """Return a cell's record, or None where there is none.

        Raises:
            StorageError: the file is no JSON.
        """
        file = cell.file(self.results)
        if not file.is_file():
            return None
        try:
            found: Record = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StorageError(
                f"{file} cannot be read as JSON ({error}); delete it to have it made again."
            ) from error
        return found

    def missing(self, cells: Iterable[Cell], measures: Sequence[str] = ()) -> list[Cell]:
        """List the cells without a record, or without a measure in it that they should have."""
        return [each for each in cells if not self._has(each, measures)]

    def _has(self, cell: Cell, measures: Sequence[str]) -> bool:
        record = self.record(cell)
        if record is None:
            return False
        wanted = set(measures) & set(cell.measures)
        scored = set(cell.difficulties) <= set(record["evaluation"])
        return scored and wanted <= set(record.get("measures", {}))


def make(cell: Cell, folders: Folders) -> Record:
    """Train a cell's solver, go on with its training, or take it as it is; measure; write a record.

    Raises:
        TrainingDivergedError: the training ended with an error, which its log shows.
        StorageError: the record cannot be written.
    """
    import torch

    from irem_baselines.reproduce.measures import MEASURES
    from irem_core import evaluate, load, load_task

    run, log = folders.runs / cell.name, folders.runs / f"{cell.name}.log"
    folders.runs.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as output:
        status = subprocess.run(
            cell.process(run), stdout=output, stderr=subprocess.STDOUT, check=False
        ).returncode
    if status == 130:
        raise KeyboardInterrupt
    if status:
        # The process wrote in the encoding of the system.
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        raise TrainingDivergedError(
            f"The training of {cell.name} ended with status {status}; {log} ends with: "
            f"{''.join(last)}"
        )
    torch.set_num_threads(1)
    record: Record = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    solver, task = load(run), load_task(cell.task)
    evaluation = record["evaluation"]
    for difficulty in cell.difficulties:
        if difficulty not in evaluation:
            scores = evaluate(
                solver, task, difficulty=difficulty, seed=SEED, protocol=cell.protocol
            )
            evaluation[difficulty] = scores.to_dict()
    record["measures"] = {name: MEASURES[name](solver, task, evaluation) for name in cell.measures}
    record["command"] = cell.command()
    write(cell.file(folders.results), record)
    return record


def write(file: Path, record: Record) -> None:
    """Write a record; it is complete or not there.

    Raises:
        StorageError: it cannot be written.
    """
    with storage.replacing(file) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def make_all(
    cells: Sequence[Cell],
    command: Callable[[Cell], list[str]],
    *,
    jobs: int,
    say: Callable[[str], None],
) -> list[str]:
    """Make cells, each in a process of its own, several at a time.

    Args:
        cells: in the order to begin them in.
        command: what makes one of them.
        jobs: how many at a time.
        say: told of every cell that is done or has failed.

    Returns:
        The names of those that failed.
    """
    failed = []

    def run(cell: Cell) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command(cell), capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(run, each): each for each in cells}
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                cell, ended = running.pop(future), future.result()
                if ended.returncode == 130:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise KeyboardInterrupt
                if ended.returncode:
                    failed.append(cell.name)
                    say(f"{cell.name} failed. {ended.stderr.strip()}")
                else:
                    say(ended.stdout.strip())
    return failed
