"""The examples run, and a package of one's own is found by name once it is installed."""

from __future__ import annotations

import json
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from irem_core import BarzilaiBorwein, Outcome, constrained
from trainings import run_python

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run a script as Python would, but in this process, where torch is there; return its print."""

    def run(name: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    monkeypatch.syspath_prepend(EXAMPLES)
    return run


def test_custom_energy_matches_the_closed_form(example: Callable[..., str]) -> None:
    heading, *rows = example("custom_energy.py").splitlines()
    assert heading.split() == ["descent", "steps", "evaluations", "outcome", "error"]
    assert len(rows) == 6
    for row in rows:
        _, steps, evaluations, outcome, error = row.split()
        assert outcome == "converged"
        assert float(error) < 1e-5
        assert int(evaluations) > int(steps) > 0


def test_a_puzzle_of_ones_own_is_solved_by_what_other_boards_taught(
    example: Callable[..., str],
) -> None:
    lines = example("own_puzzle.py").splitlines()
    assert lines[5] == "after: verified"
    assert [line.split()[:4] for line in lines[6:]] == [
        ["1", "4", "2", "3"],
        ["3", "2", "4", "1"],
        ["2", "1", "3", "4"],
        ["4", "3", "1", "2"],
    ]


@pytest.mark.slow
def test_an_energy_of_the_parts_of_two_puzzles_solves_boards_of_both(
    example: Callable[..., str],
) -> None:
    options = ["--iterations", "500", "--boards", "4", "--particles", "64"]
    lines = example("parts_of_two_puzzles.py", *options).splitlines()
    solved = {name: int(said.split()[0]) for name, _, said in (x.partition(": ") for x in lines)}
    assert solved.keys() == {"8 queens", "4 x 4 Sudoku"}
    assert min(solved.values()) >= 3


def test_train_add_and_draw_its_solves(example: Callable[..., str], tmp_path: Path) -> None:
    run, picture = tmp_path / "run", tmp_path / "solve.svg"
    options = ["--iterations", "30", "--size", "4", "--out", run]
    printed = example("train_add.py", *options)
    assert [line.partition(":")[0] for line in printed.splitlines()] == [
        "same",
        "harder",
        "a + b",
        "a + b + c",
    ]
    assert "nan" not in printed
    example("draw_solve.py", run, picture, "--steps", "4")
    assert "<svg" in picture.read_text(encoding="utf-8")


def test_a_constraint_is_imposed_on_what_was_learned(example: Callable[..., str]) -> None:
    printed = example(
        "impose_constraint.py", *("--iterations", 200, "--size", 2, "--problems", 100)
    )
    _, learned, constrained = (line.split() for line in printed.splitlines())
    assert float(learned[-2]) < -1
    assert float(constrained[-2]) > -0.3
    assert float(constrained[-1]) < float(learned[-1]) / 4


def test_a_layer_learns_the_cost_of_quadratic_programs_from_answers(
    example: Callable[..., str],
) -> None:
    *lines, cost = example("layer.py", "--iterations", "80").splitlines()
    *updates, solver, plain, constant = [
        float(re.search(r"error (\S+?),? ", line)[1]) for line in lines
    ]
    assert updates[-1] < updates[0] / 20
    assert solver < plain / 3 < constant / 9
    after, before = map(float, re.findall(r"by (\S+)%", cost))
    assert after < before / 2


def test_portfolios_keep_to_their_constraints_where_there_are_any(
    example: Callable[..., str],
) -> None:
    script = runpy.run_path(str(EXAMPLES / "constrained.py"))
    x = script["questions"](20, 4, torch.Generator().manual_seed(1))
    risk = script["Risk"](torch.eye(4, dtype=torch.float64))
    solver = constrained(risk, at_most=script["missing"], tolerance=1e-6)
    found = solver.minimize(x, descent=BarzilaiBorwein())
    # The most that any share earns is what the best asset does.
    possible = x["goal"] < x["earnings"].amax(1)
    assert torch.equal(found.outcome == Outcome.CONVERGED, possible)
    assert torch.equal(found.outcome == Outcome.INFEASIBLE, ~possible)
    printed = example("constrained.py", "--problems", "20", "--assets", "4").splitlines()
    assert [line.split()[1] for line in printed[:2]] == ["converged", "infeasible"]
    assert float(printed[0].split()[5].rstrip(",")) <= 1e-6
    shares = [float(each) for each in printed[2].partition(": ")[2].split(", ")]
    assert sum(shares) == pytest.approx(1, abs=2e-3)


def test_quadratic_programs_are_learned_from_pairs(
    example: Callable[..., str], tmp_path: Path
) -> None:
    script, file = "quadratic_program.py", tmp_path / "pairs.npz"
    assert example(script, "--pairs", "40", "--file", file) == ""
    held = dict(np.load(file))
    assert (held["x"].shape, held["y"].shape) == ((40, 12), (40, 6))
    # At a minimum within bounds no feasible direction leads down.
    mixing = np.random.default_rng(0).normal(size=(12, 6)) / np.sqrt(12)
    for (c, d), y in zip(held["x"].reshape(40, 2, 6), held["y"], strict=True):
        slope = (mixing.T @ mixing + np.diag(d)) @ y - c
        np.testing.assert_allclose(y, np.clip(y - slope, 0, 1), atol=1e-5)
    printed = example(script, "--pairs", "300", "--iterations", "30").splitlines()
    assert [line.split()[0] for line in printed[:3]] == ["trained", "held-out", "R2"]
    assert [line.split()[1] for line in printed[3:]] == ["steps,"] * 5
    assert "nan" not in "".join(printed)


def test_a_pipeline_of_scikit_learn_is_searched(example: Callable[..., str]) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    best, scores, *halves = example("sklearn_pipeline.py", "--pairs", 160, "--iterations", 4).split(
        "\n"
    )[:4]
    assert re.fullmatch(r"the best of 2: ensemble\(width=(64|160)\)", best)
    assert re.fullmatch(r"R2 -?\d\.\d{3}, linear 0\.\d{3}", scores)
    assert [line.split()[3] for line in halves] == ["lower", "higher"]


def test_a_problem_of_each_kind_is_drawn(example: Callable[..., str], tmp_path: Path) -> None:
    assert example("draw_tasks.py", tmp_path) == ""
    kinds = ("denoise", "graphs", "matrices", "sat", "sparse", "vectors")
    names = [f"tasks-{kind}.png" for kind in kinds]
    assert sorted(each.name for each in tmp_path.iterdir()) == names
    for name in names:
        with Image.open(tmp_path / name) as picture:
            assert picture.width == 900
            colours = picture.convert("RGB").getcolors(picture.width * picture.height)
        assert colours is not None
        assert len(colours) > 20


def test_a_picture_of_each_axis_is_drawn(example: Callable[..., str], tmp_path: Path) -> None:
    # replay.png is left out: it trains two energies.
    names = ("descents", "halting", "backpropagation", "scratchpad", "verifying", "diverging")
    assert example("draw_axes.py", tmp_path, "--only", *names) == ""
    assert {each.stem for each in tmp_path.iterdir()} == set(names)
    for each in tmp_path.iterdir():
        with Image.open(each) as picture:
            colours = picture.convert("RGBA").getcolors(picture.width * picture.height)
        assert colours is not None
        assert len(colours) > 20


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the example package, as it would be, into a folder of its own."""
    folder = tmp_path_factory.mktemp("installed")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", folder]
    run_python("-m", "pip", "install", *options, EXAMPLES / "custom_task")
    return folder


CALLS = """
import contextlib, io, json, sys
from irem_core.cli import main
results = []
for call in json.loads(sys.argv[1]):
    sys.argv = ["irem", *call]
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as exit_:
            status = exit_.code
    results.append({"status": status, "out": out.getvalue(), "err": err.getvalue()})
print(json.dumps(results))
"""


def irem(installed: Path, *calls: list[object]) -> list[dict[str, Any]]:
    """Call the command line in another process; torch is imported once for all calls."""
    written = json.dumps([list(map(str, call)) for call in calls])
    results = json.loads(run_python("-c", CALLS, written, PYTHONPATH=str(installed)))
    for result in results:
        assert "Traceback" not in result["err"]
    return results


def test_parts_of_an_installed_package_are_used_by_name(installed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    parts = [
        *("--energy", "window(width=8)"),
        *("--descent", "unit_step(step_size=0.5)"),
        *("--halting", "no_progress(patience=4)"),
    ]
    training = ["--iterations", 20, "--batch-size", 16, "--problems", 20, "--out", run]
    listed, described, trained, solved, by_written, refused = irem(
        installed,
        ["list", "--check", "--json"],
        ["describe", "smooth", "--json"],
        ["train", "smooth(size=8)", *parts, *training, "--json"],
        ["solve", run, "--difficulty", "same", "--count", 3, "--json"],
        ["solve", "smooth-written", "--difficulty", "same", "--json"],
        ["train", "smooth-written"],
    )
    for result in (listed, described, trained, solved, by_written):
        assert result["status"] == 0, result

    found = [each for each in json.loads(listed["out"]) if each["package"] == "irem-example"]
    names = {each["name"] for each in found}
    assert names == {"smooth", "smooth-written", "window", "unit-step", "no-progress"}
    assert not any(each["problem"] for each in found)
    (about,) = json.loads(described["out"])
    assert about["package"] == "irem-example 0.1.0"
    assert set(about["difficulties"]) == {"train", "same", "harder"}

    assert json.loads(trained["out"])["energy"] == "window"
    problems = json.loads(solved["out"])["problems"]
    assert [each["outcome"] for each in problems] == ["converged"] * 3

    (problem,) = json.loads(by_written["out"])["problems"]
    assert problem["outcome"] == "converged"
    assert problem["error"] < 1e-4
    assert refused["status"] == 2
    assert refused["err"].count("\n") == 1
    assert "nothing needs training" in refused["err"]


def test_known_costs_are_descended_to_where_scipy_finds_their_minima(
    example: Callable[..., str],
) -> None:
    few = ("--iterations", 3, "--questions", 30, "--new", 4, "--starts", 2)
    heading, *rows = example("known_cost.py", *few).splitlines()
    assert heading.split()[2] == "evaluations"
    assert [row.split()[0] for row in rows] == ["program"] * 2 + ["arm"] * 2
    for row in rows:
        *_, evaluations, share, distance = row.split()
        assert float(evaluations) > 1
        assert float(distance) < 1e-6
        assert row.startswith("arm") or float(share) == 1
