"""Boards: which cells of a Sudoku, or of one of its variants, hold each value once."""

from __future__ import annotations

import attrs
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from irem_core import SettingError, checks

BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3), 16: (4, 4)}
"""Rows and columns of a box, by the size of the board."""
VARIANTS = ("plain", "jigsaw", "diagonal", "latin")
"""Boxes; regions of any shape in their place; boxes and both diagonals; rows and columns alone."""

Cells = Int[Tensor, "boards cells"]
Groups = Int[Tensor, "groups size"] | Int[Tensor, "boards groups size"]


@attrs.frozen
class Kind:
    """A kind of board: size x size cells, counted row by row, each with a value from 1 to size.

    Args:
        size: 4, 6, 9 or 16.
        variant: plain, jigsaw, diagonal or latin.
    """

    size: int = attrs.field(default=9, validator=checks.one_of(*BOXES))
    variant: str = attrs.field(default="plain", validator=checks.one_of(*VARIANTS))

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return self.size**2

    def boxes(self) -> Int[Tensor, " cells"]:
        """Return the number of the box that each cell lies in, from 0."""
        high, wide = BOXES[self.size]
        row, column = divide(torch.arange(self.cells), self.size)
        return row // high * high + column // wide

    def groups(self, regions: Cells | None = None) -> Groups:
        """Return the cells of each group, which holds each value exactly once.

        Args:
            regions: `(B, cells)` the region of each cell of jigsaw boards, from 0; None for others.

        Returns:
            `(groups, size)`, or `(B, groups, size)` of jigsaw boards: rows, columns, then boxes or
            regions, then diagonals.

        Raises:
            SettingError: jigsaw boards came without regions, or others with them.
        """
        if (regions is None) == (self.variant == "jigsaw"):
            given = "none" if regions is None else "some"
            raise SettingError(
                f"Boards that are {self.variant} got regions={given}; expected a region for each "
                "cell of jigsaw boards, and none for others."
            )
        grid = torch.arange(self.cells).view(self.size, self.size)
        parts = [grid, grid.T]
        if self.variant in ("plain", "diagonal"):
            parts.append(cells_of(self.boxes()[None], self.size)[0])
        if self.variant == "diagonal":
            parts.append(torch.stack([grid.diagonal(), grid.flip(1).diagonal()]))
        lines = torch.cat(parts)
        if regions is None:
            return lines
        lines = lines.to(regions.device).expand(len(regions), -1, -1)
        return torch.cat([lines, cells_of(regions, self.size)], 1)


def divide(numbers: Tensor, by: int) -> tuple[Tensor, Tensor]:
    """Return quotients and remainders: rows and columns of cells."""
    return numbers // by, numbers % by


def cells_of(regions: Cells, size: int) -> Int[Tensor, "boards regions size"]:
    """Return the cells of each region, given the region of each cell; all have `size` cells."""
    return regions.argsort(dim=1, stable=True).view(len(regions), -1, size)


def gathered(values: Cells, groups: Groups) -> Int[Tensor, "boards groups size"]:
    """Return the values that stand in the cells of each group."""
    if groups.ndim == 2:
        return values[:, groups]
    return values.gather(1, groups.flatten(1)).view(-1, *groups.shape[1:])


def repeated(values: Cells, groups: Groups) -> Bool[Tensor, "boards groups"]:
    """Say which groups hold a value more than once; 0, a blank, may stand anywhere.

    Args:
        values: `(B, cells)` from 0 to size.
        groups: see `Kind.groups`.
    """
    ordered = gathered(values, groups).sort(-1).values
    return ((ordered[..., 1:] == ordered[..., :-1]) & (ordered[..., 1:] > 0)).any(-1)


def solves(values: Cells, givens: Cells, groups: Groups) -> Bool[Tensor, " boards"]:
    """Say which boards are filled, keep their givens, and hold each value once in every group.

    Args:
        values: `(B, cells)` from 0 to size.
        givens: `(B, cells)` the same, 0 where a cell is blank.
        groups: see `Kind.groups`.
    """
    filled = (values > 0).all(1)
    kept = ((givens == 0) | (givens == values)).all(1)
    return filled & kept & ~repeated(values, groups).any(1)
