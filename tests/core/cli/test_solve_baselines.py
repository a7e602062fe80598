"""`irem solve` with solvers that have no energy."""

import json
from pathlib import Path

from commands import Irem


def test_a_trace_has_no_energy_where_the_solver_has_none(irem: Irem, tmp_path: Path) -> None:
    run = tmp_path / "run"
    irem(
        "train", "negate(size=3)", "--solver", "recurrent(width=4)", "--iterations", 1,
        "--problems", 5, "--out", run,
    )  # fmt: skip
    told = json.loads(irem("solve", run, "--difficulty", "same", "--max-steps", 2, "--json").out)

    assert [(each["step"], each["energy"]) for each in told["trace"]] == [(1, None), (2, None)]
    assert told["trace"][1]["error"] == told["problems"][0]["error"]
