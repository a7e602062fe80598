from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import Irem

QUICK = ("--problems", 5, "--max-steps", 2, "--threads", 1)


def test_a_page_is_written_and_replaced(irem: Irem, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    out.write_text("an earlier one")
    result = irem("report", run, "--out", out, *QUICK, "--difficulty", "scale=2")
    assert result.status == 0, result.err
    assert str(out) in result.out
    page = out.read_text(encoding="utf-8")
    assert "scale=2" in page
    assert "harder" not in page.partition("<main>")[2].partition("Training</h3>")[0]
    told = json.loads(irem("report", run, run, "--out", out, *QUICK, "--json").out)
    assert told == {"report": str(out), "bytes": out.stat().st_size}
    assert "2 runs compared" in out.read_text(encoding="utf-8")


def test_the_evaluation_of_training_is_taken_over(irem: Irem, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert irem("report", run, "--out", out, "--difficulty", "same").status == 0
    page = out.read_text(encoding="utf-8")
    record = json.loads((run / "evaluation.json").read_text())["evaluation"]["same"]
    assert "Errors that the run keeps. Problems: 40 (same)." in page
    assert f"<td>{record['mse']:.4g}</td>" in page


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("nowhere",), "There is no file"),
        (("RUN", "--difficulty", "hardest"), "harder"),
        (("RUN", "--halting", "never"), "halting"),
        (("RUN", "--data", "folder"), "--data"),
    ],
)
def test_mistakes_are_one_line(
    irem: Irem, run: Path, tmp_path: Path, arguments: tuple[str, ...], hint: str
) -> None:
    given = [run if each == "RUN" else each for each in arguments]
    out = tmp_path / "page.html"
    assert hint in irem("report", *given, "--out", out).mistake()
    assert not out.exists()


def test_a_place_that_cannot_be_written_is_a_fault(irem: Irem, run: Path, tmp_path: Path) -> None:
    result = irem("report", run, *QUICK, "--out", tmp_path)
    assert result.status == 1
    assert "could not be written" in result.err
    assert result.err.count("\n") == 1
