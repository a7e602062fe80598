"""Locks: one writer at a time, whoever was killed before, and nothing left behind."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from irem_core import InUseError, StorageError, solve_file
from irem_core.distributed import Ranks
from irem_core.files import lock
from irem_core.files.lock import alone
from trainings import TASK, At, bits, small_solver, train

# Takes the lock, says so, and holds it until it is killed or its input ends.
HOLDER = """
import sys
from pathlib import Path
from irem_core.distributed import Ranks
from irem_core.files.lock import alone

file = Path(sys.argv[1])
with alone(file, Ranks(), guards=file.parent):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold(tmp_path):
    """Start processes that hold a lock; those that are left are killed at the end."""
    started = []

    def start(file):
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", HOLDER, str(file)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        assert started[-1].stdout.readline() == b"held\n"
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.communicate()


def take(file):
    with alone(file, Ranks(), guards=file.parent):
        assert file.exists()


def test_a_lock_is_held_by_one_process_and_freed_at_its_end(tmp_path, hold):
    file = tmp_path / "new" / ".lock"
    holder = hold(file)
    with pytest.raises(InUseError, match=rf"{file.parent} is in use: another process"):
        take(file)
    holder.communicate()
    assert list(file.parent.iterdir()) == []
    take(file)
    assert list(file.parent.iterdir()) == []


def test_a_lock_does_not_outlive_a_killed_process(tmp_path, hold):
    file = tmp_path / ".lock"
    holder = hold(file)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert file.exists()
    take(file)
    assert not file.exists()


def test_within_a_process_and_after_an_error(tmp_path):
    file = tmp_path / ".lock"
    with alone(file, Ranks(), guards=tmp_path), pytest.raises(InUseError):
        take(file)
    with pytest.raises(KeyError), alone(file, Ranks(), guards=tmp_path):
        raise KeyError
    take(file)


def test_a_lock_on_a_file_that_its_holder_removed_is_taken_anew(tmp_path, monkeypatch):
    """The holder ends between the opening of the file here and the locking of it."""
    file = tmp_path / ".lock"
    flock, calls = fcntl.flock, []

    def removed_first(handle, operation):
        calls.append(os.fstat(handle).st_ino)
        if len(calls) == 1:
            file.unlink()
        flock(handle, operation)

    monkeypatch.setattr(lock.fcntl, "flock", removed_first)
    with alone(file, Ranks(), guards=tmp_path):
        assert file.stat().st_ino == calls[1]
    assert len(calls) == 2


def test_only_the_first_process_of_several_locks(tmp_path):
    file = tmp_path / ".lock"

    class Shared(Ranks):
        def gather(self, value):
            return [(True, None), value]

    with alone(file, Shared(1, 2), guards=tmp_path):
        assert not file.exists()

    class Refused(Ranks):
        def gather(self, value):
            return [(False, None), value]

    with pytest.raises(InUseError), alone(file, Refused(1, 2), guards=tmp_path):
        pytest.fail("the first process holds no lock")


def test_a_file_system_without_locks_gives_no_protection_and_no_error(tmp_path, monkeypatch):
    def unsupported(handle, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", unsupported)
    take(tmp_path / ".lock")
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path):
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="Nothing can be written to"):
        take(tmp_path / ".lock")
    assert not (tmp_path / "elsewhere").exists()


def test_two_trainings_into_one_folder_are_refused(tmp_path):
    undisturbed = bits(train(iterations=20).solver)
    refused = []

    def second():
        with pytest.raises(InUseError, match=f"{tmp_path} is in use") as raised:
            train(tmp_path, iterations=20, resume=True)
        refused.append(raised.value)

    first = train(tmp_path, iterations=20, callbacks=[At(7, second)])
    assert len(refused) == 1
    assert isinstance(refused[0], BlockingIOError)
    assert bits(first.solver) == undisturbed
    assert ".lock" not in {each.name for each in tmp_path.iterdir()}


def test_two_calls_that_write_one_file_of_answers_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((40, 8), np.float32))
    whole, solver = [], small_solver()

    def solve(**options):
        files = (tmp_path / "x.npy", tmp_path / "y.npy")
        return solve_file(solver, TASK, *files, capacity=8, block=10, max_steps=3, **options)

    def second(solved, problems):
        if solved == 20:
            with pytest.raises(InUseError, match=r"y\.npy is in use"):
                solve(resume=True)
            whole.append(solved)

    assert solve(progress=second).problems == 40
    assert whole == [20]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["x.npy", "y.npy"]
