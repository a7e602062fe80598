"""Boards drawn as text, with lines around boxes, or around regions of any shape."""

from __future__ import annotations

from jaxtyping import Int
from torch import Tensor

from irem_tasks.puzzles.board_files import line_of
from irem_tasks.puzzles.boards import Kind

# What stands where lines meet, by whether one goes up, down, left and right.
_CROSSINGS = " \u2576\u2574─\u2577\u250c\u2510\u252c\u2575\u2514\u2518\u2534│\u251c\u2524\u253c"


def drawn(
    board: Int[Tensor, " cells"], kind: Kind, regions: Int[Tensor, " cells"] | None = None
) -> str:
    """Draw a board, `.` for blanks, with lines between cells of different boxes or regions.

    Args:
        board: from 1 to size, 0 where a cell is blank.
        kind: of the board.
        regions: the region of each cell of a jigsaw board; None for others.
    """
    size = kind.size
    parts = kind.boxes() if regions is None else regions
    if kind.variant == "latin":
        parts = parts * 0
    grid, text = parts.view(size, size).tolist(), line_of(board)

    def part(row: int, column: int) -> int:
        return grid[row][column] if 0 <= row < size and 0 <= column < size else -1

    def crossing(row: int, column: int) -> str:
        """Return the lines that meet above and to the left of a cell."""
        above, left = part(row - 1, column), part(row, column - 1)
        corner, here = part(row - 1, column - 1), part(row, column)
        up, down, back, on = corner != above, left != here, corner != left, above != here
        return _CROSSINGS[8 * up + 4 * down + 2 * back + on]

    lines = []
    for row in range(size + 1):
        border = "".join(
            crossing(row, column)
            + ("─" * 3 if part(row - 1, column) != part(row, column) else " " * 3)
            for column in range(size)
        )
        lines.append(border + crossing(row, size))
        if row < size:
            cells = "".join(
                ("│" if part(row, column - 1) != part(row, column) else " ")
                + f" {text[row * size + column]} "
                for column in range(size)
            )
            lines.append(cells + "│")
    return "\n".join(_without_empty(lines))


def _without_empty(lines: list[str]) -> list[str]:
    """Leave out borders that hold no line but those at the sides, so that boards stay low."""
    return [line for line in lines if line.strip("│ ")]
