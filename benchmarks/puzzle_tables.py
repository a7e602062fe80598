"""Tables of what `puzzles.py` measured, beside what was published."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import attrs

from irem_baselines.reproduce.book import Table, figure, over_seeds, provenance

Records = Sequence[dict[str, Any]]


@attrs.frozen
class Shown:
    """A row of the table.

    Args:
        row: of `puzzles.ROWS`.
        title: what was solved.
        published: by others, on boards of their own.
        starts: of a curve, how many the row is of.
    """

    row: str
    title: str
    published: str = ""
    starts: int | None = None


SHOWN = (
    Shown("same", "Sudoku, 31 to 42 givens", "100 % (Recurrent Transformer; AKOrN)"),
    Shown("same-restarts", "the same"),
    Shown("harder", "Sudoku, 20 to 34 givens", "51.7 % (AKOrN); 77.7 to 85.8 % (ConsFormer)"),
    Shown("harder-within", "the same, of 300 evaluations each"),
    Shown("harder-restarts", "the same", "89.5 % (AKOrN, lowest energy of 4,096 starts)"),
    Shown("minimal", "20 to 23 givens, all needed"),
    Shown("hardest-curve", "boards that need most search", starts=1),
    Shown("hardest-curve", "the same", starts=16),
    Shown("hardest-curve", "the same", starts=128),
    Shown("jigsaw", "jigsaw regions, never trained on"),
    Shown("diagonal", "both diagonals too, never trained on"),
    Shown("latin", "Latin squares, never trained on"),
    Shown("sizes-4", "4 x 4, by a run of 4, 6 and 9"),
    Shown("sizes-9", "9 x 9, by the same run"),
    Shown("sizes-16", "16 x 16 with 130 to 150 givens, by the same run"),
    Shown("maze-9", "mazes of 9 x 9, trained on"),
    Shown("maze-9-restarts", "the same"),
    Shown("maze-13", "13 x 13, never trained on"),
    Shown("maze-13-restarts", "the same"),
    Shown("maze-21", "21 x 21, never trained on"),
    Shown("maze-21-restarts", "the same"),
    *(
        Shown(f"queens-{size}{more}", title if not more else "the same", published)
        for size, title, other in (
            (8, "8 queens, trained on single lines", "89 % (summed energies, 128 particles)"),
            (12, "12 queens, likewise", ""),
            (20, "20 queens, likewise", ""),
        )
        for more, published in (("", ""), ("-restarts", ""), ("-particles", other))
    ),
    Shown("sat-20", "3-SAT, 20 variables, 91 clauses", "91 % (summed energies, 1,024 particles)"),
    Shown("sat-50", "50 variables, 218 clauses, never trained on", "43 % (the same)"),
)
COLORINGS = {
    "coloring-14": "Erdos-Renyi graphs of 14 nodes, trained on 8 to 14",
    "coloring-14-restarts": "the same",
    "coloring-30": "of 30 nodes, never trained on",
    "coloring-30-restarts": "the same",
    "coloring-30-watts-strogatz": "Watts-Strogatz graphs of 30 nodes",
    "coloring-30-watts-strogatz-restarts": "the same",
    "coloring-30-holme-kim": "Holme-Kim graphs of 30 nodes",
    "coloring-30-holme-kim-restarts": "the same",
}
ASSIGNMENTS = {
    "assignment-8": "8 x 8, trained on 3 to 8",
    "assignment-16": "16 x 16, never trained on",
}
_SOURCES = (
    "Solved: the answer holds in every constraint. Starts: the most that a problem is descended "
    "from, until an answer is verified. AUROC: how well the final energy of one start tells what "
    "is not solved. Published: on boards of others, SATNet's of 31 to 42 givens and RRN's of 17 to "
    "34, by Recurrent Transformer (Yang et al., ICLR 2023), AKOrN (Miyato et al., ICLR 2025) and "
    "ConsFormer (Xu et al., 2025); of queens and formulas by energies of parts that are summed, "
    "with as many particles (compositional energy minimisation, NeurIPS 2025)."
)


def tables(results: Path) -> Iterator[Table]:
    """Yield the tables of a folder of records."""
    columns = ["puzzles", "problems", "starts", "solved", "energy evaluations each", "AUROC"]
    columns += ["published"]
    read = {each.row: records(results, each.row) for each in SHOWN}
    yield Table(
        title="Puzzles",
        columns=columns,
        rows=[_solved(each, read[each.row]) for each in SHOWN],
        notes=[
            _SOURCES,
            *provenance(one for found in read.values() for one in found),
            *map(_speed, records(results, "speed")),
        ],
    )
    coloured = {name: records(results, name) for name in COLORINGS}
    yield Table(
        title="Colourings",
        columns=["graphs", "problems", "starts", "solved", "conflicts left", "DSATUR, Tabucol"],
        rows=[_coloured(COLORINGS[name], found) for name, found in coloured.items()],
        notes=[
            "Conflicts left: edges whose ends are alike, mean over graphs. The last column is what "
            "the textbook's greedy colouring, mended by local search, solves of the same graphs.",
            *provenance(one for found in coloured.values() for one in found),
        ],
    )
    costs = {name: records(results, name) for name in ASSIGNMENTS}
    yield Table(
        title="Assignments",
        columns=["assignments", "problems", "exactly optimal", "cost above the optimum"],
        rows=[
            [
                ASSIGNMENTS[name],
                _same(found, lambda one: f"{one['problems']:,}"),
                _percent([one["evaluation"]["optimal"] for one in found]),
                _percent([one["evaluation"]["excess"] for one in found]),
            ]
            for name, found in costs.items()
        ],
        notes=provenance(one for found in costs.values() for one in found),
    )


def records(results: Path, row: str) -> Records:
    """Return the records of a row, of all seeds."""
    files = sorted(results.glob(f"{row}-[0-9]*.json"))
    read = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return [each for each in read if each["row"] == row]


def _tried(one: dict[str, Any]) -> str:
    """Say how many starts a record's problems had, or how many particles."""
    swarm = one.get("particles", 1)
    return f"{swarm:,} particles" if swarm > 1 else f"{1 + one['restarts']:,}"


def _coloured(title: str, found: Records) -> list[str]:
    return [
        title,
        _same(found, lambda one: f"{one['problems']:,}"),
        _same(found, lambda one: f"{1 + one['restarts']:,}"),
        _percent([one["evaluation"]["solved"] for one in found]),
        over_seeds([one["evaluation"]["conflicts"] for one in found]),
        _percent([one["classical"]["solved"] for one in found]),
    ]


def _solved(shown: Shown, found: Records) -> list[str]:
    if shown.starts is None:
        starts = _same(found, _tried)
        solved = [one["evaluation"]["solved"] for one in found]
        spent = [one["evaluation"]["evaluations_mean"] for one in found]
    else:
        starts = f"{shown.starts:,}"
        points = [
            next(each for each in one["curve"]["by_starts"] if each["starts"] == shown.starts)
            for one in found
        ]
        solved = [each["verification"] for each in points]
        spent = [each["until_verified"] for each in points]
    alone = [one for one in found if "evaluation" in one and not one["restarts"]]
    # A descent that is stopped by the check ends with a higher energy than it would have come to.
    told = [
        one["evaluation"]["solved_auroc"]
        for one in alone
        if "VERIFIED" not in one["evaluation"].get("outcomes", {})
    ]
    return [
        shown.title,
        _same(found, lambda one: f"{one['problems']:,}"),
        starts,
        _percent(solved),
        _counted(spent),
        over_seeds([each for each in told if each is not None]),
        shown.published,
    ]


def _speed(one: dict[str, Any]) -> str:
    rate = figure(one["problems"] / one["seconds"])
    solved = _percent([one["evaluation"]["solved"]])
    return (
        f"{rate} boards of 31 to 42 givens a second, {one['problems']:,} of which {solved} are "
        f"solved from at most {1 + one['restarts']} starts that stop by {one['halting']}, on "
        f"{one['hardware']['processor']}, threads: {one['threads']}."
    )


def _same(found: Records, said: Callable[[dict[str, Any]], str]) -> str:
    return ", ".join(dict.fromkeys(map(said, found))) or figure(None)


def _counted(means: Sequence[float]) -> str:
    """Write means of large numbers, as `over_seeds` does small ones."""
    said = [f"{each:,.0f}" for each in (median(means), min(means), max(means))] if means else ["-"]
    return said[0] if len(means) < 2 else f"{said[0]} ({said[1]} to {said[2]})"


def _percent(shares: Sequence[float]) -> str:
    text = over_seeds([100 * each for each in shares])
    return f"{text} %" if shares else text
