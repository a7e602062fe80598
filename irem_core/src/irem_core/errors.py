"""Every error that the library raises on purpose.

Each kind also inherits the built-in exception that a Python user would catch, and carries the exit
status that the command line ends with: 2 for a mistake of the user, 1 for a fault that stopped a
computation.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class IremError(Exception):
    """Base of all errors raised by irem packages; its text is one clear sentence or two."""

    exit_status: int = 2


class SettingError(IremError, ValueError):
    """A setting is out of its range, or a text that describes a part cannot be read."""


class UnknownSettingError(SettingError, TypeError):
    """A part was given a setting that it does not have, or lacks one that it needs."""


class UnknownNameError(IremError, LookupError):
    """No task, solver, energy, descent, halting rule or difficulty bears the given name."""


class PluginError(IremError, ImportError):
    """A plug-in or what an extra brings cannot be imported, or two plug-ins claim one name."""


class ShapeError(IremError, ValueError):
    """A tensor does not have the shape or type that its place demands."""


class EnergyError(IremError, ValueError):
    """An energy breaks its contract, for example by not depending on y."""


class NonFiniteError(IremError, ValueError):
    """A tensor given by the user holds NaN or infinity."""


class ExportError(IremError, RuntimeError):
    """A solver cannot be written as a program, or the program does not answer as the solver."""


class CompileError(IremError, RuntimeError):
    """An energy cannot be compiled, by what it does or for want of a C++ compiler."""


class InputFileError(IremError, ValueError):
    """A file of problems cannot be read or written as asked."""


class CheckpointError(IremError, ValueError):
    """A checkpoint is truncated, foreign, tampered with, or does not fit the solver."""


class RunExistsError(IremError, FileExistsError):
    """The output folder already holds a run, and resuming was not asked for."""


class InUseError(IremError, BlockingIOError):
    """Another process is writing to the same place."""


class NotConvergedError(IremError, RuntimeError):
    """`Solution.check` found problems that did not converge."""

    exit_status = 1


class TrainingDivergedError(IremError, ArithmeticError):
    """The training loss turned non-finite."""

    exit_status = 1


class StorageError(IremError, OSError):
    """Writing failed, for example because the disk is full."""

    exit_status = 1


class HubError(IremError, ConnectionError):
    """A hub cannot be reached, or refuses what it was asked."""

    exit_status = 1


class IremWarning(UserWarning):
    """Base of all warnings that irem packages give; the command line prints them as one line."""


class DamagedFileWarning(IremWarning):
    """A part of a file cannot be read, and the rest is used without it."""


class UnlockedWarning(IremWarning):
    """Nothing keeps other processes from writing to a place, since its file system has no locks."""


class SkippedQuestionWarning(IremWarning):
    """A question among many holds NaN or infinity, and the others are answered without it."""


class SkippedFileWarning(IremWarning):
    """A file among many cannot be used, and the others are used without it."""


def near_matches(name: str, candidates: Iterable[str]) -> str:
    """Say in a sentence which of `candidates` resemble `name`, or list them all if none does.

    Args:
        name: what was given.
        candidates: the names that exist.

    Returns:
        A sentence ending in a full stop, or an empty text where there is no candidate at all.
    """
    names = sorted(candidates)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(repr(match) for match in close)}?"
    return f"There are: {', '.join(names)}." if names else ""


# What the official packages provide, for the error that says it is missing.
OFFICIAL = {
    ("task", "irem-tasks"): (
        *("add", "assignment", "coloring", "connected-components", "denoise", "determinant"),
        *("edge-copy", "eigenvector", "inverse-kinematics", "linear-system", "lu"),
        *("matrix-completion", "matrix-inverse", "maze", "negate", "parity", "qr", "queens"),
        *("roots", "sat", "shortest-path", "sort", "sparse-components", "sparse-shortest-path"),
        *("square", "sudoku"),
    ),
    ("solver", "irem-baselines"): (
        *("classical", "constant", "entrywise", "feedforward", "iterative-feedforward"),
        *("ponder", "recurrent", "residual"),
    ),
}


def official_hint(name: str, kind: str | None = None) -> str:
    """Say which official package provides a name; nothing if none does.

    Args:
        name: of a part.
        kind: of part, "task" or "solver"; any if None.
    """
    for (sort, package), names in OFFICIAL.items():
        if name in names and kind in (None, sort):
            return f"It comes with {package}: pip install {package}."
    return ""
