"""The table of what `own_pairs.py` measured."""

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
    "Medians over the seeds that were run.",
)


def tables(results: Path) -> Iterator[Table]:
    """Yield the table of a folder of records."""
    files = sorted(results.glob("*-[0-9]*.json"))
    records = [json.loads(each.read_text(encoding="utf-8")) for each in files]
    found: dict[str, list[dict[str, Any]]] = {}
    for each in records:
        found.setdefault(each["set"], []).append(each)
    order = {"smooth": 0, "consistent": 1, "discrete": 2}
    columns = ["pairs", "kind", "seeds", "seconds", "questions", "error", "a plain network's"]
    columns += ["ratio", "share exact", "a plain network's", "AUROC"]
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
    return [
        *(begin if same else [""] * len(begin)),
        difficulty,
        figure(median(each["error"] for each in found)),
        figure(median(each["plain"] for each in found)),
        f"{ratio:.2f}",
        *(_share([each[name] for each in found]) for name in ("exact", "plain_exact")),
        " / ".join(f"{each:.2f}" for each in ranks),
    ]


def _share(values: Sequence[float | None]) -> str:
    known = [each for each in values if each is not None]
    return f"{100 * median(known):.3g} %" if known else "-"
