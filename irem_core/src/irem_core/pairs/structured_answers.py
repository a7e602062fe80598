"""The answers that graphs and factor graphs bring with them, and what they are about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from irem_core import checks
from irem_core.errors import InputFileError, SettingError, ShapeError
from irem_core.problems import graph_parts
from irem_core.problems.columns import Column
from irem_core.problems.factor_graphs import ENTRY
from irem_core.problems.graph_parts import EDGES, NODES

# What is read of a graph.
_READ = ("x", "y", "edge_index", "edge_attr", "num_nodes")


def values(problem: Any) -> Any:
    """Return the answers that a problem brings; None if it has none."""
    return (problem[ENTRY] if hasattr(problem, "node_types") else problem).get("y")


def without_answer(problem: Any) -> Any:
    """Return a copy of a problem without its answers."""
    bare = problem.clone()
    store = bare[ENTRY] if hasattr(bare, "node_types") else bare
    if "y" in store:
        del store["y"]
    return bare


def answers_of(several: Sequence[Any], source: str) -> Column:
    """Return the answers of all problems, `(rows, channels)`.

    Raises:
        InputFileError: one has none, is of another width, or holds NaN or infinity.
    """
    found: list[Tensor] = []
    for number, problem in enumerate(several):
        y = values(problem)
        if not isinstance(y, Tensor) or not y.ndim:
            raise InputFileError(
                f"{source}: problem {number} has no answers y; expected a row for each node, edge "
                "or entry."
            )
        rows = (y[:, None] if y.ndim == 1 else y.flatten(1)).double()
        if not rows.isfinite().all():
            raise InputFileError(f"{source}: y of problem {number} holds NaN or infinity; mend it.")
        if found and rows.shape[1] != found[0].shape[1]:
            raise InputFileError(
                f"{source}: y of problem {number} has {rows.shape[1]} numbers in a row, and that "
                f"of problem 0 {found[0].shape[1]}; expected as many."
            )
        found.append(rows)
    counts = torch.tensor([len(rows) for rows in found])
    return Column(torch.cat(found), counts)


def found_about(several: Sequence[Any], y: Column, about: str | None, source: str) -> str | None:
    """Say whether answers are about nodes or edges, by how many there are; None for factor graphs.

    Raises:
        InputFileError: they are as many as neither.
        SettingError: they are as many as both in every problem, and nothing says which.
    """
    checks.check(checks.one_of(None, NODES, EDGES), "StructuredPairs", about=about)
    try:
        if graph_parts.are_of_parts(several):
            return None
    except ShapeError as error:
        raise InputFileError(f"{source}: {error}") from error
    counts = y.lengths.tolist()
    fits = {
        NODES: [each.num_nodes == count for each, count in zip(several, counts, strict=True)],
        EDGES: [each.num_edges == count for each, count in zip(several, counts, strict=True)],
    }
    possible = [name for name in (NODES, EDGES) if all(fits[name]) and about in (None, name)]
    if len(possible) == 2:
        raise SettingError(
            f"{source}: graphs have as many nodes as edges, so y could be about either; say which "
            'with about="nodes" or about="edges" (--about).'
        )
    if not possible:
        wanted = about or max(fits, key=lambda name: sum(fits[name]))
        first = fits[wanted].index(False)
        graph = several[first]
        raise InputFileError(
            f"{source}: problem {first} has {counts[first]} rows of answers y, {graph.num_nodes} "
            f"nodes and {graph.num_edges} edges; expected one for each of its {wanted}."
        )
    return possible[0]


def check_rows(batch: Any, y: Column, source: str) -> None:
    """Check that problems have an answer for each of their entries.

    Raises:
        InputFileError: one has fewer or more.
    """
    entries = batch[ENTRY].ptr.diff()
    wrong = (entries != y.lengths).nonzero()
    if wrong.numel():
        first = int(wrong[0, 0])
        raise InputFileError(
            f"{source}: problem {first} has {int(y.lengths[first])} rows of answers y and "
            f"{int(entries[first])} entries; expected a row for each."
        )


def ignored(problem: Any) -> list[str]:
    """Name what a graph holds that is not read."""
    if hasattr(problem, "node_types"):
        return []
    return [name for name in problem.to_dict() if name not in _READ]
