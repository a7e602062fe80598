"""Boards as factor graphs, and factor graphs as boards again."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from irem_core import ShapeError, choices
from irem_tasks.puzzles.base_sets import Boards
from irem_tasks.puzzles.boards import BOXES, Cells, Groups, Kind


def graphs_of(boards: Boards) -> Any:
    """Return a batch of factor graphs, an entry for each value of each cell."""
    return choices.build(boards.givens - 1, boards.kind.size, boards.groups)


def boards_of(x: Any) -> Boards:
    """Return the boards that `graphs_of` made a batch of; their solutions are 0.

    Raises:
        ShapeError: the problems are no boards, or of several sizes or variants.
    """
    counts = x[choices.ENTRY].ptr.diff()
    size = next((each for each in BOXES if bool((counts == each**3).all())), None)
    if size is None:
        raise ShapeError(
            f"The problems have {counts.min()} to {counts.max()} entries; expected boards of one "
            f"size out of {', '.join(map(str, BOXES))}, with an entry for each value of each cell."
        )
    given = x[choices.ENTRY].x[:, 0].view(len(counts), -1, size) > 0
    givens = (given * torch.arange(1, size + 1, device=given.device)).sum(-1)
    kind, regions = _kind_of(_groups_of(x, size, len(counts)), size)
    return Boards(kind=kind, givens=givens, solutions=givens * 0, regions=regions)


def _groups_of(x: Any, size: int, boards: int) -> Groups:
    """Return the cells of each group, by the factors of the first value."""
    (link,) = (each for each in x.edge_types if each[0] == choices.ALL_DIFFERENT)
    links: Tensor = x[link].edge_index
    factor, entry = links
    first = entry % size == 0
    order = factor[first].argsort(stable=True)
    cells: Tensor = entry[first][order] // size % size**2
    if len(cells) % (boards * size):
        raise ShapeError("The boards have several variants; expected boards of one in a batch.")
    return cells.view(boards, -1, size)


def _kind_of(groups: Groups, size: int) -> tuple[Kind, Cells | None]:
    """Return of which kind boards are by their groups, and their regions if they are no boxes."""
    others = groups.shape[1] - 2 * size
    if others == 0:
        return Kind(size, "latin"), None
    if others == size + 2:
        return Kind(size, "diagonal"), None
    number = torch.arange(size, device=groups.device).repeat_interleave(size)
    regions = torch.zeros_like(groups[:, : 2 * size].flatten(1)[:, : size**2])
    regions = regions.scatter(1, groups[:, 2 * size :].flatten(1), number.expand(len(groups), -1))
    if bool((regions == Kind(size).boxes().to(regions)).all()):
        return Kind(size), None
    return Kind(size, "jigsaw"), regions


def values_of(x: Any, y: Tensor, size: int) -> Cells:
    """Return the value of each cell that an answer says, 0 where it says none or several."""
    chosen = choices.decoded(x, y).view(-1, size**2, size)
    values = (chosen * torch.arange(1, size + 1, device=y.device)).sum(-1)
    return values * (chosen.sum(-1) == 1)
