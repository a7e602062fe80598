"""A puzzle of one's own, written constraint by constraint, and solved until it is verified.

An energy learns from ordinary 4 x 4 Sudoku for some seconds. The puzzle has regions of another
shape, which it never saw: what it learns is what a part asks of its entries, not where parts are.
"""

from __future__ import annotations

from collections.abc import Sequence

import irem_core as irem

SIZE = 4
REGIONS = ("aabb", "aacb", "ddcb", "ddcc")
GIVENS = ("1...", "..4.", "....", ".3..")


def trained(iterations: int) -> irem.Solver:
    """Return a solver of boards whose regions are boxes."""
    task = irem.load_task("sudoku", size=SIZE)
    made = irem.recipe(task)
    irem.fit(made.solver, task, **{**made.training, "iterations": iterations})
    return made.solver


def jigsaw() -> irem.Constraints:
    """Return the puzzle: each value once in every row, column and region."""
    puzzle = irem.Constraints()
    names = [[f"r{row}c{column}" for column in range(SIZE)] for row in range(SIZE)]
    cells = [[puzzle.variable(range(1, SIZE + 1), name=name) for name in row] for row in names]
    groups = [*cells, *zip(*cells, strict=True)]
    for region in "abcd":
        groups.append(
            [cells[r][c] for r in range(SIZE) for c in range(SIZE) if REGIONS[r][c] == region]
        )
    for group in groups:
        puzzle.all_different(group)
    for row, line in enumerate(GIVENS):
        for column, value in enumerate(line):
            if value != ".":
                puzzle.given(cells[row][column], int(value))
    return puzzle


def draw(values: Sequence[object]) -> None:
    """Print a board with its regions beside it."""
    for row in range(SIZE):
        print("  ", *values[SIZE * row : SIZE * (row + 1)], "  ", REGIONS[row])


def main(iterations: int = 200) -> None:
    puzzle, solver = jigsaw(), trained(iterations)
    print("before")
    draw("".join(GIVENS))
    solution = solver.solve(puzzle, restarts=64)
    values = puzzle.values(solution.y)
    holds = solution.verified is not None and bool(solution.verified.all())
    print("after:", "verified" if holds else "not solved")
    draw(values)
    for each in puzzle.broken(values):
        print("broken:", each)


if __name__ == "__main__":
    main()
