"""Discrete problems as factor graphs: which value each variable has, under constraints.

There is an entry for each value of each variable, 1 where the variable has it and 0 elsewhere. Its
features say whether that is given, and whether any value of its variable is. Constraints are
factors that bound how many of their entries are 1, so that answers can be decoded and checked from
the question alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from irem_core.errors import ShapeError
from irem_core.problems import factor_graphs
from irem_core.problems.factor_graphs import ENTRY as ENTRY
from irem_core.problems.factor_graphs import ROLE
from irem_core.problems.problem import Problem

if TYPE_CHECKING:
    from torch_geometric.data import Batch

VARIABLE = "variable"
"""The kind of the factors that join the values of a variable."""
ALL_DIFFERENT = "all_different"
"""Variables of which exactly one has a value: there are as many of them as values."""
BOUNDS: dict[str, tuple[float, float]] = {
    VARIABLE: (1, 1),
    ALL_DIFFERENT: (1, 1),
    "exactly_one": (1, 1),
    "at_most_one": (0, 1),
    "clause": (1, math.inf),
}
"""By kind, the fewest and the most entries of a factor that may be 1."""
FEATURES = 2
"""Features of an entry."""


def build(
    givens: Int[Tensor, "problems variables"],
    values: int,
    groups: Int[Tensor, "groups values"] | Int[Tensor, "problems groups values"],
) -> Batch:
    """Make problems whose variables all have the same values, each once in every group.

    Args:
        givens: the value that is given of each variable, from 0, or -1.
        values: how many there are.
        groups: the variables of each group, as many as values; the same in all problems, or not.

    Returns:
        A batch of factor graphs.
    """
    numbers = torch.arange(values, device=givens.device)
    given = givens[:, :, None] == numbers
    known = (givens >= 0)[:, :, None].expand_as(given)
    features = torch.stack([given, known], -1).to(torch.get_default_dtype())
    entries = torch.arange(givens.shape[1] * values, device=givens.device)
    # For each group and value the entries of its variables.
    alike = groups[..., None, :] * values + numbers[:, None]
    return factor_graphs.build(
        features.flatten(1, 2),
        {VARIABLE: entries.view(-1, values), ALL_DIFFERENT: alike.flatten(-3, -2)},
    )


def answers(chosen: Int[Tensor, "problems variables"], values: int) -> Float[Tensor, "rows 1"]:
    """Return the answers of problems that `build` made: 1 for the value of each variable."""
    numbers = torch.arange(values, device=chosen.device)
    return (chosen[:, :, None] == numbers).to(torch.get_default_dtype()).view(-1, 1)


def decoded(x: Batch, y: Float[Tensor, "rows 1"]) -> Bool[Tensor, " rows"]:
    """Say of each entry whether its variable has that value: the given one, else the largest.

    Entries of no variable, such as those of one constraint alone, are 1 above 1/2.
    """
    given, known = x[ENTRY].x.unbind(1)
    scores = y[:, 0].masked_fill(known > 0, -math.inf).masked_fill(given > 0, math.inf)
    variable, entry = x[VARIABLE, ROLE, ENTRY].edge_index
    largest = scores.new_full((x[VARIABLE].batch.shape[0],), -math.inf)
    largest = largest.scatter_reduce(0, variable, scores[entry], "amax")
    # Of equal ones the first counts.
    places = torch.where(scores[entry] == largest[variable], entry, len(scores))
    first = torch.full_like(largest, len(scores), dtype=torch.int64)
    first = first.scatter_reduce(0, variable, places, "amin")
    chosen = scores > 0.5
    chosen[entry] = entry == first[variable]
    return chosen


def broken(x: Batch, chosen: Bool[Tensor, " rows"]) -> dict[str, Bool[Tensor, " factors"]]:
    """Say by kind which factors do not hold, and, as "given", which entries are not as given.

    Args:
        x: problems.
        chosen: which entries are 1.

    Raises:
        ShapeError: a kind is none of `BOUNDS`, so that nothing is known of it.
    """
    found = {"given": (x[ENTRY].x[:, 0] > 0) & ~chosen}
    for kind, role, _ in x.edge_types:
        if kind not in BOUNDS or role != ROLE:
            raise ShapeError(
                f"Factors of the kind {kind!r}, role {role!r}, cannot be checked; expected one of "
                f"{', '.join(BOUNDS)}."
            )
        factor, entry = x[kind, role, ENTRY].edge_index
        count = torch.zeros_like(x[kind].batch).index_add(0, factor, chosen[entry].to(factor))
        low, high = BOUNDS[kind]
        found[kind] = (count < low) | (count > high)
    return found


def verify(problem: Problem, y: Float[Tensor, "rows 1"]) -> Bool[Tensor, " problems"]:
    """Say of which problems the decoded answers keep all givens and constraints."""
    x: Any = problem.x
    holds = torch.ones(problem.layout.count, dtype=torch.bool, device=y.device)
    for kind, fails in broken(x, decoded(x, y)).items():
        owner = x[ENTRY if kind == "given" else kind].batch
        holds[owner[fails]] = False
    return holds
