from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from commands import SMALL, Irem
from irem_core import load


def test_export_writes_a_program_and_says_how_it_was_checked(
    irem: Irem, run: Path, tmp_path: Path
) -> None:
    file = tmp_path / "small.pt2"
    told = irem("export", run, "--output", file, "--max-steps", 12, "--threads", 1, "--json")
    assert told.status == 0, told.err
    document = json.loads(told.out)
    assert document["file"] == str(file)
    assert document["inputs"] == {"x": [8], "start": [4]}
    assert document["start"] == "uniform on (-1, 1)"
    assert document["max_steps"] == 12
    assert document["compared"] + document["left_out"] == 64
    assert document["largest_difference"] <= 1e-5
    assert document["problems_a_second"] > 0
    assert document["problems_a_second_solver"] > 0

    x, start = torch.rand(5, 8), torch.rand(5, 4)
    y, energy, steps, _ = torch.export.load(file).module()(x, start)
    solution = load(run).solve(x, start=start, max_steps=12)
    torch.testing.assert_close(y, solution.y, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(energy, solution.energy, rtol=1e-4, atol=1e-4)
    assert steps.tolist() == solution.steps.tolist()


def test_what_is_shown_is_how_to_call_it(irem: Irem, run: Path, tmp_path: Path) -> None:
    file = tmp_path / "small.pt2"
    shown = irem(
        "export", run, "--output", file, "--halting", "fixed_steps(steps=2)",
        "--descent", "gradient(step_size=1)", "--threads", 1,
    )  # fmt: skip
    assert shown.status == 0, shown.err
    assert "problems a second" in shown.out
    lines = [line.strip() for line in shown.out.splitlines() if line.startswith("    ")]
    given = {"torch": torch, "x": torch.rand(3, 8), "start": torch.rand(3, 4)}
    exec("\n".join(lines), given)
    assert given["steps"].tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (("--output", "small.pt"), "must end in .pt2 or .onnx"),
        (("--output", "s.pt2", "--descent", "backtracking"), "line search"),
        (("--output", "s.pt2", "--tolerance", "0"), "tolerance=0"),
        ((), "--output"),
    ],
)
def test_mistakes(
    irem: Irem,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    hint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert hint in irem("export", run, *options).mistake()
    assert not list(tmp_path.iterdir())


def test_solvers_without_an_energy_are_refused(irem: Irem, tmp_path: Path) -> None:
    folder = tmp_path / "one-shot"
    trained = irem(
        "train", SMALL[0], "--solver", "feedforward", "--iterations", 1, "--threads", 1,
        "--out", folder,
    )  # fmt: skip
    assert trained.status == 0, trained.err
    told = irem("export", folder, "--output", tmp_path / "p.pt2").mistake()
    assert "expected an IREM solver" in told
