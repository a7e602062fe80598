"""A lock that keeps two calls from writing to one place, and that the system drops with its holder.

The lock is `flock` on a file, so that a process that is killed leaves the file but not the lock.
filelock, which torch brings, would fall back to a lock that outlives its holder.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from irem_core.distributed import Ranks
from irem_core.errors import InUseError, StorageError

# What file systems without locks answer: there is then no protection, and no reason to refuse work.
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)


@contextlib.contextmanager
def alone(file: Path, ranks: Ranks, *, guards: Path) -> Iterator[None]:
    """Keep all other calls away from a place, until this one ends in any way.

    The first of several processes that work together holds the lock for all of them.

    Args:
        file: the file to lock, made if need be and removed at the end.
        ranks: this process among those that work together.
        guards: what is written to, for errors.

    Raises:
        InUseError: another call is at work there.
        StorageError: the file cannot be made, for example because the folder is read-only.
    """
    handle, refused = None, None
    if ranks.leads:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            handle = _taken(file)
        except OSError as error:
            refused = error.strerror or str(error)
    held, refused = ranks.gather((handle is not None, refused))[0]
    if refused is not None:
        raise StorageError(
            f"Nothing can be written to {guards} ({refused}); give another place, or see to its "
            "permissions."
        )
    if not held:
        raise InUseError(
            f"{guards} is in use: another process is writing to it. Wait until that one has ended, "
            "or choose another place."
        )
    try:
        yield
    finally:
        if handle is not None:
            # Removed while it is locked, so that nobody else can hold what is removed.
            with contextlib.suppress(OSError):
                file.unlink()
            os.close(handle)


def _taken(file: Path) -> int | None:
    """Open and lock a file; None where another holds the lock.

    Raises:
        OSError: the file cannot be opened.
    """
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return handle
            os.close(handle)
            if isinstance(error, BlockingIOError):
                return None
            raise
        # Its holder may have removed the file after it was opened here; then a lock is on nothing.
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)
