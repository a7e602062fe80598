"""Pairs of the user's own, as the task that suits them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from irem_core.errors import SettingError
from irem_core.pairs.held_out import HeldOut
from irem_core.pairs.scoring import OtherPairs, OtherStructured
from irem_core.pairs.structured import StructuredPairs
from irem_core.pairs.task import PairsTask
from irem_core.problems import graph_parts

# Settings of pairs of the one kind that have no use for those of the other.
_OF_ARRAYS = ("cost", "entries", "x_columns", "y_columns", "categories")
_OF_GRAPHS = ("about",)


def open_pairs(data: str, **settings: Any) -> HeldOut:
    """Make a task of the pairs in a file or two, or of the problems in a folder.

    Args:
        data: as `PairsTask.open` takes it, or a folder as `StructuredPairs.open` does.
        settings: those of the one or the other; None for what is not said.

    Raises:
        InputFileError: they cannot be read, or are no pairs to learn from.
        SettingError: a setting has no use for such pairs.
    """
    place = Path(data)
    if place.is_dir() or not (place.suffix or place.exists()):
        return StructuredPairs.open(data, **_used(settings, _OF_ARRAYS, f"{data} holds graphs"))
    return PairsTask.open(data, **_used(settings, _OF_GRAPHS, f"{data} holds no graphs"))


def pairs_of(x: Any, y: Any = None, **settings: Any) -> HeldOut:
    """Make a task of arrays of questions and answers, or of graphs that have their answers.

    Args:
        x: as `PairsTask.of` takes it, or graphs as `StructuredPairs.of` does.
        y: answers to arrays.
        settings: those of the one or the other; None for what is not said.

    Raises:
        InputFileError: they are no pairs to learn from.
        SettingError: a setting has no use for such pairs.
    """
    if not graph_parts.are_graphs(x):
        return PairsTask.of(x, y, **_used(settings, _OF_GRAPHS, "these are no graphs"))
    if y is not None:
        raise SettingError(
            "Graphs hold their answers themselves, as y; leave the second argument out."
        )
    return StructuredPairs.of(x, **_used(settings, _OF_ARRAYS, "these are graphs"))


def other_pairs(trained: HeldOut, data: str) -> HeldOut:
    """Make a task of all pairs of a file or a folder, to score a run on.

    Args:
        trained: the task of the run.
        data: pairs of the kind that it was trained on.

    Raises:
        InputFileError: they cannot be read, or are of other shapes.
    """
    if isinstance(trained, PairsTask):
        return OtherPairs(trained, data)
    assert isinstance(trained, StructuredPairs)
    return OtherStructured(trained, data)


def _used(settings: dict[str, Any], useless: tuple[str, ...], why: str) -> dict[str, Any]:
    """Return settings without those that have no use.

    Raises:
        SettingError: one of these was given.
    """
    for name in useless:
        if settings.get(name) is not None:
            raise SettingError(
                f"{name} (--{name.replace('_', '-')}) has no use here, since {why}; leave it out."
            )
    return {name: value for name, value in settings.items() if name not in useless}
