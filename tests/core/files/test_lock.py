"""Locks: one writer at a time, whoever was killed before, and nothing left behind."""

from __future__ import annotations

import errno
import fcntl
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from irem_core import InUseError, StorageError, UnlockedWarning, solve_file
from irem_core.distributed import Ranks
from irem_core.files.lock import locked
from trainings import TASK, At, bits, small_solver, train

# Takes the lock, says so, and holds it until it is killed or its input ends.
HOLDER = """
import sys
from pathlib import Path
from irem_core.files.lock import locked

file = Path(sys.argv[1])
with locked(file, guards=file.parent):
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
    with locked(file, guards=file.parent):
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
    holder.kill()
    holder.wait()
    assert file.exists()
    take(file)
    assert not file.exists()


def test_within_a_process_and_after_an_error(tmp_path):
    file = tmp_path / ".lock"
    with locked(file, guards=tmp_path), pytest.raises(InUseError):
        take(file)
    with pytest.raises(KeyError), locked(file, guards=tmp_path):
        raise KeyError
    take(file)


def test_a_lock_on_a_file_that_its_holder_removed_is_taken_anew(tmp_path, monkeypatch):
    """The holder ends between the opening of the file here and the locking of it."""
    file = tmp_path / ".lock"
    flock, numbers = fcntl.flock, []

    def removed_first(handle, operation):
        numbers.append(os.fstat(handle).st_ino)
        if len(numbers) == 1:
            file.unlink()
        flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", removed_first)
    with locked(file, guards=tmp_path):
        assert file.stat().st_ino == numbers[1]


def test_the_first_process_of_several_locks_for_all_and_all_hear_its_refusal(tmp_path):
    file, said = tmp_path / ".lock", []

    class First(Ranks):
        def gather(self, value):
            said.append(pickle.dumps(value))  # as torch sends it
            return [value, None]

    class Second(Ranks):
        def gather(self, value):
            return [pickle.loads(said[-1]), value]

    def lock():
        return locked(file, guards=tmp_path)

    with First(0, 2).led(lock()), Second(1, 2).led(lock()):
        assert file.exists()
        with pytest.raises(InUseError, match=f"{tmp_path} is in use"), First(0, 2).led(lock()):
            pytest.fail("the lock is held")
        with pytest.raises(InUseError, match=f"{tmp_path} is in use"), Second(1, 2).led(lock()):
            pytest.fail("the first process holds no lock")
    assert not file.exists()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told_of_and_keeps_none(tmp_path, monkeypatch, number):
    def unsupported(handle, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    for _ in range(2):
        with (
            pytest.warns(UnlockedWarning, match=f"The file system of {tmp_path} has no locks"),
            locked(tmp_path / ".lock", guards=tmp_path),
        ):
            pass  # as by a process that is killed: what it leaves must not keep the next one away
        (tmp_path / ".lock").touch()


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
