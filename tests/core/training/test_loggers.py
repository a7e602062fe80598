"""Loggers: tables and curves have what the run logged, also after it was stopped and resumed."""

import csv
import re
from pathlib import Path

import pytest

from irem_core import Callback, CSVLogger, Logger, SettingError, StorageError, TensorBoardLogger
from irem_core.training.callbacks import EvaluateEvery
from irem_core.training.progress import Progress
from irem_tasks import Add
from trainings import At, small_solver, train_on

DOCS = Path(__file__).parents[3] / "docs" / "logging.md"


class Stop(Exception):
    """Stops a training from a callback."""


def stop():
    raise Stop


def train(out=None, **options):
    """Train a solver whose evaluations take few steps."""
    return train_on(Add(size=4), small_solver(steps=1, max_steps=2), out=out, **options)


def table(file):
    with file.open(newline="") as handle:
        return list(csv.DictReader(handle))


def curves(folder):
    """Read the scalars of a folder as TensorBoard does: steps and values by name."""
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is not installed",
    )
    events = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {
        name: [(each.step, each.value) for each in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def logged(records, name):
    """What a run's records hold under a name, the last part of which is a difficulty perhaps."""
    first, _, rest = name.partition("/")
    return [
        (each["iteration"], each[first][rest] if rest else each[first])
        for each in records
        if first in each
    ]


def watched(*loggers):
    """An evaluation every 5 updates, and the loggers after it."""
    return [EvaluateEvery(5, difficulties=("same", "harder"), problems=3), *loggers]


def stopped_and_resumed(out, make, iteration, **options):
    """Train until after an update, without a checkpoint of that moment, and go on."""
    options = {"iterations": 20, "checkpoint_every": 8, "log_every": 3} | options
    with pytest.raises(Stop):
        train(out, callbacks=[*watched(make()), At(iteration, stop)], **options)
    return train(out, resume=True, callbacks=watched(make()), **options)


def test_table_has_a_row_for_each_iteration_at_which_something_was_logged(tmp_path):
    progress = train(tmp_path, iterations=11, log_every=10, callbacks=watched(CSVLogger()))
    rows = table(tmp_path / "metrics.csv")
    # At 5 and 10 it was evaluated, at 10 and 11 the loss was reported.
    assert [row["iteration"] for row in rows] == ["5", "10", "11"]
    assert list(rows[0]) == ["iteration", "seconds", "loss", "evaluation.same", "evaluation.harder"]
    losses = dict(logged(progress.records, "loss"))
    assert [row["loss"] for row in rows] == ["", str(losses[10]), str(losses[11])]
    errors = dict(logged(progress.records, "evaluation/harder"))
    assert [row["evaluation.harder"] for row in rows] == [str(errors[5]), str(errors[10]), ""]


class Late(Callback):
    """Logs a value of its own that nothing has logged before, and one in the end."""

    def stepped(self, progress):
        if progress.iteration == 7:
            progress.log(norm=2.5)

    def finished(self, progress):
        progress.log(verdict="good, really")


def test_columns_that_come_late_are_added_to_the_rows_before(tmp_path):
    file = tmp_path / "elsewhere" / "log.csv"
    train(iterations=9, log_every=3, callbacks=[Late(), CSVLogger(file)])
    rows = table(file)
    assert [row["iteration"] for row in rows] == ["3", "6", "7", "9", "9"]
    assert [row["norm"] for row in rows] == ["", "", "2.5", "", ""]
    assert [row["verdict"] for row in rows] == ["", "", "", "", "good, really"]
    assert all(row["loss"] for row in rows[:2])


@pytest.mark.parametrize("iteration", [2, 9, 14])
def test_table_of_a_resumed_run_is_that_of_an_undisturbed_one(tmp_path, iteration):
    """At 9 a checkpoint is newer than what was passed on; at 14 more was passed on than it has."""
    options = {"log_every": 7} if iteration == 9 else {}
    train(
        tmp_path / "whole",
        callbacks=watched(CSVLogger()),
        **{"iterations": 20, "checkpoint_every": 8, "log_every": 3} | options,
    )
    stopped_and_resumed(tmp_path / "parts", CSVLogger, iteration, **options)
    whole, parts = (table(tmp_path / name / "metrics.csv") for name in ("whole", "parts"))
    for row in [*whole, *parts]:
        assert bool(row.pop("seconds")) == bool(row["loss"])
    assert parts == whole
    assert len(whole) > 5


@pytest.mark.parametrize("iteration", [2, 14])
def test_curves_of_a_resumed_run_are_those_of_its_records(tmp_path, iteration):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    foreign = tmp_path / "tensorboard" / "events.out.tfevents.1.other"
    foreign.parent.mkdir()
    foreign.write_bytes(b"")
    progress = stopped_and_resumed(tmp_path, TensorBoardLogger, iteration)
    found = curves(tmp_path / "tensorboard")
    assert set(found) == {"loss", "evaluation/same", "evaluation/harder"}
    for name, points in found.items():
        expected = logged(progress.records, name)
        assert [step for step, _ in points] == [step for step, _ in expected]
        assert [value for _, value in points] == pytest.approx([value for _, value in expected])
    assert [step for step, _ in found["loss"]] == [3, 6, 9, 12, 15, 18, 20]
    assert foreign.exists()


def test_a_logger_added_when_resuming_has_the_whole_history(tmp_path):
    train(tmp_path, iterations=6, log_every=3)
    train(tmp_path, iterations=9, log_every=3, resume=True, callbacks=[CSVLogger()])
    assert [row["iteration"] for row in table(tmp_path / "metrics.csv")] == ["3", "6", "9"]


def test_loggers_without_a_place_are_refused(tmp_path, monkeypatch):
    with pytest.raises(SettingError, match=r"metrics\.csv.*out=.*file="):
        train(iterations=1, callbacks=[CSVLogger()])
    monkeypatch.setitem(__import__("sys").modules, "tensorboard", None)
    with pytest.raises(SettingError, match=r'pip install "irem-core\[tensorboard\]"'):
        TensorBoardLogger()


def test_a_table_that_cannot_be_written_is_a_storage_error(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="folder could not be written"):
        train(iterations=1, callbacks=[CSVLogger(tmp_path / "folder")])


def test_a_table_that_vanishes_stops_training_with_one_sentence(tmp_path):
    file = tmp_path / "log.csv"
    vanish = At(5, file.unlink)
    with pytest.raises(StorageError, match=r"log\.csv could not be written.*last checkpoint stays"):
        train(iterations=9, log_every=3, callbacks=[CSVLogger(file), vanish, Late()])


class Silent(Logger):
    """Counts what it is told."""

    def __init__(self):
        self.opened = self.closed = 0
        self.seen = []

    def open(self, progress):
        self.opened += 1

    def write(self, records):
        self.seen += records

    def close(self):
        self.closed += 1


def test_loggers_write_on_the_process_that_reports_alone():
    for leads in (True, False):
        progress = Progress(small_solver(), None, None, leads=leads, records=[{"iteration": 1}])
        logger = Silent()
        logger.started(progress)
        progress.records.append({"iteration": 2})
        logger.logged(progress)
        logger.finished(progress)
        assert logger.opened == leads
        assert logger.seen == ([{"iteration": 1}, {"iteration": 2}] if leads else [])


def test_callbacks_are_closed_once_whatever_happens():
    for callbacks, error in (([], None), ([At(3, stop)], Stop)):
        logger = Silent()
        if error is None:
            train(iterations=5, callbacks=[logger, *callbacks])
        else:
            with pytest.raises(error):
                train(iterations=5, callbacks=[logger, *callbacks])
        assert logger.closed == 1


def test_the_documented_logger_is_short():
    blocks = re.findall(r"^```python\n(.*?)^```$", DOCS.read_text(), re.DOTALL | re.MULTILINE)
    assert "class SQLiteLogger(Logger)" in blocks[0]
    assert len(blocks[0].splitlines()) <= 20
