"""What differs between systems: the modules and calls that Windows lacks, its files, its names."""

from __future__ import annotations

import ntpath
import os
import subprocess
import sys
from pathlib import PureWindowsPath

import numpy as np
import pytest

from irem_core import SettingError
from irem_core.checks import check_path, reserved
from irem_core.cli.new_task import check_name
from irem_core.registry import folder_name

# Makes of a process on Linux what our code would find on Windows. filelock comes first: its half
# for Windows calls `LockFileEx`, which is not here, so `flock` stands for it.
WINDOWS = r"""
import os, signal, sys, warnings
from importlib.abc import MetaPathFinder
from pathlib import Path
import filelock

LACKING = ["fcntl", "resource", "pwd", "grp", "termios"]

class Lacking(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in LACKING:
            raise ModuleNotFoundError(f"No module named {name!r}")

for name in LACKING:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Lacking())

import torch  # which is built for this system, and may use what it has
for module, names in {
    os: "fork forkpty getuid geteuid getgid getegid getgroups setsid uname sched_getaffinity "
    "sched_setaffinity sync mkfifo chown fchown lchown statvfs pread pwrite sysconf killpg getpgid "
    "nice getloadavg register_at_fork posix_fadvise posix_fallocate sendfile openpty fchmod "
    "O_NOFOLLOW O_CLOEXEC O_DIRECTORY O_SYNC O_DSYNC O_NOCTTY",
    signal: "SIGKILL SIGALRM SIGHUP SIGQUIT SIGCHLD SIGUSR1 SIGUSR2 SIGXFSZ SIGPIPE alarm "
    "setitimer",
}.items():
    for name in names.split():
        delattr(module, name)

def held(path):
    # Whether this process has a file open or mapped: then Windows neither replaces nor removes it.
    name = os.path.realpath(path)
    links = [f"/proc/self/fd/{each}" for each in os.listdir("/proc/self/fd")]
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return any(os.path.realpath(link) == name for link in links) or name in maps.read()

def refusing(call, refuse):
    def called(*arguments, **options):
        if any(refuse(each) for each in arguments if isinstance(each, (str, os.PathLike))):
            raise PermissionError(13, "Access is denied", str(arguments[0]))
        return call(*arguments, **options)
    return called

os.open = refusing(os.open, os.path.isdir)
for name in ("replace", "rename", "unlink", "remove"):
    setattr(os, name, refusing(getattr(os, name), held))

warnings.filterwarnings("error", category=EncodingWarning, module="irem")
"""
# One process does it all, since starting torch takes longest.
COMMANDS = r"""
from irem_core.cli import main
from irem_core.errors import InUseError
from irem_core.files.lock import locked

train = ["train", "add(size=4)", "--energy", "mlp(width=16)", "--preset", "paper"]
train += ["--batch-size", "4", "--problems", "20", "--out", "run"]
for words in (
    [*train, "--iterations", "5", "--log", "csv"],
    [*train, "--iterations", "9", "--log", "csv", "--resume"],
    ["evaluate", "run", "--problems", "20"],
    ["solve", "run", "--difficulty", "same", "--count", "1", "--output", "y.npz"],
    ["solve", "run", "--input", "x.npy", "--output", "y.npy", "--capacity", "5"],
):
    sys.argv = ["irem", *words]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, words

with locked(Path(".lock"), guards=Path("run")):
    try:
        with locked(Path(".lock"), guards=Path("run")):
            raise AssertionError("two hold one lock")
    except InUseError:
        pass
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at open files in /proc")
def test_training_resuming_and_solving_need_nothing_of_one_system(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((12, 8), np.float32))
    done = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-c", WINDOWS + COMMANDS],
        cwd=tmp_path,
        # Without a terminal that is the encoding of Windows in Western Europe.
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    metrics = (tmp_path / "run" / "metrics.csv").read_text(encoding="utf-8").splitlines()
    assert metrics[-1].startswith("9,")
    assert np.load(tmp_path / "y.npy").shape == (12, 4)


DEVICES = ["con", "CON", "nul.txt", "aux.tar.gz", "com1", "LPT9.npy", "prn .npy", "conin$"]
ENDS = ["run.", "run ", "...", " "]
SIGNS = ["a:b", "a?", "a*b", "a|b", "<a", 'a"', "a\nb"]
FREE = ["console", "nulls", "com0", "com10", "lpt", "a.con", ".nul", "..", ".", "run", "a b"]


def test_names_that_windows_keeps_for_itself():
    assert [name for name in (*DEVICES, *ENDS, *SIGNS) if not reserved(name)] == []
    assert [name for name in FREE if reserved(name)] == []
    # Python's own list, which until 3.13 is of devices alone.
    known = getattr(ntpath, "isreserved", lambda name: PureWindowsPath(name).is_reserved())
    assert [name for name in (*DEVICES, *FREE) if known(name) != reserved(name)] == []


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("C:\\runs\\con", "con"),
        ("nul", "nul"),
        ("runs/aux.d/y.npz", "aux.d"),
        ("\\\\server\\share\\prn.npy", "prn.npy"),
        ("..\\run.", "run."),
        ("C:\\a:b", "a:b"),
    ],
)
def test_a_path_to_a_device_is_refused_on_windows_alone(path, part):
    with pytest.raises(SettingError, match=f"named '{part}'; choose another"):
        check_path(path, system="nt")
    check_path(path, system="posix")


@pytest.mark.parametrize("path", ["C:\\runs\\add", "D:", "..\\runs", "\\\\server\\share\\run", "."])
def test_other_paths_are_taken_on_windows(path):
    check_path(path, system="nt")


@pytest.mark.parametrize("name", ["con", "aux", "com1"])
def test_nothing_is_named_after_a_device_on_any_system(name):
    with pytest.raises(SettingError, match="--out"):
        folder_name(f"{name}.v2(size=4)")
    with pytest.raises(SettingError, match="a device's on Windows"):
        check_name(name)
