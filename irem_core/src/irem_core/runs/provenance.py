"""Where a result comes from: versions, commit and hardware, and what memory it took."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch


def provenance() -> dict[str, Any]:
    """Return commit, versions and hardware, as every record of a result tells them."""
    return {"commit": commit(), "versions": versions(), "hardware": hardware()}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in ("irem-core", "irem-tasks", "irem-baselines", "torch", "numpy"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def commit() -> str | None:
    """Return the git commit of the library's source, "-dirty" if changed, None outside git."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            encoding="utf-8",
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def hardware() -> dict[str, str | int]:
    """Return the processor, the number of usable cores, and the GPU where there is one."""
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    found: dict[str, str | int] = {"processor": processor, "cores": os.cpu_count() or 1}
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def peak_memory() -> int:
    """Return the most bytes that this process has held in memory so far."""
    # What getrusage says on Linux may be the peak of the parent, which survives fork and exec.
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    if sys.platform == "win32":
        # PROCESS_MEMORY_COUNTERS: two numbers of 4 bytes, of which the first is the size of it all,
        # then eight of 8, of which the first is the peak. -1 stands for this process.
        counters = (ctypes.c_size_t * 9)(9 * ctypes.sizeof(ctypes.c_size_t))
        process = ctypes.c_void_p(-1)
        ctypes.windll.kernel32.K32GetProcessMemoryInfo(process, counters, counters[0])
        return counters[1]
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
