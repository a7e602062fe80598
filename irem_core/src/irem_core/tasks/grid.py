"""Answers that stand in a grid of cells: what terminals and pages draw of them."""

from __future__ import annotations

import attrs
from jaxtyping import Bool
from torch import Tensor

GIVEN, FOUND, WRONG = "given", "found", "wrong"
"""What a cell is: said by the question, answered, or answered otherwise than is right."""

# What stands where lines meet, by whether one goes up, down, left and right.
_CROSSINGS = " \u2576\u2574─\u2577\u250c\u2510\u252c\u2575\u2514\u2518\u2534│\u251c\u2524\u253c"


@attrs.frozen(kw_only=True, eq=False)
class Grid:
    """An answer as cells, with lines between some of them.

    Args:
        texts: what stands in each cell, row by row: a character each.
        given: `(rows, columns)` which cells the question says.
        beside: `(rows, columns + 1)` whether a line is left of a cell, and right of the last.
        above: `(rows + 1, columns)` whether a line is above a cell, and below the last.
    """

    texts: list[list[str]]
    given: Bool[Tensor, "rows columns"]
    beside: Bool[Tensor, "rows columns+1"]
    above: Bool[Tensor, "rows+1 columns"]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.given.shape
        return rows, columns

    def cells(self, right: Grid | None = None) -> list[list[tuple[str, str]]]:
        """Return the text of each cell and what it is: `GIVEN`, `FOUND` or `WRONG`.

        Args:
            right: the right answer, where it is known.
        """
        known = self.texts if right is None else right.texts
        return [
            [
                (text, GIVEN if given else FOUND if text == other else WRONG)
                for text, given, other in zip(*row, strict=True)
            ]
            for row in zip(self.texts, self.given.tolist(), known, strict=True)
        ]

    def lines(self, right: Grid | None = None) -> list[list[tuple[str, str]]]:
        """Return lines of text in pieces, and what each is, "" for what is drawn around cells.

        Borders that hold no line but those at the sides are left out, so that grids stay low.
        """
        beside, above = self.beside.tolist(), self.above.tolist()
        drawn = []
        for row, cells in enumerate([*self.cells(right), None]):
            border = self._border(row, beside, above[row])
            if border.strip("│ "):
                drawn.append([(border, "")])
            if cells is not None:
                sides = ["│" if each else " " for each in beside[row]]
                inner = [
                    piece
                    for side, (text, kind) in zip(sides, cells, strict=False)
                    for piece in ((side, ""), (f" {text} ", kind))
                ]
                drawn.append([*inner, (sides[-1], "")])
        return drawn

    def __str__(self) -> str:
        """Return the grid as text."""
        return "\n".join("".join(text for text, _ in line) for line in self.lines())

    def _border(self, row: int, beside: list[list[bool]], above: list[bool]) -> str:
        """Draw what is between a row of cells and the row before."""
        rows, columns = self.shape
        text = ""
        for column in range(columns + 1):
            up, down = row > 0 and beside[row - 1][column], row < rows and beside[row][column]
            back, on = column > 0 and above[column - 1], column < columns and above[column]
            text += _CROSSINGS[8 * up + 4 * down + 2 * back + on]
            text += "" if column == columns else 3 * ("─" if on else " ")
        return text
