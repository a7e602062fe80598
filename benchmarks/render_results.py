"""Write the tables of results in README.md and docs from what was recorded.

    python benchmarks/render_results.py          rewrite the tables
    python benchmarks/render_results.py --check  exit with 1 where they differ from the records

Between the lines `<!-- results:NAME -->` and `<!-- /results:NAME -->` stands what is rendered here:
the tables that `irem reproduce NAME` prints, from results/, or under the names of `speed_tables.py`
what benchmarks wrote into results/benchmarks, under `puzzles` what `puzzles.py` did, and under
`pairs` and `graphs` what `own_pairs.py` and `own_graphs.py` did.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import pair_tables
import puzzle_tables
from irem_baselines.reproduce.book import Book, Table
from irem_baselines.reproduce.targets import TARGETS
from speed_tables import tables

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = (
    ROOT / "README.md",
    *(
        DOCS / f"{page}.md"
        for page in ("results", "speed", "reliability", "descents", "halting", "zoo")
    ),
)
SECTION = re.compile(r"(<!-- results:([\w-]+) -->\n).*?(<!-- /results:\2 -->)", re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; compare")
    parser.add_argument("--page", type=Path, action="append", help="which file; all if unset")
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    options = parser.parse_args()
    for page in options.page or PAGES:
        text = page.read_text(encoding="utf-8")
        rendered = SECTION.sub(
            lambda found: found[1] + render(found[2], options.results) + found[3], text
        )
        if not options.check:
            page.write_text(rendered, encoding="utf-8")
        elif rendered != text:
            sys.exit(f"{page} differs from the records; run {Path(__file__).name} again.")


def render(name: str, results: Path) -> str:
    """Return the tables of a name in Markdown."""
    found: Iterable[Table] | None = tables(name, results / "benchmarks")
    if name == "puzzles":
        found = puzzle_tables.tables(results / "puzzles")
    elif name == "pairs":
        found = pair_tables.tables(results / "pairs")
    elif name == "graphs":
        found = pair_tables.graph_tables(results / "graphs")
    elif found is None:
        target = TARGETS[name]
        if target.tables is None:
            sys.exit(f"A page asks for a table of {name}, which has none.")
        found = target.tables(Book(results / target.folder))
    return "\n".join(table.markdown() for table in found)


if __name__ == "__main__":
    main()
