"""The folder of a run: the files of a training, written so that it can be killed at any moment."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from torch import Tensor

from irem_core import checks
from irem_core.distributed import Ranks
from irem_core.errors import (
    CheckpointError,
    DamagedFileWarning,
    RunExistsError,
    SettingError,
    StorageError,
)
from irem_core.files.lock import locked
from irem_core.files.storage import read_json_lines, replacing, writing
from irem_core.runs import checkpoint
from irem_core.runs.description import completed

METRICS = "metrics.jsonl"
EVALUATION = "evaluation.json"


class RunFolder:
    """Where one process of a training writes.

    Every process writes `training-RANK.safetensors` (the first one `training.safetensors`). A
    checkpoint is first written beside the old one and takes its place once all processes have
    written theirs, so that at any moment one step is complete on all of them.

    Args:
        path: the folder, created if need be.
        ranks: this process among those that train together.

    Raises:
        SettingError: there is a file of that name, or the system can have no such folder.
        StorageError: the folder cannot be made.
    """

    def __init__(self, path: str | os.PathLike[str], ranks: Ranks) -> None:
        """Create the folder."""
        checks.check_path(path)
        self.path = Path(path)
        self.ranks = ranks
        name = "training" if ranks.leads else f"training-{ranks.rank}"
        self._current = self.path / f"{name}.safetensors"
        self._pending = self.path / f"{name}.next.safetensors"
        if self.path.exists() and not self.path.is_dir():
            raise SettingError(
                f"{self.path} is a file, and a run needs a folder; choose another with out= or "
                "--out."
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"The folder {self.path} cannot be made ({error.strerror}); choose another with "
                "out= or --out."
            ) from error

    def alone(self) -> AbstractContextManager[None]:
        """Keep other trainings out of the folder; see `lock.locked`."""
        return self.ranks.led(locked(self.path / ".lock", guards=self.path))

    def claim(self, *, resume: bool) -> None:
        """Make sure that no other run is overwritten, and clear away what a kill left.

        Raises:
            RunExistsError: the folder holds a run, and `resume` is false.
        """
        held = [checkpoint.MODEL, METRICS, self._current.name, self._pending.name]
        present = [name for name in held if (self.path / name).exists()]
        if present and not resume:
            raise RunExistsError(
                f"{self.path} already holds a run ({', '.join(present)}); add --resume "
                "(resume=True) to go on with it, or choose another folder with --out (out=)."
            )
        if self.ranks.leads:
            # What a kill left half written; no process writes before all have come past `newest`.
            for name in (checkpoint.MODEL, METRICS, "training*.safetensors"):
                for leftover in self.path.glob(f".{name}.*"):
                    leftover.unlink(missing_ok=True)

    def save(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
        """Write a checkpoint of this process once all processes have written theirs.

        Raises:
            StorageError: writing failed; the checkpoint before stays.
        """
        if self.ranks.count == 1:
            checkpoint.write(self._current, tensors, metadata)
            return
        checkpoint.write(self._pending, tensors, metadata)
        self.ranks.gather(None)
        self._pending.replace(self._current)

    def newest(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Read the newest checkpoint that is complete on all processes, or None.

        Raises:
            CheckpointError: the processes have checkpoints but none in common, or a file is
                damaged.
        """
        files = [file for file in (self._current, self._pending) if file.is_file()]
        steps = {_iteration(file): file for file in files}
        gathered = self.ranks.gather((set(steps), self._current in files))
        common = set.intersection(*(held for held, _ in gathered))
        if not common:
            # Pending files alone were left by a kill during the first checkpoint: nothing is lost.
            if any(completed for _, completed in gathered):
                raise CheckpointError(
                    f"The processes of {self.path} have no checkpoint in common; resume with as "
                    "many processes as training began with."
                )
            return None
        return checkpoint.read(steps[max(common)])

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a line to the metrics.

        Raises:
            StorageError: writing failed.
        """
        file = self.path / METRICS
        with writing(file), file.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(record) + "\n")

    def cut_metrics(self, iteration: int) -> list[dict[str, Any]]:
        """Drop the metrics after an iteration, and lines that a kill left half written.

        Returns:
            The records that stay.
        """
        kept = [each for each in read_metrics(self.path) if each["iteration"] <= iteration]
        if self.ranks.leads:
            with replacing(self.path / METRICS) as temporary:
                lines = (json.dumps(record) + "\n" for record in kept)
                temporary.write_text("".join(lines), encoding="utf-8")
        return kept


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read what a run has logged, without the last line where a kill left it half written.

    Warns of other damage with a `DamagedFileWarning`.

    Raises:
        OSError: the file cannot be read.
    """
    file = path / METRICS
    if not file.is_file():
        return []
    records, damaged = read_json_lines(file, sound=lambda each: type(each.get("iteration")) is int)
    if damaged:
        warnings.warn(
            f"{file} is damaged, first in line {damaged[0]}; {len(damaged)} of its lines are left "
            "out.",
            DamagedFileWarning,
            stacklevel=2,
        )
    return records


def _iteration(file: Path) -> int:
    try:
        return int(checkpoint.read_metadata(file)["iteration"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{file} is no checkpoint to resume from: it lacks the iteration. Perhaps another file "
            "was copied over it."
        ) from error


def check_same_settings(before: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    """Make sure that a training goes on with the settings it began with.

    Settings that parts have gained since then count as given at their defaults.

    Raises:
        SettingError: a setting differs; the error lists which.
    """
    changed = differences(completed(before), now)
    if changed:
        raise SettingError(
            f"The run in {path} cannot be resumed with other settings: {'; '.join(changed[:5])}. "
            "Give the settings that it began with, or train into another folder."
        )


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say in words which settings of two trees differ, in the order of their names."""
    flat_before, flat_now = flat(before), flat(now)
    return [
        f"{name} was {flat_before.get(name)!r} and is {flat_now.get(name)!r}"
        for name in sorted(flat_before.keys() | flat_now.keys())
        if flat_before.get(name) != flat_now.get(name)
    ]


def flat(tree: Mapping[str, Any], separator: str = ".") -> dict[str, Any]:
    """Return the leaves of a tree of mappings, named by the way to them: `evaluation.same`."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            below = flat(value, separator)
            leaves |= {f"{name}{separator}{rest}": leaf for rest, leaf in below.items()}
        else:
            leaves[str(name)] = value
    return leaves
