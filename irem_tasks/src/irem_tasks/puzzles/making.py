"""Making boards: full ones at random, and givens that leave one solution."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from irem_tasks.puzzles.boards import Cells, Groups
from irem_tasks.puzzles.exact_search import (
    Candidates,
    candidates_of,
    incidence_of,
    of_states,
    placed_at,
    propagate,
    search_candidates,
    solved,
    values_of,
)


def random_full(
    count: int, groups: Groups, *, generator: torch.Generator, tries: int = 1000
) -> tuple[Cells, Bool[Tensor, " boards"]]:
    """Fill boards at random: a random cell of fewest candidates gets a random one, again and again.

    A board that comes to a contradiction is begun anew.

    Args:
        count: how many boards.
        groups: see `Kind.groups`; jigsaw boards have theirs each.
        generator: the only source of randomness.
        tries: how often a board may be begun anew; regions may allow no board at all.

    Returns:
        `(count, cells)` and which boards are full.
    """
    cells, size = int(groups.max()) + 1, groups.shape[-1]
    incidence = incidence_of(groups, cells)
    empty = candidates_of(torch.zeros(1, cells, dtype=torch.int64), size)
    full = torch.zeros(count, cells, dtype=torch.int64)
    failed = torch.zeros(count, dtype=torch.int64)
    mine, left = torch.arange(count), empty.expand(count, -1, -1)
    while len(mine):
        left, alive = propagate(left, of_states(incidence, mine))
        failed[mine[~alive]] += 1
        left = torch.where(alive[:, None, None], left, empty)
        ends = solved(left)
        full[mine[ends]] = values_of(left[ends])
        going = ~ends & (failed[mine] < tries)
        left, mine = _guessed(left[going], generator), mine[going]
    return full, (full > 0).all(1)


def _guessed(left: Candidates, generator: torch.Generator) -> Candidates:
    """Give a random cell of fewest candidates one of them."""
    many = left.sum(1)
    order = many + torch.rand(many.shape, generator=generator)
    cell = torch.where(many > 1, order, torch.inf).argmin(1)
    chances = left[torch.arange(len(left)), :, cell]
    value = (chances * torch.rand(chances.shape, generator=generator)).argmax(1)
    return placed_at(left, cell, value)


def minimal(
    solutions: Cells,
    groups: Groups,
    *,
    generator: torch.Generator,
    givens: Cells | None = None,
    branches: int = 100_000,
) -> Cells:
    """Take givens away in random order, each whose board keeps one solution without it.

    Args:
        solutions: `(B, cells)` full boards.
        groups: see `Kind.groups`.
        generator: the only source of randomness.
        givens: `(B, cells)` what to begin with; all cells, if None.
        branches: a given stays where more would have to be tried to see whether it may go.

    Returns:
        `(B, cells)` boards that have one solution, and would have more without any given.
    """
    givens = solutions.clone() if givens is None else givens.clone()
    order = torch.rand(givens.shape, generator=generator).argsort(1)
    for cell in order.unbind(1):
        mine = (givens.gather(1, cell[:, None])[:, 0] > 0).nonzero()[:, 0]
        fewer = givens[mine].scatter(1, cell[mine, None], 0)
        theirs = groups if groups.ndim == 2 else groups[mine]
        keeps = ~has_other(fewer, solutions[mine], theirs, cell[mine], branches=branches)
        givens[mine[keeps]] = fewer[keeps]
    return givens


def has_other(
    givens: Cells,
    solutions: Cells,
    groups: Groups,
    cell: Int[Tensor, " boards"],
    *,
    branches: int = 100_000,
) -> Bool[Tensor, " boards"]:
    """Say which boards have a solution that differs from a known one in a cell, or may have one."""
    left = candidates_of(givens, groups.shape[-1])
    row = torch.arange(len(left))
    left[row, solutions[row, cell] - 1, cell] = 0.0
    found = search_candidates(left, groups, at_most=1, branches=branches)
    return (found.count > 0) | ~found.complete
