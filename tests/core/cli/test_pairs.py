"""`irem train --pairs`, and what follows from it with no further flags."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from commands import Irem
from irem_core.runs.checkpoint import read

SETTINGS = ("--energy", "mlp(width=16)", "--threads", "1", "--batch-size", "32")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pairs in every way that they may be given, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    x = draw.normal(size=(300, 3)) * 100
    y = np.c_[np.sin(x[:, 0] / 100) + 40, x[:, 1] * x[:, 2] / 50]
    np.savez("pairs.npz", x=x, y=y)
    np.save("x.npy", x)
    np.save("y.npy", y)
    np.savetxt("new.csv", x[:4], delimiter=",", header="x0,x1,x2", comments="")
    return tmp_path


def test_train_solve_evaluate_and_resume_with_no_further_flags(irem: Irem, folder: Path) -> None:
    trained = irem("train", "--pairs", "pairs.npz", *SETTINGS, "--iterations", 200, "--json")
    assert trained.status == 0, trained.err
    run = folder / "runs" / "pairs-irem-0"
    record = json.loads(trained.out)
    assert (record["task"], record["solver"], record["energy"]) == ("pairs", "irem", "mlp")
    assert record["evaluation"]["same"]["problems"] == 30
    assert record["evaluation"]["same"]["r2"] > 0.5

    scored = irem("evaluate", run, "--json")
    assert json.loads(scored.out)["same"]["mse"] == pytest.approx(
        record["evaluation"]["same"]["mse"], rel=1e-6
    )
    table = irem("evaluate", run).out
    for word in ("constant", "linear", "R2", "AUROC", "30 problems", "How problems ended"):
        assert word in table
    assert "entrywise" not in table

    weights, _ = read(run / "model.safetensors")
    again = irem(
        "train", "--pairs", "pairs.npz", *SETTINGS, "--iterations", 200, "--resume", "--json"
    )
    assert again.status == 0, again.err
    assert all(read(run / "model.safetensors")[0][name].equal(weights[name]) for name in weights)

    (folder / "pairs.npz").rename(folder / "moved.npz")
    solved = irem("solve", run, "--input", "new.csv", "--output", "answers.npy")
    assert solved.status == 0, solved.err
    wanted = np.load("y.npy")
    residual = ((np.load("answers.npy") - wanted[:4]) ** 2).mean(0)
    assert (residual < 0.5 * wanted.var(0)).all()
    assert "There is no file pairs.npz" in irem("evaluate", run).mistake()
    moved = irem("evaluate", run, "--data", "moved.npz", "--json")
    assert json.loads(moved.out) == json.loads(scored.out)
    np.savez("pairs.npz", x=np.load("x.npy"), y=wanted + 1)
    assert "content has changed" in irem("evaluate", run).mistake()


def test_a_large_file_is_solved_in_parts_in_the_same_units(irem: Irem, folder: Path) -> None:
    trained = irem("train", "--pairs", "x.npy,y.npy", *SETTINGS, "--iterations", 60, "--out", "run")
    assert trained.status == 0, trained.err
    solved = irem(
        "solve", "run", "--input", "x.npy", "--output", "all.npy", "--capacity", 64, "--json"
    )
    assert solved.status == 0, solved.err
    assert json.loads(solved.out)["problems"] == 300
    # Far from standard units, which have a mean of 0.
    assert np.load("all.npy")[:, 0].mean() == pytest.approx(40, abs=0.3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("add", "--pairs", "pairs.npz"), "give one of them"),
        (("--pairs", "x.npy", "y.npy"), "--pairs x.npy,y.npy"),
        (("--pairs", "x.npy"), "x.npy,y.npy"),
        (("--pairs", "none.npz"), "There is no file none.npz"),
        (("--pairs", "pairs.npz", "--data", "x.npy"), "--data"),
        (("--pairs", "new.csv"), "holds x"),
        (("--pairs", "pairs.npz", "--energy", "gine"), "EdgeSpace"),
    ],
)
def test_mistakes_are_one_line(
    irem: Irem, folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    assert words in irem("train", *arguments).mistake()


def test_answers_of_one_kind_are_said_bounded_and_rounded(irem: Irem, folder: Path) -> None:
    x = np.load("x.npy")
    np.savez("kinds.npz", x=x, y=np.eye(3)[x.argmax(1)])
    arguments = ("--iterations", 2, "--low", 0, "--high", 1)
    trained = irem("train", "--pairs", "kinds.npz", *SETTINGS, *arguments)
    assert trained.out.startswith("Answers are one-hot")
    assert "Solved: same" in trained.out
    run = folder / "runs" / "kinds-irem-0"
    told = json.loads(irem("solve", run, "--input", "new.csv", "--json").out)
    assert 0 <= np.min(told["answers"]) < np.max(told["answers"]) <= 1
    rounded = irem("solve", run, "--input", "new.csv", "--round", "--json").out
    wanted = np.eye(3)[np.argmax(told["answers"], 1)]
    np.testing.assert_array_equal(json.loads(rounded)["answers"], wanted)
    assert "without --pairs" in irem("train", "add", "--low", 0).mistake()


COST = """
import torch

MATRIX = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)


def cost(x, y):
    return ((y @ MATRIX) * y).sum(1) / 2 - (x[:, :2] * y).sum(1)


def single(x, y):
    return (y @ MATRIX.float()).sum(1)
"""


def test_a_cost_of_ones_own_answers_questions_alone(
    irem: Irem, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "own_cost.py").write_text(COST)
    np.savez("asked.npz", x=np.load("x.npy")[:60] / 100)
    known = ("--pairs", "asked.npz", "--cost", "own_cost:cost")
    made = irem("train", *known, "--entries", 2, *SETTINGS, "--iterations", 2, "--out", "run")
    assert made.status == 0, made.err
    assert made.out.startswith("Answers to 60 questions are minima of the cost.")
    solved = irem("solve", "run", "--input", "asked.npz", "--output", "y.npz")
    assert solved.status == 0, solved.err
    exact = np.linalg.solve([[2, 0.5], [0.5, 1]], np.load("asked.npz")["x"][:, :2].T).T
    np.testing.assert_allclose(np.load("y.npz")["y"], exact, rtol=1e-6, atol=1e-8)
    assert json.loads(irem("evaluate", "run", "--json").out)["same"]["mse"] < 1e-12

    assert "nothing says how many numbers" in irem("train", *known).mistake()
    assert (
        "leave entries out"
        in irem(
            "train", "--pairs", "pairs.npz", "--cost", "own_cost:cost", "--entries", 2
        ).mistake()
    )
    for cost, message in (
        ("own_cost:none", "own_cost holds no none"),
        ("own_cost:single", r"cannot take x and y of float64"),
        ("nowhere:cost", "Start from the folder that holds nowhere.py"),
        ("cost", "names no function"),
    ):
        wrong = irem("train", "--pairs", "asked.npz", "--cost", cost, "--entries", 2).mistake()
        assert message in wrong
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    monkeypatch.delitem(sys.modules, "own_cost")
    missing = irem("solve", "../run", "--input", "../asked.npz").mistake()
    assert "'own_cost' cannot be imported" in missing
