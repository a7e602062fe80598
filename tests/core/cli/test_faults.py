"""What goes wrong around the command line: terminals, pipes, disks, folders and names."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import SMALL, Irem, Result
from irem_core import IremError, registry, storage
from irem_core.files.lock import locked
from irem_core.registry import folder_name

# As where no locale is set, before Python turns that into UTF-8 by itself.
PLAIN = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def command(*words: object, shell: str = 'exec "$@"', **settings: Any) -> Any:
    """Run irem in a process of its own, redirected by a shell."""
    called = ["sh", "-c", shell, "sh", sys.executable, "-m", "irem_core", *map(str, words)]
    environment = os.environ | settings.pop("environment", {})
    return subprocess.run(called, env=environment, text=True, check=False, **settings)


def fault(result: Result) -> str:
    """Return the one line that a fault ends with."""
    assert (result.status, result.err.count("\n")) == (1, 1), result
    assert result.err.startswith("irem: ")
    return result.err


@pytest.mark.parametrize("words", [("list",), ("--help",)])
def test_output_that_nobody_reads_ends_the_command_quietly(words: tuple[str, ...]) -> None:
    """As that of `irem list | head -1`, whose pipe is closed before all is written."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = command(*words, stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
@pytest.mark.parametrize("words", [("list",), ("--help",)])
def test_output_to_a_full_disk_is_a_fault(words: tuple[str, ...]) -> None:
    done = command(*words, shell='exec "$@" >/dev/full', capture_output=True)
    assert "No space left" in fault(Result(done.returncode, done.stdout, done.stderr))


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_streams_may_be_closed(closed: str) -> None:
    assert command("list", shell=f'exec "$@" {closed}', capture_output=True).returncode == 0
    assert command("lits", shell=f'exec "$@" {closed}', capture_output=True).returncode == 2


def test_no_terminal_is_needed() -> None:
    plain = command("list", capture_output=True)
    assert "\x1b" not in plain.stdout
    for terminal in ("", "dumb", "unknown"):
        done = command("list", environment={"TERM": terminal}, capture_output=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, plain.stdout, "")


def test_ascii_is_enough(tmp_path: Path) -> None:
    listed = command("list", environment=PLAIN, capture_output=True)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.isascii()
    assert "barzilai-borwein" in listed.stdout
    folder = tmp_path / "f\u00fcr-mich"
    words = ("new-task", "partial-sums", "--out", folder)
    written = command(*words, environment=PLAIN, capture_output=True)
    assert (written.returncode, written.stderr) == (0, "")
    assert written.stdout.isascii()
    assert (folder / "pyproject.toml").exists()
    again = command(*words, environment=PLAIN, capture_output=True)
    assert "exists already" in Result(again.returncode, again.stdout, again.stderr).mistake()


def test_a_narrow_terminal_shows_whole_words(
    irem: Irem, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    listed = irem("list").out
    assert max(map(len, listed.splitlines())) <= 40
    names = {plugin.name for group in registry.KINDS for plugin in registry.plugins(group)}
    assert names <= set(listed.split())
    solved = irem("solve", run, "--difficulty", "same", "--count", 2)
    assert solved.status == 0
    assert max(map(len, solved.out.splitlines())) <= 40
    assert {"outcome:", "converged", "steps:"} <= set(solved.out.split())


def test_a_second_training_into_a_folder_is_a_mistake(irem: Irem, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with locked(run / ".lock", guards=run):
        line = irem("train", *SMALL, "--iterations", 2, "--out", run, "--resume").mistake()
    assert f"{run} is in use" in line
    assert list(run.iterdir()) == []


def test_a_second_solve_into_a_file_is_a_mistake(irem: Irem, run: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((20, 8), np.float32))
    words = ("solve", run, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy")
    with locked(tmp_path / ".y.npy.lock", guards=tmp_path):
        line = irem(*words, "--capacity", 5, "--resume").mistake()
    assert f"{tmp_path / 'y.npy'} is in use" in line
    assert [each.name for each in tmp_path.iterdir()] == ["x.npy"]


@pytest.mark.parametrize(
    "words",
    [
        ("train", "#/../../../mine\nadd(size=4)"),
        ("train", "../add"),
        ("train", SMALL[0], "--solver", "#/../../mine\nirem"),
        ("train", SMALL[0], "--solver", "#/../../mine\nirem(steps=2)"),
        ("new-task", "../mine"),
        ("new-task", "/mine"),
        ("reproduce", "../../add-irem-0"),
        ("reproduce", "/add-irem-0"),
    ],
)
def test_names_lead_to_no_other_folder(
    irem: Irem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    here = tmp_path / "a" / "b" / "c"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    irem(*words).mistake()
    assert [each for each in tmp_path.rglob("*") if not here.is_relative_to(each)] == []


@pytest.mark.parametrize("text", ["..", ".", "", "../x", "a/b", "x\ny", "\\x", ".x", "a b(c=1)"])
def test_no_folder_is_named_after_such_a_text(text: str) -> None:
    with pytest.raises(IremError, match="--out"):
        folder_name(text)
    assert folder_name("matrix_inverse(size=3)") == "matrix-inverse"


def readable_alone(tmp_path: Path) -> Path:
    """Return a folder that this process may not write to."""
    if not os.geteuid():
        return Path("/sys")  # where not even the superuser may
    folder = tmp_path / "readable"
    folder.mkdir(mode=0o555)
    return folder


def test_a_folder_that_is_read_only_is_a_fault(irem: Irem, tmp_path: Path) -> None:
    small = ("train", *SMALL, "--iterations", 2, "--out")
    folder = readable_alone(tmp_path)
    before = sorted(folder.iterdir())
    assert "cannot be made" in fault(irem(*small, folder / "run"))
    assert f"Nothing can be written to {folder}" in fault(irem(*small, folder))
    assert "could not be written" in fault(irem("new-task", "mine", "--out", folder / "mine"))
    assert sorted(folder.iterdir()) == before


def test_answers_for_a_read_only_folder(
    irem: Irem, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = tmp_path / "x.npy"
    np.save(x, np.zeros((20, 8), np.float32))
    # The run itself lies where only its owner may look, so the refusal is played here.
    refusal = PermissionError(errno.EACCES, "Permission denied")

    def refuse(*arguments: object, **options: object) -> None:
        raise refusal

    monkeypatch.setattr(Path, "touch", refuse)
    words = ("solve", run, "--input", x, "--output")
    assert "Permission denied" in fault(irem(*words, tmp_path / "y.npz"))
    monkeypatch.setattr(os, "open", refuse)
    assert "Permission denied" in fault(irem(*words, tmp_path / "y.npy", "--capacity", 5))
    monkeypatch.undo()
    assert [each.name for each in tmp_path.iterdir()] == ["x.npy"]


def test_a_full_disk_leaves_the_answers_before(
    irem: Irem, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("solve", run, "--difficulty", "same", "--output", tmp_path / "y.npz")
    assert irem(*words).status == 0
    before = (tmp_path / "y.npz").read_bytes()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage.os, "fsync", full)
    assert "No space left on device" in fault(irem(*words, "--seed", 7))
    monkeypatch.undo()
    assert [each.name for each in tmp_path.iterdir()] == ["y.npz"]
    assert (tmp_path / "y.npz").read_bytes() == before


def test_more_memory_than_there_is_is_a_fault(irem: Irem, run: Path) -> None:
    line = fault(irem("solve", run, "--difficulty", "same", "--count", 10**13))
    assert "not enough memory" in line
