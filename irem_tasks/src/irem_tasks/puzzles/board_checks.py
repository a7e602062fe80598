"""What is wrong with boards that someone gives, said in a sentence for each."""

from __future__ import annotations

import attrs
import torch

from irem_tasks.puzzles.base_sets import Boards
from irem_tasks.puzzles.boards import Cells, Kind, gathered, repeated, solves
from irem_tasks.puzzles.exact_search import search as exact_search

# Cells that are tried, after which nothing is said of how many solutions a board has.
_GIVEN_UP = (
    "whether it has none, one or several solutions is not known: an exact search of it was given up"
)
_BRANCHES = 200


@attrs.frozen(kw_only=True)
class Checked:
    """Boards that can be solved, and what is wrong with others.

    Args:
        boards: the sound ones, in their order; solutions are 0 where none is known.
        faults: the place of each other board, and why it cannot be solved.
        notes: the place of boards that can be, and what is to be known of them.
    """

    boards: Boards
    faults: list[tuple[int, str]]
    notes: list[tuple[int, str]]


def check(
    kind: Kind, givens: Cells, solutions: Cells, regions: Cells | None, *, search: bool
) -> Checked:
    """Check boards and their solutions.

    Args:
        kind: of the boards.
        givens: `(B, cells)` from 1 to size, 0 for blanks, and -1 for what is no value.
        solutions: likewise; 0 in all cells where none is known.
        regions: `(B, cells)` of jigsaw boards, from 0.
        search: whether unknown solutions are searched for.
    """
    faults: dict[int, str] = {}
    if regions is not None:
        named = torch.nn.functional.one_hot(regions.clamp(max=kind.size), kind.size + 1)
        even = (named.sum(1)[:, : kind.size] == kind.size).all(1)
        for place in (~even).nonzero()[:, 0].tolist():
            faults[place] = f"its regions are not {kind.size} of {kind.size} cells each"
        regions = torch.where(even[:, None], regions, kind.boxes())
    for name, values in (("board", givens), ("solution", solutions)):
        for place, cell in _first(values < 0):
            told = f"the {name} holds no value from 1 to {kind.size} in {where(kind, cell)}"
            faults.setdefault(place, told)
    groups = kind.groups(regions)
    for place, group in _first(repeated(givens, groups)):
        values = gathered(givens[[place]], groups if groups.ndim == 2 else groups[[place]])[
            0, group
        ]
        counted = values[values > 0].bincount()
        told = f"the value {int(counted.argmax())} is given twice in {name_of(kind, group)}"
        faults.setdefault(place, f"its givens contradict each other: {told}")
    known = (solutions > 0).any(1)
    for place in (known & ~solves(solutions, givens, groups)).nonzero()[:, 0].tolist():
        faults.setdefault(place, "its solution does not fit: it changes a given or breaks a rule")
    notes, asked = [], [place for place in (~known).nonzero()[:, 0].tolist() if place not in faults]
    if search and asked:
        theirs = groups if groups.ndim == 2 else groups[asked]
        found = exact_search(givens[asked], theirs, branches=_BRANCHES)
        sought = torch.tensor(asked)
        for place in sought[found.complete & (found.count == 0)].tolist():
            faults[place] = "its givens leave no solution, as an exact search shows"
        for place in sought[found.count > 1].tolist():
            notes.append((place, "it has several solutions, of which any will count as right"))
        for place in sought[~found.complete & (found.count < 2)].tolist():
            notes.append((place, _GIVEN_UP))
        one = found.unique[found.owner]
        solutions = solutions.index_copy(0, sought[found.owner[one]], found.solutions[one])
    sound = torch.tensor([place not in faults for place in range(len(givens))], dtype=torch.bool)
    boards = Boards(kind=kind, givens=givens, solutions=solutions, regions=regions)
    return Checked(boards=boards[sound], faults=sorted(faults.items()), notes=notes)


def _first(wrong: torch.Tensor) -> list[tuple[int, int]]:
    """Return the boards with anything wrong, and the first place where it is."""
    some = wrong.any(1).nonzero()[:, 0]
    return list(zip(some.tolist(), wrong[some].long().argmax(1).tolist(), strict=True))


def where(kind: Kind, cell: int) -> str:
    """Name a cell as people count."""
    row, column = divmod(cell, kind.size)
    return f"row {row + 1}, column {column + 1}"


def name_of(kind: Kind, group: int) -> str:
    """Name a group of `Kind.groups`."""
    part, number = divmod(group, kind.size)
    third = "region" if kind.variant == "jigsaw" else "box"
    return f"{('row', 'column', third, 'diagonal')[part]} {number + 1}"
