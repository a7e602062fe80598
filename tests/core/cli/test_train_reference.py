"""`irem train` with solvers that are fitted in closed form, and what can be done with such runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import Irem


def test_a_reference_solver_is_trained_evaluated_and_composed(irem: Irem, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = irem("train", "add(size=4)", "--solver", "entrywise", "--out", out)
    assert result.status == 0, result.err
    assert "Trained entrywise on add in closed form; the run is in" in result.out
    record = json.loads((out / "evaluation.json").read_text())
    # The monomials of two inputs up to degree 5.
    assert (record["iterations"], record["parameters"]) == (1, 21)
    assert record["evaluation"]["harder"]["mse"] < 1e-9
    assert record["evaluation"]["same"]["mse_by_step"].keys() == {"1"}
    scores = irem("evaluate", out, "--difficulty", "scale=3", "--problems", 50, "--json")
    assert json.loads(scores.out)["scale=3"]["mse"] < 1e-9
    composed = irem("compose", out, "-k", 3, "--problems", 20, "--json")
    assert json.loads(composed.out)["3"]["mse"] < 1e-9


@pytest.mark.parametrize(
    ("task", "solver", "words"),
    [
        ("sort(values=3)", "constant(groups=0)", "Constant got groups=0"),
        ("parity(bits=4)", "entrywise", "Parity's answers have no inputs of their own"),
    ],
)
def test_what_cannot_be_fitted_is_said_in_a_line(
    irem: Irem, tmp_path: Path, task: str, solver: str, words: str
) -> None:
    result = irem("train", task, "--solver", solver, "--out", tmp_path / "run")

    assert result.status == 2
    assert words in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
