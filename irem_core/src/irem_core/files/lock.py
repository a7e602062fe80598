"""A lock that keeps two processes from writing to one place, and that the system drops with them.

filelock asks the system for it: `flock` on Linux and macOS, `LockFileEx` on Windows. A process that
is killed may leave the file, but not the lock.
"""

from __future__ import annotations

import contextlib
import errno
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from filelock import Timeout, UnixFileLock, WindowsFileLock

from irem_core.errors import InUseError, StorageError, UnlockedWarning

# Not its FileLock, which on a system that lacks `flock` is a file that outlives its holder.
_Lock = WindowsFileLock if sys.platform == "win32" else UnixFileLock
# What systems and file systems without locks answer.
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
# For this many seconds a lock is tried again: its file may have been on its way to be removed.
_PATIENCE = 0.2


@contextlib.contextmanager
def locked(file: Path, *, guards: Path) -> Iterator[None]:
    """Keep all other processes away from a place, until this one ends in any way.

    Where the file system has no locks, work goes on with an `UnlockedWarning`: a file in place of a
    lock would outlive a killed process, and refusing would bar clusters whose disks have no locks.

    Args:
        file: the file to lock, made if need be and removed at the end.
        guards: what is written to, for errors.

    Raises:
        InUseError: another process, or another call of this one, is at work there.
        StorageError: the file cannot be made, for example because the folder is read-only.
    """
    with contextlib.ExitStack() as held:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(_Lock(file, timeout=_PATIENCE, fallback_to_soft=False))
        except Timeout as error:
            raise InUseError(
                f"{guards} is in use: another process is writing to it. Wait until that one has "
                "ended, or choose another place."
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise StorageError(
                    f"Nothing can be written to {guards} ({error.strerror or error}); give another "
                    "place, or see to its permissions."
                ) from error
            warnings.warn(
                f"The file system of {guards} has no locks, so nothing keeps another process from "
                "writing there too; start none before this one has ended.",
                UnlockedWarning,
                stacklevel=3,
            )
        # Removed while it is locked, so that nobody else can hold what is removed. Windows removes
        # no open file; there filelock does it afterwards.
        held.callback(_removed, file)
        yield


def _removed(file: Path) -> None:
    with contextlib.suppress(OSError):
        file.unlink()
