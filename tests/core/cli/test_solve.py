from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from commands import Irem
from irem_core import GradientDescent, Outcome, compose, load

NAMES = {"y", "energy", "steps", "outcome"}


def test_solve_shows_energy_and_error_of_every_step(irem: Irem, run: Path) -> None:
    shown = irem("solve", run, "--difficulty", "same")
    assert shown.status == 0, shown.err
    assert {"energy", "error", "answer", "exact"} <= set(shown.out.replace("┃", " ").split()) | set(
        shown.out.replace("│", " ").split()
    )
    told = json.loads(irem("solve", run, "--difficulty", "same", "--json").out)
    (problem,) = told["problems"]
    assert [each["step"] for each in told["trace"]] == list(range(problem["steps"] + 1))
    energies = [each["energy"] for each in told["trace"]]
    assert problem["energy"] == min(energies)
    # Of equal energies the later iterate has come further.
    lowest = max(step for step, energy in enumerate(energies) if energy == problem["energy"])
    assert problem["error"] == pytest.approx(told["trace"][lowest]["error"])


@pytest.mark.parametrize("ending", [".npy", ".npz", ".csv", ".safetensors"])
def test_files_in_and_out_of_every_format(
    irem: Irem, run: Path, tmp_path: Path, ending: str
) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (5, 8)).astype(np.float32)
    question, answer = tmp_path / f"x{ending}", tmp_path / f"y{ending}"
    if ending == ".npy":
        np.save(question, x)
    elif ending == ".npz":
        np.savez(question, x=x, other=x[:1])
    elif ending == ".csv":
        np.savetxt(question, x, delimiter=",", fmt="%.9g")
    else:
        save_file({"questions": x}, question)
    result = irem(
        "solve", run, "--input", question, "--output", answer, "--max-steps", 6,
        "--descent", "gradient(step_size=20)", "--halting", "fixed_steps(steps=6)", "--seed", 4,
        "--json",
    )  # fmt: skip
    assert result.status == 0, result.err
    if ending == ".npy":
        y = np.load(answer)
    elif ending == ".npz":
        with np.load(answer) as opened:
            y = opened["y"]
    elif ending == ".csv":
        y = np.loadtxt(answer, delimiter=",")
    else:
        y = load_file(answer)["y"]
    assert y.shape == (5, 4)
    told = json.loads(result.out)["problems"]
    assert [each["steps"] for each in told] == [6] * 5
    errors = np.square(y - (x[:, :4] + x[:, 4:])).mean(1)
    assert [each["error"] for each in told] == pytest.approx(errors.tolist(), rel=1e-4)


@pytest.mark.parametrize(("ending", "arrays"), [(".npy", {"y"}), (".safetensors", NAMES)])
def test_a_large_file_is_solved_in_parts(
    irem: Irem, run: Path, tmp_path: Path, ending: str, arrays: set[str]
) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (25, 8)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    given = ("--descent", "gradient(step_size=20)", "--max-steps", 6, "--capacity", 4)
    output = tmp_path / f"y{ending}"
    result = irem("solve", run, "--input", tmp_path / "x.npy", "--output", output, *given, "--json")
    assert result.status == 0, result.err
    told = json.loads(result.out)
    written = {"y": np.load(output)} if ending == ".npy" else load_file(output)
    assert set(written) == arrays
    assert told["answers"] == str(output)
    assert told["problems"] == sum(told["outcomes"].values()) == 25
    errors = np.square(written["y"] - (x[:, :4] + x[:, 4:])).mean()
    assert told["mse"] == pytest.approx(float(errors), rel=1e-4)
    if ending == ".safetensors":
        assert told["steps_mean"] == pytest.approx(written["steps"].mean())
    shown = irem("solve", run, "--input", tmp_path / "x.npy", "--output", output, *given)
    assert "25 problems" in shown.out


def test_files_of_several_arrays_tell_how_each_problem_ended(
    irem: Irem, run: Path, tmp_path: Path
) -> None:
    output = tmp_path / "y.npz"
    result = irem("solve", run, "--difficulty", "same", "--count", 3, "--output", output, "--json")
    told = json.loads(result.out)["problems"]
    with np.load(output) as opened:
        written = dict(opened)
    assert set(written) == NAMES
    assert [each["steps"] for each in told] == written["steps"].tolist()
    assert [each["energy"] for each in told] == pytest.approx(written["energy"].tolist())
    ends = [Outcome(each).name.lower().replace("_", " ") for each in written["outcome"]]
    assert [each["outcome"] for each in told] == ends


def test_one_question_is_a_batch_of_one(irem: Irem, run: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(8, dtype=np.float64))
    told = json.loads(irem("solve", run, "--input", tmp_path / "x.npy", "--json").out)
    assert len(told["problems"]) == 1


def test_answers_are_not_written_over_their_questions(
    irem: Irem, run: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.zeros((40, 8), dtype=np.float32))
    before = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "y.npy").symlink_to(tmp_path / "x.npy")
    for name, capacity in itertools.product(("x.npy", "y.npy"), (1024, 8)):
        files = ("--input", tmp_path / "x.npy", "--output", tmp_path / name)
        hint = irem("solve", run, *files, "--capacity", capacity).mistake()
        assert "holds the questions" in hint
    assert (tmp_path / "x.npy").read_bytes() == before


def test_compose_agrees_with_the_python_combinator(irem: Irem, run: Path) -> None:
    told = json.loads(
        irem("compose", run, "-k", 1, "-k", 3, "--problems", 50, "--max-steps", 4, "--json").out
    )
    assert list(told) == ["1", "3"]
    assert told["3"]["steps_mean"] == 12
    assert len(told["3"]["mse_by_application"]) == 3
    assert told["1"]["answer_mean_square"] == pytest.approx(2 / 3, rel=0.2)
    # Three applications to zeros: the exact answer is zero, so the error is the answer's size.
    solver = load(run)
    composed = compose(solver, 3).solve(
        [torch.zeros(2, 4)] * 4, max_steps=4, descent=GradientDescent(step_size=20)
    )
    assert composed.steps.tolist() == [sum(int(p.steps[0]) for p in composed.parts)] * 2
