"""`irem describe`: what a part is, and its settings."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irem_core.cli.options import Json
from irem_core.registry import ENERGIES, KINDS, SOLVERS, TASKS, Plugin, construct, find, find_any

if TYPE_CHECKING:
    from irem_core.tasks.task import Task


def describe(
    name: Annotated[str, typer.Argument(help="A task, solver, energy, descent, ... by its name.")],
    as_json: Json = False,
) -> None:
    """Describe a part: what it does, its settings and, for a task, its difficulties and floors.

    Floors are measured on the spot: what the best constant answer scores, and the best function of
    an entry's own input. An answer that is not far below them shows no reasoning.
    """
    from irem_core.cli import show

    described = [_described(find(each.group, each.name)) for each in find_any(name)]
    if as_json:
        show.json_document(described)
        return
    for part in described:
        typer.echo(f"{part['kind']} {part['name']} ({part['package']})")
        typer.echo(f"\n{part['about']}\n")
        if part["settings"]:
            rows = part["settings"].items()
            show.table("Settings", ["setting", "default"], rows)
        for preset, settings in part.get("presets", {}).items():
            show.table(f"Preset {preset}", ["setting", "value"], settings.items())
        if "difficulties" in part:
            _show_task(part)


def _described(plugin: Plugin) -> dict[str, Any]:
    loaded = plugin.load()
    described: dict[str, Any] = {
        "kind": KINDS[plugin.group],
        "name": plugin.name,
        "package": f"{plugin.distribution} {plugin.version}",
        "about": inspect.getdoc(loaded) or "No description.",
        "settings": {
            each.name: "required" if each.default is each.empty else repr(each.default)
            for each in inspect.signature(loaded).parameters.values()
        },
    }
    if plugin.group == TASKS:
        task: Task = construct(plugin, (), {})
        described |= _task(task)
    if plugin.group == SOLVERS:
        described["presets"] = _presets(loaded.presets)
    if plugin.group == ENERGIES:
        from irem_core.part import preset_of

        # One that is a method of objects depends on their settings, and here is only their class.
        of_objects = inspect.isfunction(inspect.getattr_static(loaded, "preset"))
        own = {} if of_objects else {"default": partial(preset_of, loaded)}
        described["presets"] = _presets(own)
    return described


def _task(task: Task) -> dict[str, Any]:
    difficulties = {}
    for name in task.difficulties:
        floor = task.floor(name)
        difficulties[name] = {
            "parameters": _plain({**task.parameters, **task.difficulties[name]}),
            "constant": floor.constant,
            "entrywise": floor.entrywise,
            "published": {
                each.method: each.value for each in task.published if each.difficulty == name
            },
        }
    return {
        "question": str(task.question),
        "answer": str(task.answer),
        "parameters": _plain(task.parameters),
        "max_steps": task.max_steps,
        "difficulties": difficulties,
        "sources": sorted({each.source for each in task.published}),
    }


def _plain(parameters: dict[str, Any]) -> dict[str, Any]:
    """Write ranges as the command line does."""
    from irem_core.tasks.difficulty import Between

    return {
        name: str(value) if isinstance(value, Between) else value
        for name, value in parameters.items()
    }


def _presets(presets: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Show presets as they are for questions and answers that are vectors."""
    from irem_core.problems.space import VectorSpace

    space = VectorSpace(1)
    described = {}
    for name, made in presets.items():
        preset = made(space, space)
        if preset is None:
            continue
        values = {key: repr(value) for key, value in {**preset.solver, **preset.training}.items()}
        if preset.energy is not None:
            values["energy"] = preset.energy.__name__
        described[name] = {**values, "source": preset.source}
    return described


def _show_task(part: dict[str, Any]) -> None:
    from irem_core.cli import show

    typer.echo(f"x: {part['question']}\ny: {part['answer']}\n")
    each = part["difficulties"].values()
    methods = list(dict.fromkeys(method for one in each for method in one["published"]))
    rows: list[list[Any]] = [
        [key, *(one["parameters"][key] for one in each)] for key in part["parameters"]
    ]
    rows.append(["best constant answer", *(one["constant"] for one in each)])
    rows.append(["best function of an entry's own input", *(one["entrywise"] for one in each)])
    for method in methods:
        rows.append([f"{method}, published", *(one["published"].get(method) for one in each)])
    show.table(
        "Difficulties, and the mean squared error of answers",
        ["", *part["difficulties"]],
        rows,
    )
    if part["sources"]:
        typer.echo(f"Published in {', '.join(part['sources'])}.")
