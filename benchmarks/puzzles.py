"""How many puzzles trained runs solve, from how many starts, as records of results/puzzles.

    python benchmarks/puzzles.py sudoku runs/sudoku          trained on 9 x 9 boards
    python benchmarks/puzzles.py sizes runs/sudoku-sizes     trained on boards of 4, 6 and 9
    python benchmarks/puzzles.py maze runs/maze
    python benchmarks/puzzles.py assignment runs/assignment

Each row of `ROWS` is one file, ROW-SEED.json, by the seed of the training. A row that has its file
is left out, so that an interrupted call goes on where it was; what is measured at once is one row.
`benchmarks/render_results.py` makes the table of docs/results.md from the files, and --figure draws
the curves of the first run in results/figures. --problems 20 tries it out; give a --results of its
own then.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import torch

from irem_core import (
    Curve,
    Solver,
    Task,
    build,
    compute_curve,
    evaluate,
    write_curves,
)
from irem_core.files.storage import replacing
from irem_core.registry import HALTING
from irem_core.runs.checkpoint import load_run
from irem_core.runs.provenance import provenance

RESULTS = Path(__file__).parent.parent / "results"


@attrs.frozen(kw_only=True)
class Row:
    """What is measured of a run.

    Args:
        difficulty: of its task.
        problems: how many.
        restarts: how often problems are descended again, until they are verified.
        max_steps: of a descent; the run's own if None.
        halting: rule by which problems halt; the run's own if None.
        within: count answers that took no more energy evaluations than this in all, if above 0.
        starts: of a compute curve in place of scores.
        timed: measure the seconds of solving alone; on an idle machine.
    """

    difficulty: str
    problems: int = 1000
    restarts: int = 0
    max_steps: int | None = None
    halting: str | None = None
    within: int = 0
    starts: int = 0
    timed: bool = False


# Goes on to another start as soon as there is an answer, or ten steps brought nothing.
_BRISK = "any_of(verified(), stagnation(patience=10))"
ROWS: dict[str, dict[str, Row]] = {
    "sudoku": {
        "same": Row(difficulty="same"),
        "speed": Row(difficulty="same", restarts=8, halting=_BRISK, timed=True),
        "same-restarts": Row(difficulty="same", restarts=8),
        "harder": Row(difficulty="harder", max_steps=300),
        "harder-within": Row(difficulty="harder", restarts=30, halting=_BRISK, within=300),
        "harder-restarts": Row(difficulty="harder", restarts=64),
        "minimal": Row(difficulty="givens=20..23,minimal=1", problems=200, restarts=256),
        "jigsaw": Row(difficulty="variant=jigsaw", restarts=8),
        "diagonal": Row(difficulty="variant=diagonal", restarts=8),
        "latin": Row(difficulty="variant=latin", restarts=8),
        "same-curve": Row(difficulty="same", problems=200, starts=8),
        "harder-curve": Row(difficulty="harder", problems=200, starts=64),
        "hardest-curve": Row(
            difficulty="part=hardest,givens=21..26,minimal=1", problems=100, starts=128
        ),
    },
    "sizes": {
        "sizes-4": Row(difficulty="size=4,givens=6..8", restarts=64),
        "sizes-9": Row(difficulty="size=9", restarts=64),
        "sizes-16": Row(difficulty="size=16,givens=130..150", problems=100, restarts=64),
    },
    "maze": {
        f"maze-{size}{more}": Row(difficulty=f"size={size}", problems=500, restarts=restarts)
        for size in (9, 13, 21)
        for more, restarts in (("", 0), ("-restarts", 8))
    },
    "assignment": {
        "assignment-8": Row(difficulty="size=8"),
        "assignment-16": Row(difficulty="size=16"),
    },
}
CURVES = ("same-curve", "harder-curve")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("group", choices=ROWS, help="what the run was trained for")
    parser.add_argument("run", type=Path, help="its folder")
    parser.add_argument("--row", action="append", help="which rows; all of the group if unset")
    parser.add_argument("--problems", type=int, help="of each row, fewer than there would be")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--figure", action="store_true", help="draw the curves that are there")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    solver, task, metadata = load_run(options.run)
    training: dict[str, Any] = dict(metadata["training"])
    for name, row in ROWS[options.group].items():
        file = options.results / "puzzles" / f"{name}-{training['seed']}.json"
        if file.exists() or (options.row is not None and name not in options.row):
            continue
        fewer = row.problems if options.problems is None else min(row.problems, options.problems)
        measured = measure(solver, task, attrs.evolve(row, problems=fewer))
        record = {
            "row": name,
            "task": type(task).__name__.lower(),
            **attrs.asdict(row),
            "seed": training["seed"],
            "iterations": training["iteration"],
            "parameters": sum(each.numel() for each in solver.parameters()),
            "train_seconds": training["seconds"],
            "threads": options.threads,
            "command": " ".join(["python", *sys.argv]),
            **provenance(),
            **measured,
        }
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        print(f"{name}: {measured['seconds']:.0f} s, in {file}", flush=True)
    if options.figure:
        draw(options.results, training["seed"])


def measure(solver: Solver, task: Task, row: Row) -> dict[str, Any]:
    """Measure a row: its `curve` or its `evaluation`, and the `seconds` that it took."""
    way: dict[str, Any] = {
        "max_steps": row.max_steps,
        "halting": None if row.halting is None else build(HALTING, row.halting),
    }
    if row.timed or row.within:
        return solved(solver, task, row, way)
    problems: dict[str, Any] = {"difficulty": row.difficulty, "problems": row.problems}
    begin = time.perf_counter()
    if row.starts:
        curve = compute_curve(solver, task, starts=row.starts, **problems, **way)
        found = {"curve": curve.to_dict()}
    else:
        scores = evaluate(solver, task, restarts=row.restarts, **problems, **way)
        found = {"evaluation": scores.to_dict()}
    return {"problems": row.problems, "seconds": time.perf_counter() - begin, **found}


def solved(solver: Solver, task: Task, row: Row, way: dict[str, Any]) -> dict[str, Any]:
    """Say how many are solved by how many energy evaluations, and the seconds of that alone."""
    generator, way = torch.Generator().manual_seed(1), {**way, "restarts": row.restarts}
    solver.solve(task.sample(8, row.difficulty, generator=generator)[0], **way)
    holds, spent, seconds, most = [], [], 0.0, row.within or math.inf
    for problem, _ in task.batches(row.problems, row.difficulty, generator=generator):
        begin = time.perf_counter()
        found = solver.solve(problem, generator=generator, **way)
        seconds += time.perf_counter() - begin
        within = found.evaluations <= most
        holds.append(within if found.verified is None else within & found.verified)
        spent.append(found.evaluations.double().clamp(max=most))
    evaluation = {
        "solved": torch.cat(holds).double().mean().item(),
        "solved_auroc": None,
        "evaluations_mean": torch.cat(spent).mean().item(),
    }
    return {"problems": row.problems, "seconds": seconds, "evaluation": evaluation}


def draw(results: Path, seed: int) -> None:
    """Draw solved boards against energy evaluations."""
    files = [results / "puzzles" / f"{name}-{seed}.json" for name in CURVES]
    curves = [
        Curve.from_dict(json.loads(each.read_text(encoding="utf-8"))["curve"])
        for each in files
        if each.exists()
    ]
    if not curves:
        sys.exit(f"There are no curves to draw in {results}; measure {' and '.join(CURVES)} first.")
    for ending in ("png", "svg"):
        write_curves(curves, results / "figures" / f"puzzles.{ending}")


if __name__ == "__main__":
    main()
