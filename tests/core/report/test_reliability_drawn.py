"""The reliability diagram of a report, there only where energies mean expected errors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from irem_core import Measuring, fit, load_task, recipe, write_report
from irem_core.report import gather
from irem_core.report.reliability import reliability
from reporting import small_run


def test_expected_errors_are_drawn_against_real_ones(tmp_path: Path) -> None:
    task = load_task("add(size=4)")
    made = recipe(task, "irem(steps=1, objective=calibrated())", energy="mlp(width=8)")
    options = {**made.training, "iterations": 4, "batch_size": 8, "out": tmp_path / "run"}
    fit(made.solver, task, **options)
    measuring = Measuring(problems=20, max_steps=3)

    (run,) = gather([tmp_path / "run"], measuring)
    section = reliability(run)
    assert section is not None
    (drawn,) = section.charts
    *lines, diagonal = drawn.lines
    assert [each.name for each in lines] == [each.name for each in run.difficulties]
    for line, each in zip(lines, run.difficulties, strict=True):
        known = each.measured.reliability
        assert known is not None
        assert line.values == [(part.expected, part.real) for part in known.bins()]
    # Both axes have one scale, so that the diagonal is where both errors are the same.
    assert [x for x, _ in diagonal.values] == [y for _, y in diagonal.values]
    assert [each.label for each in drawn.x_ticks] == [each.label for each in drawn.y_ticks]

    page = write_report([tmp_path / "run"], tmp_path / "page.html", measuring=measuring)
    shown = page.read_text(encoding="utf-8")
    assert re.search(r"<h3[^>]*>\s*Which answers to trust", shown)
    assert "Expected and real errors" in shown


@pytest.mark.parametrize("kind", ["vector", "one-shot"])
def test_energies_that_mean_no_errors_are_not_drawn(tmp_path: Path, kind: str) -> None:
    small_run(kind, tmp_path / kind)
    (run,) = gather([tmp_path / kind], Measuring(problems=4, max_steps=2))
    assert reliability(run) is None
