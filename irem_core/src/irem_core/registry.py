"""The registry: parts by name, found through the entry points of installed distributions.

Nothing is registered at run time and nothing is kept: what is installed is what there is. Names use
hyphens. On the command line a part with settings is written as its constructor, hyphens as
underscores: `gradient(step_size=30)`. Such texts hold literals and further parts only; they are
parsed, never evaluated.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points, version
from typing import TYPE_CHECKING, Any

import attrs

from irem_core import checks
from irem_core.errors import (
    IremError,
    PluginError,
    SettingError,
    UnknownNameError,
    UnknownSettingError,
    near_matches,
    official_hint,
)

if TYPE_CHECKING:  # whose torch takes seconds to import
    from irem_core.part import Source

TASKS = "irem.tasks"
SOLVERS = "irem.solvers"
ENERGIES = "irem.energies"
DESCENTS = "irem.descents"
HALTING = "irem.halting"
BACKPROPS = "irem.backprops"
OBJECTIVES = "irem.objectives"
SCHEDULES = "irem.schedules"
SPACES = "irem.spaces"
COMMANDS = "irem.commands"

KINDS = {
    TASKS: "task",
    SOLVERS: "solver",
    ENERGIES: "energy",
    DESCENTS: "descent",
    HALTING: "halting rule",
    BACKPROPS: "backpropagation rule",
    OBJECTIVES: "objective",
    SCHEDULES: "schedule",
    SPACES: "space",
    COMMANDS: "command",
}
"""The entry-point groups and what one member of each is called."""

# Which group a setting's value belongs to, where a part is written inside another.
_GROUP_OF_SETTING = {
    "energy": ENERGIES,
    "energies": ENERGIES,
    "descent": DESCENTS,
    "solving": DESCENTS,
    "halting": HALTING,
    "backprop": BACKPROPS,
    "objective": OBJECTIVES,
    "objectives": OBJECTIVES,
    "schedule": SCHEDULES,
    "question": SPACES,
    "answer": SPACES,
    "task": TASKS,
}
# Parts that the library makes of what a user gives, such as a file, and that no one names.
_UNNAMED = {
    (TASKS, "pairs"): "irem_core.pairs.task:PairsTask",
    (TASKS, "structured-pairs"): "irem_core.pairs.structured:StructuredPairs",
    (SOLVERS, "standardized"): "irem_core.pairs.standardized:Standardized",
    (SOLVERS, "warm-start"): "irem_core.pairs.warm_start:WarmStart",
}
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
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
    entries = entry_points(group=group)
    # Each look at a distribution's name or version would read its file of metadata anew.
    about = {dist: dist.metadata for dist in {each.dist for each in entries} if dist is not None}
    found = {}
    for entry in entries:
        told = {"Name": "?", "Version": "?"} if entry.dist is None else about[entry.dist]
        found[entry.name, entry.value, told["Name"]] = Plugin(
            group, entry.name, told["Name"], told["Version"], entry
        )
    return sorted(found.values(), key=lambda plugin: (plugin.name, plugin.distribution))


def unnamed(group: str) -> list[Plugin]:
    """List the parts of a group that checkpoints may hold but that no user names."""
    package = version("irem-core")
    return [
        Plugin(group, name, "irem-core", package, EntryPoint(name, value, group))
        for (of, name), value in _UNNAMED.items()
        if of == group
    ]


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
    if official := official_hint(name, KINDS[group]):
        hint = official
    elif not everything and group == TASKS:
        hint = "No task is installed; get the paper's with: pip install irem-tasks."
    raise UnknownNameError(f"There is no {KINDS[group]} {name!r}. {hint}".rstrip())


def find_any(name: str) -> list[Plugin]:
    """Find the plug-ins of any group that bear a name, however its words are joined.

    Raises:
        UnknownNameError: there is none.
    """
    everything = [plugin for group in KINDS for plugin in plugins(group)]
    matches = [plugin for plugin in everything if _joined(plugin.name) == _joined(name)]
    if not matches:
        name = name.replace("_", "-")
        hint = near_matches(name, {plugin.name for plugin in everything})
        hint = official_hint(name) or hint
        raise UnknownNameError(f"Nothing is registered as {name!r}. {hint}".rstrip())
    return matches


def _joined(name: str) -> str:
    """Return a name without what joins its words: that of BarzilaiBorwein and barzilai-borwein."""
    return re.sub(r"[-_\s]", "", name).lower()


@attrs.frozen(eq=False)
class Target:
    """What parts with shapes and weights are built for.

    Args:
        task: gives the shapes.
        seed: of the initial weights.
    """

    task: Source
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
    except (IremError, RecursionError):
        raise
    except Exception as error:
        # Not every author checks settings, and torch refuses what is too large in many ways.
        # Without any settings the fault is the plug-in's own.
        if not args and not settings:
            raise
        given = [checks.shown(value) for value in args]
        given += [f"{name}={checks.shown(value)}" for name, value in settings.items()]
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


def plain_name(text: str) -> str:
    """Return the name in a part's text: "matrix-inverse" for "matrix_inverse(size=4)"."""
    return text.partition("(")[0].strip().replace("_", "-")


def folder_name(text: str) -> str:
    """Return the name in a part's text, as a part of a path: it leads to no other folder.

    Raises:
        SettingError: it would, or names no folder on Windows; no name of an installed part does.
    """
    return checks.folder_name(plain_name(text))


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


def built_parts(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with the parts that are written as texts built.

    Raises:
        UnknownNameError: no such part is installed; the other errors of `build` likewise.
    """
    return {
        name: build(_GROUP_OF_SETTING[name], value)
        if name in _GROUP_OF_SETTING and isinstance(value, str)
        else value
        for name, value in settings.items()
    }


def parse(
    group: str, text: str, target: Target | None = None
) -> tuple[str, list[Any], dict[str, Any]]:
    """Read a part's text into its name, positional and keyword settings; nested parts are built.

    Raises:
        SettingError: the text is no name and no constructor of literals and parts.
    """
    text = text.strip()
    if _NAME.fullmatch(text):
        return text.replace("_", "-"), [], {}
    try:
        # Names have hyphens where they are listed, which Python would take for minus signs.
        name, opening, rest = text[:_LONGEST_TEXT].partition("(")
        node = ast.parse(name.replace("-", "_") + opening + rest, mode="eval").body
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
    if isinstance(node, ast.Name) and node.id in ("nan", "inf"):
        return float(node.id)  # for the part to refuse by the name of the setting
    if isinstance(node, ast.Name):
        return construct(find(group, node.id.replace("_", "-")), (), {}, target)
    if isinstance(node, ast.List | ast.Tuple):
        return [_parse_value(group, element, text, target) for element in node.elts]
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError) as error:
        raise _unreadable(group, text) from error
