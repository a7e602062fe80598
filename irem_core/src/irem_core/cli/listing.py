"""`irem list`: what is installed."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from irem_core.cli.options import Json
from irem_core.errors import PluginError
from irem_core.files.packaged import packaged_run
from irem_core.registry import KINDS, TASKS, Plugin, find, plugins


def list_plugins(
    check: Annotated[
        bool, typer.Option("--check", help="Import everything and report what fails.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the installed tasks, solvers, energies, descents and halting rules.

    Without --check nothing is imported: names come from the metadata of installed packages.
    """
    from irem_core.cli import show

    found = [plugin for group in KINDS for plugin in plugins(group)]
    rows: list[dict[str, Any]] = []
    for plugin in found:
        row = {
            "kind": KINDS[plugin.group],
            "name": plugin.name,
            "package": plugin.distribution,
            "version": plugin.version,
            "weights": "yes" if plugin.group == TASKS and packaged_run(plugin.entry) else None,
        }
        rows.append(row | ({"problem": _problem(plugin)} if check else {}))
    if as_json:
        show.json_document(rows)
    else:
        show.table("Installed parts", list(rows[0]), (list(row.values()) for row in rows))
        if not plugins(TASKS):
            typer.echo("No task is installed; get the paper's with: pip install irem-tasks")
    if any(row.get("problem") for row in rows):
        raise typer.Exit(1)


def _problem(plugin: Plugin) -> str | None:
    try:
        find(plugin.group, plugin.name).load()
    except PluginError as error:
        return str(error)
    return None
