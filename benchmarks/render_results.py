"""Write the tables of results in README.md from what was recorded.

    python benchmarks/render_results.py          rewrite the tables
    python benchmarks/render_results.py --check  exit with 1 where they differ from the records

Between the lines `<!-- results:NAME -->` and `<!-- /results:NAME -->` stands what is rendered here:
the tables that `irem reproduce NAME` prints, from results/, or under the names `speed` and
`iterations` what benchmarks wrote into results/benchmarks.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from irem_baselines.reproduce.book import Book, Table
from irem_baselines.reproduce.targets import TARGETS

ROOT = Path(__file__).parent.parent
SECTION = re.compile(r"(<!-- results:([\w-]+) -->\n).*?(<!-- /results:\2 -->)", re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; compare")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    options = parser.parse_args()
    text = options.readme.read_text(encoding="utf-8")
    rendered = SECTION.sub(
        lambda found: found[1] + render(found[2], options.results) + found[3], text
    )
    if not options.check:
        options.readme.write_text(rendered, encoding="utf-8")
    elif rendered != text:
        sys.exit(f"{options.readme} differs from the records; run {Path(__file__).name} again.")


def render(name: str, results: Path) -> str:
    """Return the tables of a name in Markdown."""
    if name in BENCHMARKS:
        return BENCHMARKS[name](results / "benchmarks").markdown()
    target = TARGETS[name]
    if target.tables is None:
        sys.exit(f"README.md asks for a table of {name}, which has none.")
    return "\n".join(table.markdown() for table in target.tables(Book(results / target.folder)))


def speed(results: Path) -> Table:
    """Return what the benchmarks of training and of solving measured."""
    train, solve = (
        json.loads((results / f"{name}_speed.json").read_text(encoding="utf-8"))
        for name in ("train", "solve")
    )
    vector, graph = train["vector"], train["graph"]
    share, gain = vector["share_of_matrix_product"], solve["speedup"]
    rows = [
        ["training on vectors, against plain Algorithm 1", *spread(vector["ratio"], "{:.2f} x")],
        ["training on graphs, likewise", *spread(graph["ratio"], "{:.2f} x")],
        ["share of a large matrix product's rate that training reaches", *spread(share, "{:.0%}")],
        [
            f"energy evaluations of {solve['problems']:,} problems, 80 steps against halting",
            f"{solve['evaluations_ratio']:.1f} x",
            "",
        ],
        ["their time", *spread(gain, "{:.1f} x")],
        ["their error, halting against 80 steps", f"{solve['error_ratio']:.2f} x", ""],
    ]
    return Table(
        title="Speed",
        columns=["", "median", "range"],
        rows=rows,
        notes=[hardware(train)],
    )


def iterations(results: Path) -> Table:
    """Return what `benchmarks/iterations.py` measured of training with the defaults."""
    measured = json.loads((results / "iterations.json").read_text(encoding="utf-8"))
    rows = [
        [name, each["energy"], str(each["batch_size"]), *spread(each["milliseconds"], "{:.1f}")]
        for name, each in measured["tasks"].items()
    ]
    gibibytes = measured["large_update_bytes"] / 2**30
    return Table(
        title="Iterations",
        columns=["task", "energy", "fresh problems", "ms an iteration", "range"],
        rows=rows,
        notes=[
            f"{hardware(measured)} An update on 16 graphs of 100 nodes takes {gibibytes:.1f} GiB."
        ],
    )


def hardware(measured: dict[str, Any]) -> str:
    """Say what was measured on."""
    machine = measured["machine"]
    return f"Hardware: {machine['processor']}, {machine['threads']} threads."


def spread(measured: dict[str, float], form: str) -> tuple[str, str]:
    """Write the median of repeated measurements, and their range."""
    low, high = (form.format(measured[end]) for end in ("low", "high"))
    return form.format(measured["median"]), f"{low} to {high}"


BENCHMARKS = {"speed": speed, "iterations": iterations}

if __name__ == "__main__":
    main()
