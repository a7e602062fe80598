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
    search,
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


def exchanged(
    givens: Cells,
    solutions: Cells,
    groups: Groups,
    *,
    away: int,
    tries: int = 32,
    generator: torch.Generator,
    at_most: int = 32,
) -> Cells:
    """Take some givens away and give one other cell instead, so that there is still one solution.

    Each further solution that boards have without the givens differs from the known one in some
    cells; a cell in which all of them differ may be given instead.

    Args:
        givens: `(B, cells)` boards of one solution.
        solutions: `(B, cells)` the solutions.
        groups: see `Kind.groups`.
        away: how many givens are taken away.
        tries: of how many choices of them.
        generator: the only source of randomness.
        at_most: choices that leave as many other solutions are passed over.

    Returns:
        `(B, cells)` boards of one solution; those where no try went well are as they were.
    """
    count, cells = givens.shape
    chance = torch.rand((count, tries, cells), generator=generator) * (givens[:, None] > 0)
    fewer = givens[:, None].repeat(1, tries, 1).scatter(2, chance.topk(away).indices, 0)
    theirs = groups if groups.ndim == 2 else groups.repeat_interleave(tries, 0)
    found = search(fewer.flatten(0, 1), theirs, at_most=at_most)
    apart = (found.solutions != solutions[found.owner // tries]).float()
    others = torch.zeros(count * tries, cells).index_add_(0, found.owner, apart)
    known = found.complete & (found.count < at_most)
    fits = (others == (found.count - 1)[:, None]) & known[:, None]
    fits = fits.view(count, tries * cells)
    fits &= (fewer == 0).flatten(1) & (givens == 0).repeat(1, tries)
    chosen = (fits * torch.rand(fits.shape, generator=generator)).argmax(1)
    row, cell = torch.arange(count), chosen % cells
    better = fewer[row, chosen // cells]
    better[row, cell] = solutions[row, cell]
    return torch.where(fits.any(1, keepdim=True), better, givens)
