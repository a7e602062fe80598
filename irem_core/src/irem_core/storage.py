"""Files that are complete or not there at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from irem_core.errors import StorageError


@contextlib.contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Give a temporary path that replaces `file` at the end: fsync, then rename.

    Raises:
        StorageError: writing failed; the temporary file is removed and `file` stays as it was.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        permissions = temporary.stat().st_mode
        yield temporary
        # safetensors gives its files to their owner alone; these are as open as any new file.
        temporary.chmod(permissions)
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        move(temporary, file)
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"{file} could not be written ({' '.join(str(error).split())}); what was there before "
            "is untouched. Free some space or choose another folder."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(file: Path) -> Iterator[None]:
    """Say which file of a training could not be written, where adding to it fails.

    Raises:
        StorageError: the file system refused.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{file} could not be written ({error.strerror}); training stopped, and the last "
            "checkpoint stays. Free some space and add --resume."
        ) from error


def move(file: Path, target: Path) -> None:
    """Give a file another name, for good once this returns.

    Raises:
        OSError: the file system refused.
    """
    file.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
