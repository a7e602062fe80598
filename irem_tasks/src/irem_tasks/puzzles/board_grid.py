"""Boards as grids, with lines around boxes, or around regions of any shape."""

from __future__ import annotations

from jaxtyping import Int
from torch import Tensor
from torch.nn.functional import pad

from irem_core import Grid
from irem_tasks.puzzles.board_files import line_of
from irem_tasks.puzzles.boards import Kind


def grid_of(
    values: Int[Tensor, " cells"],
    givens: Int[Tensor, " cells"],
    kind: Kind,
    regions: Int[Tensor, " cells"] | None = None,
) -> Grid:
    """Return a board as a grid, `.` for blanks.

    Args:
        values: from 1 to size, 0 where a cell is blank.
        givens: likewise, those of them that are given.
        kind: of the board.
        regions: the region of each cell of a jigsaw board; None for others.
    """
    size = kind.size
    parts = kind.boxes() if regions is None else regions.cpu()
    if kind.variant == "latin":
        parts = parts * 0
    # A frame of a region of its own, so that lines at the sides are as those within.
    framed = pad(parts.view(size, size), (1, 1, 1, 1), value=-1)
    text = line_of(values.cpu())
    return Grid(
        texts=[list(text[first : first + size]) for first in range(0, size**2, size)],
        given=givens.view(size, size).cpu() > 0,
        beside=framed[1:-1].diff() != 0,
        above=framed[:, 1:-1].diff(dim=0) != 0,
    )
