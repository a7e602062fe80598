"""Random regions of jigsaw boards: connected, and all of one size."""

from __future__ import annotations

import random
from functools import cache

import torch
from jaxtyping import Int
from torch import Tensor

from irem_tasks.puzzles.boards import Cells, Kind

_MOVES = 100


def random_regions(count: int, kind: Kind, *, generator: torch.Generator) -> Cells:
    """Draw regions by exchanging cells of neighbouring ones, from boxes on.

    Args:
        count: of how many boards.
        kind: says how large the boards are, and their boxes.
        generator: the only source of randomness.

    Returns:
        `(count, cells)` the region of each cell, from 0.
    """
    seeds = torch.randint(2**62, (count,), generator=generator).tolist()
    boxes = kind.boxes().tolist()
    return torch.tensor([_wandered(boxes, kind.size, random.Random(seed)) for seed in seeds])


def connected(regions: Int[Tensor, " cells"], size: int) -> bool:
    """Say whether the cells of each region hang together along their sides."""
    held = regions.tolist()
    return all(_joined(held, size, region) for region in set(held))


def _wandered(regions: list[int], size: int, draws: random.Random) -> list[int]:
    regions = list(regions)
    moved = 0
    while moved < _MOVES:
        ours = draws.randrange(size * size)
        mine, theirs = regions[ours], regions[draws.choice(_neighbours(ours, size))]
        if mine == theirs:
            continue
        # A cell of the neighbouring region that lies at ours, so that one comes for the one gone.
        back = [
            cell
            for cell, region in enumerate(regions)
            if region == theirs and any(regions[near] == mine for near in _neighbours(cell, size))
        ]
        other = draws.choice(back)
        regions[ours], regions[other] = theirs, mine
        if _joined(regions, size, mine) and _joined(regions, size, theirs):
            moved += 1
        else:
            regions[ours], regions[other] = mine, theirs
    return regions


@cache
def _neighbours(cell: int, size: int) -> list[int]:
    row, column = divmod(cell, size)
    near = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
    return [r * size + c for r, c in near if 0 <= r < size and 0 <= c < size]


def _joined(regions: list[int], size: int, region: int) -> bool:
    cells = {cell for cell, each in enumerate(regions) if each == region}
    reached = [cells.pop()]
    for cell in reached:
        near = cells.intersection(_neighbours(cell, size))
        cells -= near
        reached += near
    return not cells
