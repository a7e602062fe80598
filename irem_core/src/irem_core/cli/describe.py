"""`irem describe`: what a part is, and its settings."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irem_core.cli.options import Json
from irem_core.registry import KINDS, SOLVERS, TASKS, Plugin, construct, find, find_any

if TYPE_CHECKING:
    from irem_core.task import Task


def describe(
    name: Annotated[str, typer.Argument(help="A task, solver, energy, descent, ... by its name.")],
    as_json: Json = False,
) -> None:
    """Describe a part: what it does, its settings and, for a task, its difficulties and floors.

    Floors are measured on the spot: what the best constant answer scores, and the best function of
    an entry's own input. An answer that is not far below them shows no reasoning.
    """
    from irem_core.cli import show

    described = [_described(find(each.group, name)) for each in find_any(name)]
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
        described["presets"] = _presets(loaded)
    return described


def _task(task: Task) -> dict[str, Any]:
    difficulties = {}
    for name in task.difficulties:
        floor = task.floor(name)
        difficulties[name] = {
            "parameters": {**task.parameters, **task.difficulties[name]},
            "constant": floor.constant,
            "entrywise": floor.entrywise,
            "published": {
                each.method: each.value for each in task.published if each.difficulty == name
            },
        }
    return {
        "question": repr(task.question),
        "answer": repr(task.answer),
        "parameters": task.parameters,
        "max_steps": task.max_steps,
        "difficulties": difficulties,
        "sources": sorted({each.source for each in task.published}),
    }


def _presets(solver: Any) -> dict[str, dict[str, str]]:
    """Show presets as they are for a task on vectors, the default of the paper."""
    from irem_core.space import VectorSpace

    class Example:
        question = answer = VectorSpace(1)

    presets = {name: preset(Example()) for name, preset in solver.presets.items()}
    return {
        name: {
            key: repr(value)
            for key, value in {**preset.solver, **preset.training, "source": preset.source}.items()
        }
        for name, preset in presets.items()
    }


def _show_task(part: dict[str, Any]) -> None:
    from irem_core.cli import show

    typer.echo(f"x: {part['question']}\ny: {part['answer']}\n")
    methods = list(
        dict.fromkeys(
            method for each in part["difficulties"].values() for method in each["published"]
        )
    )
    show.table(
        "Difficulties, with the mean squared error of answers without reasoning"
        + (f", and as published in {', '.join(part['sources'])}" if methods else ""),
        ["difficulty", "parameters", "constant", "entrywise", *methods],
        (
            [
                name,
                ",".join(f"{key}={value}" for key, value in each["parameters"].items()),
                each["constant"],
                each["entrywise"],
                *(each["published"].get(method) for method in methods),
            ]
            for name, each in part["difficulties"].items()
        ),
    )
