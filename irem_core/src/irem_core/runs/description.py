"""Descriptions: a part as plain values for JSON, and back.

A checkpoint, a run and a result describe their parts by registered name and settings, so that
nothing has to be repeated and nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import re
from typing import Any

from irem_core.descent.base import Descent
from irem_core.energies.landscape import Landscape
from irem_core.errors import CheckpointError, PluginError, UnknownNameError
from irem_core.part import settings_of
from irem_core.problems.space import Space
from irem_core.registry import (
    BACKPROPS,
    DESCENTS,
    ENERGIES,
    HALTING,
    KINDS,
    OBJECTIVES,
    SCHEDULES,
    SOLVERS,
    SPACES,
    TASKS,
    Plugin,
    construct,
    find,
    plugins,
    unnamed,
)
from irem_core.solvers.backprop import Backprop
from irem_core.solvers.base import Solver
from irem_core.solvers.objective import Objective
from irem_core.solvers.schedules import NoiseSchedule
from irem_core.solving.halting import HaltingCriterion
from irem_core.tasks.task import Task

_GROUPS = {
    Task: TASKS,
    Solver: SOLVERS,
    Landscape: ENERGIES,
    Descent: DESCENTS,
    HaltingCriterion: HALTING,
    Backprop: BACKPROPS,
    Objective: OBJECTIVES,
    NoiseSchedule: SCHEDULES,
    Space: SPACES,
}


def name_of(group: str, part: Any) -> Plugin | None:
    """Find the plug-in that an object's class is registered as, or None."""
    kind = type(part)
    for plugin in (*plugins(group), *unnamed(group)):
        if plugin.entry.module.partition(".")[0] != kind.__module__.partition(".")[0]:
            continue
        try:
            if plugin.load() is kind:
                return plugin
        except PluginError:
            continue
    return None


def describe(part: Any) -> dict[str, Any]:
    """Describe a part so that `rebuild` can make it again: a tree of plain values for JSON.

    A part whose class is not registered is described by its class alone; `rebuild` then needs the
    object.
    """
    group = group_of(part)
    plugin = name_of(group, part)
    described: dict[str, Any] = {
        "group": group,
        "class": _title(type(part)),
        "settings": {name: _plain(value) for name, value in settings_of(part).items()},
    }
    if plugin is not None:
        described["name"] = plugin.name
        described["distribution"] = f"{plugin.distribution} {plugin.version}"
    return described


def completed(described: Any) -> Any:
    """Describe parts as they are now: where they moved to, and settings that they have gained.

    Such settings count as given at their defaults.

    Args:
        described: what `describe` returned, or a tree of such, perhaps read from a file.
    """
    if not isinstance(described, dict):
        return described
    tree = {key: completed(value) for key, value in described.items()}
    if tree.get("group") in KINDS and "name" in tree:
        with contextlib.suppress(UnknownNameError, PluginError):
            kind = _plugin(tree["group"], tree["name"], tree.get("distribution")).load()
            tree["class"] = _title(kind)
            tree["settings"] = _defaults(kind) | tree["settings"]
    return tree


def _plugin(group: str, name: str, distribution: Any) -> Plugin:
    """Find what a description names, among the parts that only descriptions name first."""
    owner = str(distribution).partition(" ")[0]
    own = (each for each in unnamed(group) if (each.name, each.distribution) == (name, owner))
    return next(own, None) or find(group, name)


def _title(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _defaults(kind: Any) -> dict[str, Any]:
    parameters = inspect.signature(kind).parameters.values()
    given = ((each.name, each.default) for each in parameters)
    return {
        name: _plain(default) for name, default in given if default is not inspect.Parameter.empty
    }


def group_of(part: Any) -> str:
    """Return the entry-point group that a part belongs to.

    Raises:
        TypeError: the object is no part.
    """
    for base, group in _GROUPS.items():
        if isinstance(part, base):
            return group
    raise TypeError(f"{type(part).__name__} is no part of a solver.")


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    try:
        return {"part": describe(value)}
    except TypeError:
        # Without addresses, which differ from process to process.
        return {"unknown": re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))}


def rebuild(described: Any, *, replacements: dict[str, Any] | None = None) -> Any:
    """Build the part that `describe` described.

    Args:
        described: what `describe` returned, perhaps read from a file.
        replacements: objects to use for parts of a group instead of building them.

    Raises:
        CheckpointError: the description is malformed, or names a class that is not registered.
        UnknownNameError: the part's plug-in is not installed.
        UnknownSettingError: the plug-in no longer has a setting.
        SettingError: a setting is out of range.
    """
    given = replacements or {}
    try:
        group, settings = described["group"], described["settings"].items()
        title = described["class"]
        name = described.get("name")
        if not (isinstance(group, str) and isinstance(title, str) and isinstance(name, str | None)):
            raise TypeError
    except (TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"The checkpoint describes a part as {str(described)[:60]!r}, which is no description "
            "of a part; it was written by another program or altered."
        ) from error
    if group in given:
        return given[group]
    if group not in KINDS or name is None:
        kind = KINDS.get(group, group)
        keyword = "energy" if group == ENERGIES else "solver"
        kind_name = title.rpartition(":")[2]
        raise CheckpointError(
            f"The {kind} {title} is not registered as a plug-in, so it cannot be rebuilt; pass the "
            f"object: load(path, {keyword}={kind_name}(...))."
        )
    try:
        plugin = _plugin(group, name, described.get("distribution"))
    except UnknownNameError as error:
        raise UnknownNameError(
            f"The checkpoint needs the {KINDS[group]} {name!r} of "
            f"{described.get('distribution', 'an unknown package')}, which is not installed; "
            "install that package and load again."
        ) from error
    values = {key: _rebuild_value(value, given) for key, value in settings}
    return construct(plugin, (), values)


def _rebuild_value(value: Any, given: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        if set(value) == {"part"}:
            return rebuild(value["part"], replacements=given)
        raise CheckpointError(
            f"The checkpoint holds a setting that cannot be rebuilt: {json.dumps(value)[:80]}."
        )
    if isinstance(value, list):
        return tuple(_rebuild_value(item, given) for item in value)
    return value
