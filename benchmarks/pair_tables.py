"""The tables of what `own_pairs.py` and `own_graphs.py` measured."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from irem_baselines.reproduce.book import Table, figure

_NOTES = (
    "5,000 pairs, scored on 1,000 others; harder ones are from a wider distribution. One thread, "
    "and for each network the processor time that the run took. Share exact: of answers of 0 and "
    "1, once rounded.",
    "AUROC of the tenth of the run's answers with the largest errors: by their energy / by the "
    "disagreement of three plain networks, trained for that time each / by the distance to the "
    "nearest question of training.",
    "Real over expected: the squared error there is over the one that 2 E / n says, the least and "
    "the most of ten bins of rising energy.",
    "Medians over the seeds that were run.",
)


_OF_GRAPHS = (
    "1,000 graphs of 6 to 14 nodes and a mean degree of 3, with answers for each node or edge; "
    "scored on 200 others, harder ones of 30 to 60 nodes. One thread; the plain network passes "
    "messages six times, and learns for the processor time that the run took. Share exact: of "
    "graphs whose answers are 0 and 1, all right once rounded. AUROC of the tenth of the run's "
    "answers with the largest errors, by their energy.",
)


def graph_tables(results: Path) -> Iterator[Table]:
    """Yield the table of graphs."""
    columns = ["graphs", "answers", "seeds", "updates", "seconds", "questions", "error"]
    columns += ["a plain network's", "a constant's", "share exact", "a plain network's", "AUROC"]
    yield Table(
        title="Own graphs",
        columns=columns,
        rows=[
            _graph_row(name, records, difficulty)
            for name, records in sorted(_records(results).items())
            for difficulty in ("same", "harder")
        ],
        notes=list(_OF_GRAPHS),
    )


def _graph_row(name: str, records: Sequence[dict[str, Any]], difficulty: str) -> list[str]:
    first, found = records[0], [each[difficulty] for each in records]
    begin = [name, first["about"], str(len(records)), f"{first['iterations']:,}"]
    begin += [figure(median(each["seconds"] for each in records))]
    errors = (median(each[by] for each in found) for by in ("error", "plain", "constant"))
    return [
        *(begin if difficulty == "same" else [""] * len(begin)),
        difficulty,
        *map(figure, errors),
        *(_share([each[name] for each in found]) for name in ("exact", "plain_exact")),
        f"{median(each['auroc'] for each in found):.2f}",
    ]


def _records(results: Path) -> dict[str, list[dict[str, Any]]]:
    """Read the records of a folder, by set."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(results.glob("*-[0-9]*.json")):
        each = json.loads(file.read_text(encoding="utf-8"))
        found.setdefault(each["set"], []).append(each)
    return found


def tables(results: Path) -> Iterator[Table]:
    """Yield the table of pairs."""
    found = _records(results)
    order = {"smooth": 0, "consistent": 1, "discrete": 2}
    columns = ["pairs", "kind", "seeds", "seconds", "questions", "error", "a plain network's"]
    columns += ["ratio", "share exact", "a plain network's", "AUROC", "real over expected"]
    yield Table(
        title="Own pairs",
        columns=columns,
        rows=[
            _row(name, found[name], difficulty)
            for name in sorted(found, key=lambda each: (order[found[each][0]["kind"]], each))
            for difficulty in ("same", "harder")
        ],
        notes=list(_NOTES),
    )


def _row(name: str, records: Sequence[dict[str, Any]], difficulty: str) -> list[str]:
    same = difficulty == "same"
    found = [each[difficulty] for each in records]
    begin = [name, records[0]["kind"], str(len(records))]
    begin += [figure(median(each["seconds"] for each in records))]
    ratio = median(each["error"] / each["plain"] for each in found)
    ranks = [median(each["auroc"][by] for each in found) for by in found[0]["auroc"]]
    ends = [median(end(each["expected"]) for each in found) for end in (min, max)]
    return [
        *(begin if same else [""] * len(begin)),
        difficulty,
        figure(median(each["error"] for each in found)),
        figure(median(each["plain"] for each in found)),
        f"{ratio:.2f}",
        *(_share([each[name] for each in found]) for name in ("exact", "plain_exact")),
        " / ".join(f"{each:.2f}" for each in ranks),
        " to ".join(f"{each:.2g}" for each in ends),
    ]


def _share(values: Sequence[float | None]) -> str:
    known = [each for each in values if each is not None]
    return f"{100 * median(known):.3g} %" if known else "-"
