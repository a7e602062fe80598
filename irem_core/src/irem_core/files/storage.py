"""Files that are complete or not there at all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from irem_core import checks
from irem_core.errors import StorageError


def read_json_lines(
    file: Path, *, sound: Callable[[dict[str, Any]], bool] = lambda record: True
) -> tuple[list[dict[str, Any]], list[int]]:
    """Read a file of JSON objects, one a line, of which some may be damaged.

    A last line without an end is what a kill left half written, and counts as no line.

    Args:
        file: the file.
        sound: says of an object whether it is one that belongs there.

    Returns:
        The objects, and the numbers of the damaged lines, counted from 1.

    Raises:
        OSError: the file cannot be read.
    """
    lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    found, damaged = [], []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict) and sound(record):
            found.append(record)
        elif line.strip() and number < len(lines):
            damaged.append(number)
    return found, damaged


@contextlib.contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Give a temporary path that replaces `file` at the end: fsync, then rename.

    Raises:
        StorageError: writing failed; the temporary file is removed and `file` stays as it was.
        SettingError: the system can have no such file.
    """
    checks.check_path(file)
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
    if not hasattr(os, "O_DIRECTORY"):  # Windows opens no folders, and NTFS keeps names by itself
        return
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
