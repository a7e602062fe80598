"""The command line: `irem train add`, and what follows from it.

Modules here import torch only inside the commands that compute, so that help and lists are quick.
"""

from __future__ import annotations

import io
import sys
import warnings
from typing import TextIO

import typer

from irem_core.cli.compose import compose
from irem_core.cli.describe import describe
from irem_core.cli.evaluate import evaluate
from irem_core.cli.export import export
from irem_core.cli.group import Commands
from irem_core.cli.listing import list_plugins
from irem_core.cli.new_task import new_task
from irem_core.cli.report import report
from irem_core.cli.sharing import card, pull, push
from irem_core.cli.solve import solve
from irem_core.cli.train import train
from irem_core.errors import IremError, IremWarning

app = typer.Typer(
    cls=Commands,
    name="irem",
    help="Learned iterative reasoning by energy minimisation: train solvers, and solve with them.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(train)
app.command()(evaluate)
app.command()(solve)
app.command()(compose)
app.command()(export)
app.command()(report)
app.command()(card)
app.command()(push)
app.command()(pull)
app.command(name="list")(list_plugins)
app.command()(describe)
app.command(name="new-task")(new_task)


def main() -> None:
    """Run the command line and exit: 0 done, 1 a fault, 2 a user's mistake, 130 Ctrl-C."""
    warnings.showwarning = _show_warning
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A character that the terminal does not know is shown as its number.
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(_status())


def _status() -> int:
    """Run the command line and return its exit status, having said what went wrong."""
    try:
        status = app(standalone_mode=False, prog_name="irem")
        if sys.stdout is not None:
            sys.stdout.flush()
    except IremError as error:
        _say(str(error))
        return error.exit_status
    except typer.TyperException as error:
        _say(error.format_message())
        return error.exit_code
    except typer.Abort:
        return 130
    except OSError as error:
        # Output that nobody takes any more, as that of `irem list | head -1`, is no cause to speak.
        if not isinstance(error, BrokenPipeError):
            _say(f"stopped by the system ({error}).")
        return 1
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        _say("there is not enough memory for this; give smaller sizes or fewer problems at a time.")
        return 1
    return status if isinstance(status, int) else 0


def _out_of_memory(error: Exception) -> bool:
    """Recognise what Python and torch raise where memory runs out."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in said or "allocate memory" in said


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print irem's own warnings as it prints its errors, and others as Python does."""
    if issubclass(category, IremWarning):
        _say(str(message))
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))


def _say(message: str) -> None:
    typer.echo(f"irem: {' '.join(message.split())}", err=True)
