"""The answers that graphs and factor graphs bring with them, and what they are about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import compress
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from irem_core import checks
from irem_core.errors import InputFileError, NonFiniteError, SettingError, ShapeError
from irem_core.problems import graph_parts
from irem_core.problems.columns import Column
from irem_core.problems.factor_graphs import ENTRY
from irem_core.problems.graph_checks import is_graph, is_of_parts, nodes_of, numbers
from irem_core.problems.graph_parts import EDGES, NODES


def values(problem: Any) -> Any:
    """Return the answers that a problem brings; None if it has none."""
    if not is_graph(problem):
        return None
    parts = is_of_parts(problem)
    if parts and ENTRY not in problem.node_types:
        return None
    return (problem[ENTRY] if parts else problem).get("y")


def answers_of(several: Sequence[Any], names: Sequence[str]) -> Column:
    """Return the answers of all problems, `(rows, channels)`.

    Raises:
        InputFileError: one has none, is of another width, or holds NaN or infinity.
    """
    found: list[Tensor] = []
    for problem, name in zip(several, names, strict=True):
        y = values(problem)
        if y is None:
            raise InputFileError(
                f"{name} has no answers y; expected a row for each node, edge or entry."
            )
        try:
            rows = numbers(y, f"{name}: y")
        except ShapeError as error:
            raise InputFileError(str(error)) from error
        rows = rows[:, None] if rows.ndim == 1 else rows.flatten(1)
        if not rows.isfinite().all():
            raise InputFileError(f"{name}: y holds NaN or infinity; mend it.")
        if not rows.shape[1] or (found and rows.shape[1] != found[0].shape[1]):
            wanted = f"as many as {names[0]} has, {found[0].shape[1]}" if found else "at least one"
            raise InputFileError(
                f"{name}: y has {rows.shape[1]} numbers in a row; expected {wanted}."
            )
        found.append(rows)
    counts = torch.tensor([len(rows) for rows in found])
    return Column(torch.cat(found), counts)


def found_about(
    several: Sequence[Any], y: Column, about: str | None, names: Sequence[str]
) -> str | None:
    """Say whether answers are about nodes or edges, by how many there are; None for factor graphs.

    Raises:
        InputFileError: they are as many as neither.
        SettingError: they are as many as both in every problem, and nothing says which.
    """
    checks.check(checks.one_of(None, NODES, EDGES), "StructuredPairs", about=about)
    if graph_parts.are_of_parts(several):
        if about is not None:
            raise SettingError(
                f"about={about!r} (--about) has no use here: answers to factor graphs are about "
                "their entries; leave it out."
            )
        return None
    counts = y.lengths.tolist()
    fits = {
        NODES: [nodes_of(each) == count for each, count in zip(several, counts, strict=True)],
        EDGES: [each.num_edges == count for each, count in zip(several, counts, strict=True)],
    }
    possible = [name for name in (NODES, EDGES) if all(fits[name]) and about in (None, name)]
    if len(possible) == 2:
        raise SettingError(
            "All graphs have as many nodes as edges, so y could be about either; say which "
            'with about="nodes" or about="edges" (--about).'
        )
    if not possible:
        wanted = about or max(fits, key=lambda name: sum(fits[name]))
        first = fits[wanted].index(False)
        graph = several[first]
        raise InputFileError(
            f"{names[first]} has {counts[first]} rows of answers y, {nodes_of(graph)} "
            f"nodes and {graph.num_edges} edges; expected one for each of its {wanted}."
        )
    return possible[0]


def check_rows(entries: Int[Tensor, " problems"], y: Column, names: Sequence[str]) -> None:
    """Check that problems have an answer for each of their entries.

    Args:
        entries: of each problem.
        y: the answers.
        names: of the problems, for errors.

    Raises:
        InputFileError: one has fewer or more.
    """
    wrong = (entries != y.lengths).nonzero()
    if wrong.numel():
        first = int(wrong[0, 0])
        raise InputFileError(
            f"{names[first]} has {int(y.lengths[first])} rows of answers y and "
            f"{int(entries[first])} entries; expected a row for each."
        )


@contextmanager
def as_input() -> Iterator[None]:
    """Say of graphs that are not as they should be that they cannot be learned from.

    Raises:
        InputFileError: they are not.
    """
    try:
        yield
    except (ShapeError, NonFiniteError) as error:
        raise InputFileError(str(error)) from error


def known_answers(
    several: Sequence[Any], entries: Int[Tensor, " problems"], names: Sequence[str]
) -> Float[Tensor, "rows channels"] | None:
    """Return the answers of all problems, NaN for those without; None where none has any.

    Args:
        several: the problems.
        entries: of each.
        names: of them, for errors.

    Raises:
        InputFileError: answers are not as they should be (see `answers_of`, `check_rows`).
    """
    has = [values(each) is not None for each in several]
    if not any(has):
        return None
    some = list(compress(names, has))
    y, known = answers_of(list(compress(several, has)), some), torch.tensor(has)
    check_rows(entries[known], y, some)
    held = torch.full((int(entries.sum()), y.values.shape[1]), torch.nan)
    held[known.repeat_interleave(entries)] = y.values.to(held)
    return held
