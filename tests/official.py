"""Tables of cases, one row for each part that our own packages register."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from irem_core.registry import plugins

PACKAGES = ("irem-core", "irem-tasks", "irem-baselines")


def registered(group: str) -> list[str]:
    """List the names of a group's parts that come with our packages."""
    return [each.name for each in plugins(group) if each.distribution in PACKAGES]


def missing(group: str, table: Mapping[str, Any]) -> list[str]:
    """Say which registered parts a table of cases lacks, and which it names in vain."""
    here = registered(group)
    lacking = [
        f"{group} has {name!r}, which no case covers; add it to the table with small settings."
        for name in here
        if name not in table
    ]
    gone = [f"{group} has no {name!r}; drop it from the table." for name in set(table) - set(here)]
    return lacking + gone


def cases(table: Mapping[str, Iterable[Any]]) -> list[Any]:
    """List the pairs of a name and one of its cases, for `pytest.mark.parametrize`."""
    return [
        pytest.param(name, case, id=case if isinstance(case, str) else f"{name}-{place}")
        for name, each in table.items()
        for place, case in enumerate(each)
    ]
