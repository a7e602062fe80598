"""The command group: our own commands, and those of installed packages on first use."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from irem_core.registry import COMMANDS, find, plugins


class Commands(TyperGroup):
    """A group that looks for further commands under the entry points `irem.commands`.

    An entry point names a function, which becomes a command, or a `typer.Typer`. It is imported
    when the command is called; help shows its name and where it comes from.
    """

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return one of our commands, or load a plug-in's."""
        own = super().get_command(ctx, cmd_name)
        if own is not None or cmd_name not in {plugin.name for plugin in plugins(COMMANDS)}:
            return own
        loaded = find(COMMANDS, cmd_name).load()
        if not isinstance(loaded, typer.Typer):
            function, loaded = loaded, typer.Typer(rich_markup_mode=None)
            loaded.command(name=cmd_name)(function)
        return typer.main.get_command(loaded)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write our commands with their help, and the names of plug-ins' commands."""
        super().format_commands(ctx, formatter)
        further = [(each.name, f"from {each.distribution}") for each in plugins(COMMANDS)]
        if further:
            with formatter.section("Commands of installed packages"):
                formatter.write_dl(further)
