"""Write the tables of results in README.md from what the trainings recorded.

    python benchmarks/render_results.py          rewrite the tables
    python benchmarks/render_results.py --check  exit with 1 where they differ from the records

Between the lines `<!-- results:TASK -->` and `<!-- /results:TASK -->` stands what is rendered here:
every training of the task that has a file in results/paper, figures published for the task, and
what answers without reasoning score; under the name `speed`, what `make bench` wrote into
results/benchmarks. A record is the `evaluation.json` of a run, and `compose-TASK-SOLVER-SEED.json`
is what `irem compose RUN --json` printed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

from irem_core import Task, load_task

ROOT = Path(__file__).parent.parent
SECTION = re.compile(r"(<!-- results:([\w-]+) -->\n).*?(<!-- /results:\2 -->)", re.DOTALL)
ERRORS = {
    "mse": "lowest-energy answer",
    "mse_last": "last iterate",
    "mse_best_checkpoint": "best checkpoint, as published figures are",
}
# Du et al., ICML 2022, Table 4: composition of addition.
COMPOSED = {
    "add": {
        "irem": {"2": 0.0014, "5": 0.0078, "10": 0.0422},
        "ponder": {"2": 0.0203, "5": 0.1068, "10": 0.4587},
        "feedforward": {"2": 0.0445, "5": 0.2717, "10": 0.8898},
        "iterative-feedforward": {"2": 0.0826, "5": 0.5930, "10": 3.6004},
        "recurrent": {"2": 2.1377, "5": 3.1861, "10": 4.8706},
    }
}

Record = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; compare")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "paper")
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
    """Return the tables of a task, or what the benchmarks measured where the name is "speed"."""
    if name == "speed":
        return speed(results.parent / "benchmarks")
    task = load_task(name)
    records = read(results, name)
    blocks = [scores(task, records), composition(name, results), machines(records)]
    return "\n".join(block for block in blocks if block)


def read(results: Path, task: str) -> dict[str, list[Record]]:
    """Read the records of a task, those of one method (a solver, or its variant) together."""
    methods = defaultdict(list)
    for file in sorted(results.glob(f"{task}-*.json")):
        record = json.loads(file.read_text(encoding="utf-8"))
        if record["task"] == task:
            method = file.stem.removeprefix(f"{task}-").removesuffix(f"-{record['seed']}")
            methods[method].append(record)
    return dict(sorted(methods.items(), key=lambda item: (not item[0].startswith("irem"), item[0])))


def scores(task: Task, records: dict[str, list[Record]]) -> str:
    """Return the table of errors by difficulty."""
    names = [name for name in task.difficulties if name != "train"]
    rows: list[list[str]] = []
    for method, each in records.items():
        seconds = mean(record["train_seconds"] for record in each)
        iterations = "/".join(sorted({f"{record['iterations']:,}" for record in each}))
        about = [str(len(each)), iterations, f"{seconds / 60:.0f}" if seconds >= 60 else "below 1"]
        # What has no energy takes one shot, which is its last iterate too.
        shown = ERRORS if each[0]["energy"] else {**ERRORS, "mse": "answer", "mse_last": None}
        for kind, meaning in shown.items():
            values = [
                [record["evaluation"].get(name, {}).get(kind) for record in each] for name in names
            ]
            if meaning and any(value is not None for column in values for value in column):
                rows.append([f"{method}, {meaning}", *map(over_seeds, values), *about])
                about = [""] * 3
    published: dict[str, dict[str, float]] = defaultdict(dict)
    for each_figure in task.published:
        if each_figure.metric == "mse":
            published[each_figure.method][each_figure.difficulty] = each_figure.value
    for method, figures in published.items():
        rows.append(
            [f"{method}, published", *(figure(figures.get(name)) for name in names), "", "", ""]
        )
    floors = [task.floor(name) for name in names]
    for title, kind in {
        "best constant answer": "constant",
        "best function of an entry's own input": "entrywise",
    }.items():
        rows.append([title, *(cell(getattr(floor, kind)) for floor in floors), "", "", ""])
    return table(["mean squared error", *names, "seeds", "iterations", "minutes"], rows)


def speed(results: Path) -> str:
    """Return what the benchmarks of training and of solving measured."""
    train, solve = (
        json.loads((results / f"{name}_speed.json").read_text(encoding="utf-8"))
        for name in ("train", "solve")
    )
    plain, share, gain = (
        train["ratio"],
        train["share_of_matrix_product"],
        solve["speedup"],
    )
    rows = [
        ["training iterations, against plain Algorithm 1", *spread(plain, "{:.2f} x")],
        ["share of a large matrix product's rate that training reaches", *spread(share, "{:.0%}")],
        [
            f"energy evaluations of {solve['problems']:,} problems, 80 steps against halting",
            f"{solve['evaluations_ratio']:.1f} x",
            "",
        ],
        ["their time", *spread(gain, "{:.1f} x")],
        ["their error, halting against 80 steps", f"{solve['error_ratio']:.2f} x", ""],
    ]
    machine = train["machine"]
    return table(["", "median", "range"], rows) + (
        f"\nHardware: {machine['processor']}, {machine['threads']} threads.\n"
    )


def spread(measured: dict[str, float], form: str) -> tuple[str, str]:
    """Write the median of repeated measurements, and their range."""
    low, high = (form.format(measured[end]) for end in ("low", "high"))
    return form.format(measured["median"]), f"{low} to {high}"


def composition(task: str, results: Path) -> str:
    """Return the table of errors after k applications, where some were measured."""
    measured = defaultdict(list)
    for file in sorted(results.glob(f"compose-{task}-*.json")):
        method = file.stem.removeprefix(f"compose-{task}-").rpartition("-")[0]
        measured[method].append(json.loads(file.read_text(encoding="utf-8")))
    if not measured:
        return ""
    lengths = sorted({k for each in measured.values() for record in each for k in record}, key=int)
    rows = [
        [method, *(over_seeds([record.get(k, {}).get("mse") for record in each]) for k in lengths)]
        for method, each in measured.items()
    ]
    for method, figures in COMPOSED.get(task, {}).items():
        rows.append([f"{method}, published", *(figure(figures.get(k)) for k in lengths)])
    return table(["applications of one trained solver", *lengths], rows)


def machines(records: dict[str, list[Record]]) -> str:
    """Return a sentence that says what the trainings ran on."""
    found = set()
    for record in (record for each in records.values() for record in each):
        hardware, threads = record["hardware"], record["threads"]
        if record["settings"].get("device", "cpu") == "cpu":
            plural = "s" if threads > 1 else ""
            found.add(f"{hardware['processor']}, {threads} thread{plural}")
        else:
            found.add(str(hardware.get("gpu", hardware["processor"])))
    return f"Hardware: {'; '.join(sorted(found))}.\n" if found else ""


def table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def over_seeds(values: list[float | None]) -> str:
    """Write the mean over seeds, and the smallest and largest of several."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return cell(known[0] if known else None)
    return f"{cell(mean(known))} ({cell(min(known))} to {cell(max(known))})"


def cell(value: float | None, digits: int = 3) -> str:
    if value is None:
        return "-"
    # Below the rounding of the arithmetic an error is zero.
    return "0" if abs(value) < 1e-12 else f"{value:.{digits}g}"


def figure(value: float | None) -> str:
    """Write a published figure, with all of its digits."""
    return cell(value, digits=6)


if __name__ == "__main__":
    main()
