"""The registry: parts by name, found through the entry points of installed distributions.

Nothing is registered at run time and nothing is kept: what is installed is what there is. Names use
hyphens. On the command line a part with settings is written as its constructor, hyphens as
underscores: `gradient(step_size=30)`. Such texts hold literals and further parts only; they are
parsed, never evaluated.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, cast

import attrs

from irem_core.errors import (
    CheckpointError,
    IremError,
    PluginError,
    SettingError,
    UnknownNameError,
    UnknownSettingError,
    near_matches,
)

if TYPE_CHECKING:
    from irem_core.task import Task

TASKS = "irem.tasks"
SOLVERS = "irem.solvers"
ENERGIES = "irem.energies"
DESCENTS = "irem.descents"
HALTING = "irem.halting"
BACKPROPS = "irem.backprops"
SPACES = "irem.spaces"
COMMANDS = "irem.commands"

KINDS = {
    TASKS: "task",
    SOLVERS: "solver",
    ENERGIES: "energy",
    DESCENTS: "descent",
    HALTING: "halting rule",
    BACKPROPS: "backpropagation rule",
    SPACES: "space",
    COMMANDS: "command",
}
"""The entry-point groups and what one member of each is called."""

# Which group a setting's value belongs to, where a part is written inside another.
_GROUP_OF_SETTING = {
    "energy": ENERGIES,
    "descent": DESCENTS,
    "halting": HALTING,
    "backprop": BACKPROPS,
    "question": SPACES,
    "answer": SPACES,
    "task": TASKS,
}
# Where an official package would provide a name, for the error that says it is missing.
_OFFICIAL = {
    "add": "irem-tasks",
    "negate": "irem-tasks",
    "feedforward": "irem-baselines",
}
_LONGEST_TEXT = 10_000


@attrs.frozen
class Plugin:
    """One registered name.

    Args:
        group: the entry-point group.
        name: the name within it.
        distribution: what provides it.
        version: that distribution's version.
        entry: how to load it.
    """

    group: str
    name: str
    distribution: str
    version: str
    entry: EntryPoint = attrs.field(repr=False, eq=False)

    def load(self) -> Any:
        """Import and return the object.

        Raises:
            PluginError: the import failed.
        """
        try:
            return self.entry.load()
        except Exception as error:
            reason = " ".join(str(error).split()) or "no message"
            raise PluginError(
                f"The {KINDS[self.group]} {self.name!r} of {self.distribution} {self.version} "
                f"cannot be imported ({type(error).__name__}: {reason}). Mend or uninstall "
                f"{self.distribution}."
            ) from error


def plugins(group: str) -> list[Plugin]:
    """List what is registered in a group, by name, without importing any of it."""
    found = {
        (entry.name, entry.value, entry.dist.name if entry.dist else "?"): Plugin(
            group,
            entry.name,
            entry.dist.name if entry.dist else "?",
            entry.dist.version if entry.dist else "?",
            entry,
        )
        for entry in entry_points(group=group)
    }
    return sorted(found.values(), key=lambda plugin: (plugin.name, plugin.distribution))


def find(group: str, name: str) -> Plugin:
    """Find a plug-in by name.

    Raises:
        UnknownNameError: the group has no such name; the error suggests others.
        PluginError: two distributions register the name.
    """
    everything = plugins(group)
    matches = [plugin for plugin in everything if plugin.name == name]
    if len(matches) > 1:
        owners = " and ".join(plugin.distribution for plugin in matches)
        raise PluginError(
            f"The {KINDS[group]} {name!r} is registered by both {owners}; uninstall one of them."
        )
    if matches:
        return matches[0]
    hint = near_matches(name, {plugin.name for plugin in everything})
    if name in _OFFICIAL:
        hint = f"It comes with {_OFFICIAL[name]}: pip install {_OFFICIAL[name]}."
    elif not everything and group == TASKS:
        hint = "No task is installed; get the paper's with: pip install irem-tasks."
    raise UnknownNameError(f"There is no {KINDS[group]} {name!r}. {hint}".rstrip())


def find_any(name: str) -> list[Plugin]:
    """Find the plug-ins of any group that bear a name.

    Raises:
        UnknownNameError: there is none.
    """
    everything = [plugin for group in KINDS for plugin in plugins(group)]
    matches = [plugin for plugin in everything if plugin.name == name]
    if not matches:
        hint = near_matches(name, {plugin.name for plugin in everything})
        if name in _OFFICIAL:
            hint = f"It comes with {_OFFICIAL[name]}: pip install {_OFFICIAL[name]}."
        raise UnknownNameError(f"Nothing is registered as {name!r}. {hint}".rstrip())
    return matches


@attrs.frozen(eq=False)
class Target:
    """What parts with shapes and weights are built for.

    Args:
        task: gives the shapes.
        seed: of the initial weights.
    """

    task: Task
    seed: int = 0


def construct(
    plugin: Plugin, args: Sequence[Any], settings: Mapping[str, Any], target: Target | None = None
) -> Any:
    """Call a plug-in's constructor, or its `for_task` where there is a task to build for.

    Args:
        plugin: what to build.
        args: positional arguments.
        settings: keyword arguments.
        target: what to build energies and solvers for.

    Raises:
        UnknownSettingError: it has no such setting, or one that it needs is missing.
        SettingError: a value is out of range.
        PluginError: it cannot be imported.
    """
    factory = plugin.load()
    fitted = target is not None and plugin.group in (ENERGIES, SOLVERS)
    _check_settings(plugin, factory, args, settings, partial=fitted)
    try:
        if fitted and target is not None:
            return factory.for_task(target.task, *args, seed=target.seed, **settings)
        return factory(*args, **settings)
    except IremError:
        raise
    except (TypeError, ValueError, ArithmeticError) as error:
        # Not every author checks settings; without any, the fault is the plug-in's own.
        if not args and not settings:
            raise
        given = [repr(value) for value in args]
        given += [f"{name}={value!r}" for name, value in settings.items()]
        raise SettingError(
            f"The {KINDS[plugin.group]} {plugin.name!r} cannot be built with {', '.join(given)}: "
            f"{' '.join(str(error).split())}."
        ) from error


def _check_settings(
    plugin: Plugin,
    factory: Any,
    args: Sequence[Any],
    settings: Mapping[str, Any],
    *,
    partial: bool,
) -> None:
    """Check that a constructor takes the given arguments.

    Raises:
        UnknownSettingError: it does not; the error suggests names.
    """
    signature = inspect.signature(factory)
    bind = signature.bind_partial if partial else signature.bind
    try:
        bind(*args, **settings)
        if partial and args:
            raise TypeError("its settings must be written with their names")
    except TypeError as error:
        kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        known = [each.name for each in signature.parameters.values() if each.kind not in kinds]
        unknown = [name for name in settings if name not in known]
        kind = KINDS[plugin.group]
        if unknown:
            raise UnknownSettingError(
                f"The {kind} {plugin.name!r} has no setting {unknown[0]!r}. "
                f"{near_matches(unknown[0], known)}".rstrip()
            ) from error
        raise UnknownSettingError(
            f"The {kind} {plugin.name!r} cannot be built: {error}. "
            f"It takes {', '.join(known) or 'no settings'}."
        ) from error


def load_task(text: str, **settings: Any) -> Task:
    """Build a task by its name, or from a text with settings such as "add(size=100)".

    Raises:
        UnknownNameError: no such task is installed.
        UnknownSettingError: the task has no such setting.
        SettingError: a value is out of range, or the text cannot be read.
        PluginError: the task's package cannot be imported.
    """
    return cast("Task", build(TASKS, text, settings=settings))


def build(
    group: str,
    text: str,
    *,
    settings: Mapping[str, Any] | None = None,
    target: Target | None = None,
) -> Any:
    """Build a part from its name, or from a text such as "gradient(step_size=30)".

    Args:
        group: an entry-point group, such as `DESCENTS`.
        text: what a user wrote.
        settings: further constructor arguments; what the text says goes before.
        target: what to build energies and solvers for.

    Raises:
        UnknownNameError: no such part is installed.
        UnknownSettingError: the part has no such setting.
        SettingError: a value is out of range, or the text cannot be read.
        PluginError: the part's package cannot be imported.
    """
    name, args, written = parse(group, text, target)
    return construct(find(group, name), args, {**(settings or {}), **written}, target)


def parse(
    group: str, text: str, target: Target | None = None
) -> tuple[str, list[Any], dict[str, Any]]:
    """Read a part's text into its name, positional and keyword settings; nested parts are built.

    Raises:
        SettingError: the text is no name and no constructor of literals and parts.
    """
    text = text.strip()
    if re.fullmatch(r"[A-Za-z0-9_.-]+", text):
        return text.replace("_", "-"), [], {}
    try:
        node = ast.parse(text[:_LONGEST_TEXT], mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _unreadable(group, text) from error
    if len(text) > _LONGEST_TEXT or not isinstance(node, ast.Call):
        raise _unreadable(group, text)
    try:
        return _parse_call(group, node, text, target)
    except RecursionError as error:
        raise _unreadable(group, text) from error


def _unreadable(group: str, text: str) -> SettingError:
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    return SettingError(
        f"The {KINDS[group]} {shown!r} cannot be read; expected a name, or a constructor with "
        'literal settings such as "name(setting=1.5)".'
    )


def _parse_call(
    group: str, node: ast.Call, text: str, target: Target | None
) -> tuple[str, list[Any], dict[str, Any]]:
    if not isinstance(node.func, ast.Name):
        raise _unreadable(group, text)
    args = [_parse_value(group, argument, text, target) for argument in node.args]
    settings: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in settings:
            raise _unreadable(group, text)
        inner = _GROUP_OF_SETTING.get(keyword.arg, group)
        settings[keyword.arg] = _parse_value(inner, keyword.value, text, target)
    return node.func.id.replace("_", "-"), args, settings


def _parse_value(group: str, node: ast.expr, text: str, target: Target | None) -> Any:
    if isinstance(node, ast.Call):
        name, args, settings = _parse_call(group, node, text, target)
        return construct(find(group, name), args, settings, target)
    if isinstance(node, ast.Name):
        return construct(find(group, node.id.replace("_", "-")), (), {}, target)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError) as error:
        raise _unreadable(group, text) from error


def name_of(group: str, part: Any) -> Plugin | None:
    """Find the plug-in that an object's class is registered as, or None."""
    kind = type(part)
    for plugin in plugins(group):
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
    from irem_core.part import settings_of

    group = group_of(part)
    plugin = name_of(group, part)
    described: dict[str, Any] = {
        "group": group,
        "class": f"{type(part).__module__}:{type(part).__qualname__}",
        "settings": {name: _plain(value) for name, value in settings_of(part).items()},
    }
    if plugin is not None:
        described["name"] = plugin.name
        described["distribution"] = f"{plugin.distribution} {plugin.version}"
    return described


def group_of(part: Any) -> str:
    """Return the entry-point group that a part belongs to.

    Raises:
        TypeError: the object is no part.
    """
    from irem_core.backprop import Backprop
    from irem_core.descent.base import Descent
    from irem_core.energy import Landscape
    from irem_core.halting import HaltingCriterion
    from irem_core.solver import Solver
    from irem_core.space import Space
    from irem_core.task import Task

    bases = {
        Task: TASKS,
        Solver: SOLVERS,
        Landscape: ENERGIES,
        Descent: DESCENTS,
        HaltingCriterion: HALTING,
        Backprop: BACKPROPS,
        Space: SPACES,
    }
    for base, group in bases.items():
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
        plugin = find(group, name)
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
