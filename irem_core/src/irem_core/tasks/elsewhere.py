"""Tasks whose problems are in another folder than they were."""

from __future__ import annotations

from pathlib import Path

from irem_core.errors import UnknownSettingError
from irem_core.part import settings_of
from irem_core.tasks.task import Task


def with_data(task: Task, data: Path) -> Task:
    """Return the same task on the problems of another folder.

    Raises:
        UnknownSettingError: the task reads no folder.
    """
    settings = settings_of(task)
    if "data" not in settings:
        raise UnknownSettingError(
            f"{type(task).__name__} reads no folder of problems, so --data has no use here; leave "
            "it out."
        )
    return type(task)(**settings | {"data": str(data)})
