"""How many puzzles trained runs solve, from how many starts, as records of results/puzzles.

    python benchmarks/puzzles.py sudoku runs/sudoku          trained on 9 x 9 boards
    python benchmarks/puzzles.py sizes runs/sudoku-sizes     trained on boards of 4, 6 and 9
    python benchmarks/puzzles.py maze runs/maze
    python benchmarks/puzzles.py assignment runs/assignment
    python benchmarks/puzzles.py queens runs/queens          trained on single lines of boards
    python benchmarks/puzzles.py coloring runs/coloring
    python benchmarks/puzzles.py sat runs/sat                irem train sat --energy factor

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

import measuring
from irem_core import (
    Curve,
    Resampling,
    Solver,
    Task,
    build,
    compute_curve,
    evaluate,
    write_curves,
)
from irem_core.distributed import derive
from irem_core.files.storage import replacing
from irem_core.registry import HALTING
from irem_core.runs.checkpoint import load_run
from irem_core.runs.provenance import provenance
from irem_tasks import Coloring

RESULTS = Path(__file__).parent.parent / "results"


@attrs.frozen(kw_only=True)
class Row:
    """What is measured of a run.

    Args:
        difficulty: of its task.
        problems: how many.
        restarts: how often problems are descended again, until they are verified.
        particles: how many candidates of each are descended side by side (see `minimize`).
        max_steps: of a descent; the run's own if None.
        halting: rule by which problems halt; the run's own if None.
        within: count answers that took no more energy evaluations than this in all, if above 0.
        starts: of a compute curve in place of scores.
        timed: measure the seconds of solving alone; on an idle machine.
    """

    difficulty: str
    problems: int = 1000
    restarts: int = 0
    particles: int = 1
    max_steps: int | None = None
    halting: str | None = None
    within: int = 0
    starts: int = 0
    timed: bool = False


# Goes on to another start as soon as there is an answer, or ten steps brought nothing.
_BRISK = "any_of(verified(), stagnation(patience=10))"
_SWARMS: dict[str, dict[str, Any]] = {
    "": {},
    "-restarts": {"restarts": 63},
    "-particles": {"particles": 64, "max_steps": 300},
}
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
    "queens": {
        f"queens-{size}{name}": Row(difficulty=f"size={size}", problems=problems, **more)
        for size, problems in ((8, 100), (12, 100), (20, 20))
        for name, more in _SWARMS.items()
    },
    "coloring": {
        f"coloring-{nodes}{name}{more}": Row(
            difficulty=f"nodes={nodes}{family}", problems=100, restarts=restarts
        )
        for nodes, name, family in (
            (14, "", ""),
            (30, "", ""),
            (30, "-watts-strogatz", ",family=watts-strogatz"),
            (30, "-holme-kim", ",family=holme-kim"),
        )
        for more, restarts in (("", 0), ("-restarts", 15))
    },
    "sat": {
        "sat-20": Row(
            difficulty="variables=20,ratio=4.55", problems=100, restarts=1023, max_steps=60
        ),
        "sat-50": Row(
            difficulty="variables=50,ratio=4.36", problems=100, restarts=255, max_steps=60
        ),
    },
}
# Of particles: how often they are drawn anew, and steps between.
_ROUNDS = Resampling(rounds=10, steps=20)
# Restarts from which on no step is scored, which would take longer than they.
_MANY = 200
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
            "command": measuring.command(),
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
    if row.timed or row.within or row.particles > 1 or row.restarts > _MANY:
        return solved(solver, task, row, way)
    problems: dict[str, Any] = {"difficulty": row.difficulty, "problems": row.problems}
    begin = time.perf_counter()
    if row.starts:
        curve = compute_curve(solver, task, starts=row.starts, **problems, **way)
        found = {"curve": curve.to_dict()}
    else:
        scores = evaluate(solver, task, restarts=row.restarts, **problems, **way)
        found = {"evaluation": scores.to_dict()}
    if isinstance(task, Coloring):
        found["classical"] = classical(task, row)
    return {"problems": row.problems, "seconds": time.perf_counter() - begin, **found}


def solved(solver: Solver, task: Task, row: Row, way: dict[str, Any]) -> dict[str, Any]:
    """Say how many are solved by how many energy evaluations, and the seconds of that alone."""
    generator, way = torch.Generator().manual_seed(1), {**way, "restarts": row.restarts}
    if row.particles > 1:
        way |= {"particles": row.particles, "resampling": _ROUNDS}
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


def classical(task: Task, row: Row) -> dict[str, float]:
    """Say how many problems the textbook's search solves, and what is left in conflict."""
    generator = torch.Generator().manual_seed(derive(1, "evaluation", row.difficulty))
    holds, left = [], []
    for problem, target in task.batches(row.problems, row.difficulty, generator=generator):
        y = task.classical(problem)
        holds.append(task.verify(problem, y))
        left.append(task.measures(problem, y, target)["conflicts"])
    return {
        "solved": torch.cat(holds).double().mean().item(),
        "conflicts": torch.cat(left).double().mean().item(),
    }


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
