"""Loggers: what a training logs, kept where people look already, beside the run's own metrics."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irem_core.errors import SettingError
from irem_core.files.storage import replacing, writing
from irem_core.runs.description import describe
from irem_core.runs.run_folder import flat
from irem_core.training.progress import Callback, Progress

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

Record = Mapping[str, Any]
"""What was logged at once: its iteration, and losses or the errors of an evaluation."""


class Logger(Callback):
    """Passes on what a training logs: each record once, in order, at every report of the loss.

    A resumed training begins the log anew with the records of the run up to its checkpoint. What a
    kill left unwritten is then there, and what was written after the checkpoint is there once.
    """

    def open(self, progress: Progress) -> None:
        """Begin an empty log, in place of what an earlier session wrote."""

    def write(self, records: Sequence[Record]) -> None:
        """Add records, such as `{"iteration": 50, "loss": 0.3, "seconds": 1.2}`."""
        raise NotImplementedError

    def started(self, progress: Progress) -> None:
        """Begin the log with the records that a resumed run has, on the process that reports."""
        self._passed = 0
        if progress.leads:
            self.open(progress)
            self._pass_on(progress)

    def logged(self, progress: Progress) -> None:
        """Pass on what was logged since the last time."""
        if progress.leads:
            self._pass_on(progress)

    def finished(self, progress: Progress) -> None:
        """Pass on what other callbacks logged last."""
        self.logged(progress)

    def _pass_on(self, progress: Progress) -> None:
        records = progress.records[self._passed :]
        self._passed += len(records)
        if records:
            self.write(records)


class CSVLogger(Logger):
    """A table with a row for each iteration at which something was logged.

    Its columns are `iteration`, `seconds`, `loss`, then others as they come, such as
    `evaluation.same`. What was not logged at an iteration is an empty cell.

    Args:
        file: where to write; `metrics.csv` in the run's folder if None.

    Raises:
        SettingError: there is neither a file nor a run's folder (when training starts).
        StorageError: writing failed (in training).
    """

    def __init__(self, file: str | os.PathLike[str] | None = None) -> None:
        """Keep the name of the file; training opens it."""
        self.file = None if file is None else Path(file)

    def open(self, progress: Progress) -> None:
        """Begin a table of headings alone."""
        self._path = self.file or _in_run(progress, "metrics.csv", "file")
        self._columns = ["iteration", "seconds", "loss"]
        self._rewrite([])

    def write(self, records: Sequence[Record]) -> None:
        """Add the rows of some records, and the columns that are new."""
        rows: dict[int, dict[str, Any]] = {}
        for record in records:
            rows.setdefault(record["iteration"], {}).update(flat(record))
        new = dict.fromkeys(name for row in rows.values() for name in row)
        new = {name: None for name in new if name not in self._columns}
        with writing(self._path):
            if new:
                with self._path.open(newline="", encoding="utf-8") as handle:
                    before = list(csv.DictReader(handle))
                self._columns += new
                self._rewrite(before)
            # Not to append, which would begin a file without headings where it has vanished.
            with self._path.open("r+", newline="", encoding="utf-8") as handle:
                handle.seek(0, os.SEEK_END)
                self._writer(handle).writerows(rows.values())

    def _rewrite(self, rows: Sequence[Record]) -> None:
        with (
            replacing(self._path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as handle,
        ):
            writer = self._writer(handle)
            writer.writeheader()
            writer.writerows(rows)

    def _writer(self, handle: Any) -> Any:
        return csv.DictWriter(handle, self._columns, lineterminator="\n")


class TensorBoardLogger(Logger):
    """Curves for TensorBoard: `loss`, `evaluation/same`, ..., and the run's settings as text.

    Their clock is the time spent training, so that a resumed run shows no gap. What is logged but
    is no number is left out.

    Args:
        folder: where to write; `tensorboard` in the run's folder if None. Other event files that
            lie there are left alone.

    Raises:
        SettingError: tensorboard is not installed; or there is neither a folder nor a run's folder
            (when training starts).
        StorageError: writing failed (in training).
    """

    _SUFFIX = ".irem"

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        """Make sure that TensorBoard is there before anything is trained."""
        if importlib.util.find_spec("tensorboard") is None:
            raise SettingError(
                "Logging for TensorBoard needs the package tensorboard, which is not installed: "
                'pip install "irem-core[tensorboard]".'
            )
        self.folder = None if folder is None else Path(folder)
        self._events: SummaryWriter | None = None

    def open(self, progress: Progress) -> None:
        """Begin a file of events, in place of those of earlier sessions of the run."""
        from torch.utils.tensorboard import SummaryWriter

        self._path = self.folder or _in_run(progress, "tensorboard", "folder")
        self._began = time.time() - progress.seconds
        self._seconds = 0.0
        with writing(self._path):
            for earlier in self._path.glob(f"events.out.tfevents.*{self._SUFFIX}"):
                earlier.unlink()
            self._events = SummaryWriter(str(self._path), filename_suffix=self._SUFFIX)
            settings = {"solver": describe(progress.solver), "task": describe(progress.task)}
            written = json.dumps(settings, indent=2).replace("\n", "\n    ")
            self._events.add_text("settings", f"    {written}", walltime=self._began)

    def write(self, records: Sequence[Record]) -> None:
        """Add the numbers of some records, and make sure that they are on the disk."""
        assert self._events is not None
        with writing(self._path):
            for record in records:
                values = flat(record, "/")
                step = values.pop("iteration")
                self._seconds = values.pop("seconds", self._seconds)
                clock = self._began + self._seconds
                for name, value in values.items():
                    if isinstance(value, int | float):
                        self._events.add_scalar(name, value, step, walltime=clock)
            self._events.flush()

    def close(self) -> None:
        """Close the file of events."""
        if self._events is not None:
            self._events.close()
            self._events = None


LOGGERS: dict[str, type[Logger]] = {"csv": CSVLogger, "tensorboard": TensorBoardLogger}
"""Loggers by the names that `irem train --log` knows; each is made without arguments."""


def _in_run(progress: Progress, name: str, argument: str) -> Path:
    if progress.out is None:
        raise SettingError(
            f"There is no place for {name}: fit got no out=; give it the run's folder, or the "
            f"logger a place of its own with {argument}=."
        )
    return progress.out / name
