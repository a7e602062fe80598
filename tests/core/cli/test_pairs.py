"""`irem train --pairs`, and what follows from it with no further flags."""

from __future__ import annotations

import functools
import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from commands import Irem
from irem_core import fit
from irem_core.cli import files, show
from irem_core.runs.checkpoint import read

SETTINGS = ("--energy", "ensemble(width=32, members=2)", "--threads", "1", "--batch-size", "32")


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
    assert (record["task"], record["solver"], record["energy"]) == ("pairs", "irem", "ensemble")
    assert record["evaluation"]["same"]["problems"] == 30
    assert record["evaluation"]["same"]["r2"] > 0.5

    scored = irem("evaluate", run, "--json")
    assert json.loads(scored.out)["same"]["mse"] == pytest.approx(
        record["evaluation"]["same"]["mse"], rel=1e-6
    )
    table = irem("evaluate", run).out
    for word in (
        "constant",
        "linear",
        "neighbour",
        "R2",
        "AUROC",
        "30 problems",
        "How problems ended",
    ):
        assert word in table
    assert not {"entrywise", "relative"} & set(table.split())

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


def test_what_held_out_pairs_decided_is_told(irem: Irem, folder: Path) -> None:
    draw = np.random.default_rng(1)
    x = draw.normal(size=(60, 3))
    np.savez("noise.npz", x=x, y=x[:, :1] + draw.normal(size=(60, 1)))
    arguments = ("--pairs", "noise.npz", "--energy", "ensemble(width=32)", "--out", "run")
    trained = irem("train", *arguments)
    assert trained.status == 0, trained.err
    # Of noise nothing is to be learned, so training is soon over.
    assert " for 500 iterations" in trained.out
    kept = re.search(r"those after (\d+) iterations", trained.out)
    assert kept is not None
    assert int(kept[1]) <= 250
    assert "Restarts do not pay" in trained.out


def test_minutes_take_the_place_of_iterations(irem: Irem, folder: Path) -> None:
    arguments = ("train", "--pairs", "pairs.npz", *SETTINGS, "--out", "run", "--minutes")
    trained = json.loads(irem(*arguments, 0.01, "--json").out)
    # A machine that others use too may be slower by then, or faster.
    assert 0 < trained["train_seconds"] < 10
    # Going on takes the iterations that were found the first time.
    again = json.loads(irem(*arguments, 5, "--resume", "--json").out)
    assert again["iterations"] == trained["iterations"]
    both = irem("train", "add", "--minutes", 1, "--iterations", 5).mistake()
    assert "--iterations and --minutes" in both
    assert "minutes=" in irem("train", "add", "--minutes", 0).mistake()


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
        (("--pairs", "new.csv"), "say which are answers"),
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
    assert "Answers are one-hot" in trained.out
    assert "Solved: same" in trained.out
    assert "Solved: other" in irem("evaluate", "runs/kinds-irem-0", "--on", "kinds.npz").out
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
    assert "Answers to 60 questions are minima of the cost." in made.out
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


@pytest.fixture
def houses(folder: Path) -> pd.DataFrame:
    """Houses and what they cost, as houses.csv with an index, categories and a constant."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"size": draw.normal(100, 20, 120), "kind": draw.choice(["a", "b"], 120)})
    frame["floor"], frame["notes"] = 1.0, "-"
    frame["price"] = 3 * frame["size"] + 50 * (frame["kind"] == "b")
    frame.loc[100:109, ["size", "kind"]] = frame.loc[:9, ["size", "kind"]].to_numpy()
    frame.to_csv("houses.csv")
    return frame


COLUMNS = ("--x-columns", "size,kind,fl*", "--y-columns", "price", "--categories", "one-hot")


@pytest.mark.filterwarnings("always::irem_core.SkippedQuestionWarning")
def test_a_table_is_read_told_solved_and_scored_by_its_names(
    irem: Irem, folder: Path, houses: pd.DataFrame
) -> None:
    trained = irem(
        "train", "--pairs", "houses.csv", *COLUMNS, *SETTINGS, "--iterations", 40, "--out", "run"
    )
    assert trained.status == 0, trained.err
    told = trained.out.splitlines()[:5]
    assert told[0].startswith("houses.csv: 120 pairs. x: 4 columns (size, kind=a, kind=b, floor).")
    assert told[1] == "Columns left out: '' (which counts rows), 'notes'."
    assert re.fullmatch("Held out: 1[1-9] pairs, which training never sees.", told[2])
    assert told[3].startswith("10 pairs ask what an earlier one asks")
    assert told[4] == "Dropped from x, as they never vary: floor."

    houses.loc[2, "size"] = np.nan
    houses[["floor", "kind", "size", "price"]].iloc[:6].to_csv("some.csv", sep=";", index=False)
    few = ("--max-steps", 1)
    solved = irem("solve", "run", "--input", "some.csv", "--output", "answers.csv", *few, "--json")
    assert solved.status == 0, solved.err
    assert "1 of 6 questions, first in question 2" in solved.err
    answers = pd.read_csv("answers.csv")
    assert list(answers) == ["price", "energy", "steps", "outcome"]
    bad = [row == 2 for row in range(6)]
    assert answers["price"].isna().tolist() == answers["energy"].isna().tolist() == bad
    assert answers["outcome"].tolist() == ["nonfinite" if row else "budget spent" for row in bad]
    rows = json.loads(solved.out)["problems"]
    errors = np.square(answers["price"] - houses["price"].iloc[:6])
    assert [row["error"] or np.nan for row in rows] == pytest.approx(errors, rel=1e-3, nan_ok=True)
    shown = irem("solve", "run", "--input", "some.csv", *few).out
    assert f"6 problems, mean squared error {show.cell(errors.mean())[:4]}" in shown

    test = houses.drop(index=2)[["price", "floor", "kind", "size"]]
    test.to_csv("test.csv", index=False)
    scored = irem("evaluate", "run", "--on", "test.csv", *few, "--json")
    assert scored.status == 0, scored.err
    scores = json.loads(scored.out)["other"]
    assert scores["problems"] == 119
    irem("solve", "run", "--input", "test.csv", "--output", "all.csv", *few)
    error = np.square(pd.read_csv("all.csv")["price"] - test["price"].to_numpy()).mean()
    assert scores["mse"] == pytest.approx(error, rel=0.3)  # from other starts
    assert "other" in irem("evaluate", "run", "--on", "test.csv", *few).out
    Path("houses.csv").unlink()
    without = irem("evaluate", "run", "--on", "test.csv", *few)
    assert without.status == 0, without.err
    assert "linear:" in without.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "--pairs", "houses.csv"), "say which are answers with --y-columns"),
        (("train", "--pairs", "houses.csv", "--y-columns", "price"), "--categories one-hot"),
        (("train", "--pairs", "houses.csv", "--y-columns", "prize"), "'price'"),
        (("train", "add", "--y-columns", "price"), "without --pairs"),
        (("train", "--pairs", "pairs.npz", "--y-columns", "price"), "columns have no names"),
    ],
)
def test_mistakes_with_tables_are_one_line(
    irem: Irem, houses: pd.DataFrame, arguments: tuple[str, ...], words: str
) -> None:
    assert words in irem(*arguments).mistake()


def test_a_run_is_scored_on_files_of_its_shapes_alone(irem: Irem, run: Path, folder: Path) -> None:
    trained = irem("train", "--pairs", "pairs.npz", *SETTINGS, "--iterations", 2, "--out", "run")
    assert trained.status == 0, trained.err
    np.savez("wide.npz", x=np.zeros((12, 4)), y=np.zeros((12, 2)))
    wide = irem("evaluate", "run", "--on", "wide.npz").mistake()
    assert "x has shape (12, 4); expected (n, 3)" in wide
    both = irem("evaluate", "run", "--on", "pairs.npz", "--difficulty", "same").mistake()
    assert "--difficulty beside --on" in both
    assert "--on pairs.npz" in irem("evaluate", run, "--on", "pairs.npz").mistake()
    np.savez("both.npz", X=np.load("x.npy"), Y=np.load("y.npy")[:, :1])
    assert "y has shape (300, 1)" in irem("solve", "run", "--input", "both.npz").mistake()


def test_a_large_file_needs_one_for_its_answers(
    irem: Irem, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_MOST", 1000)
    np.save(tmp_path / "x.npy", np.zeros((40, 8)))
    told = irem("solve", run, "--input", tmp_path / "x.npy").mistake()
    assert "--output answers.safetensors" in told
    given = ("--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy", "--capacity", 8)
    assert irem("solve", run, *given, "--max-steps", 1).status == 0


def test_images_say_how_long_they_train(
    irem: Irem, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @functools.wraps(fit)
    def stop(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("irem_core.training.fit.fit", stop)
    images = np.random.default_rng(0).normal(size=(20, 1, 8, 8))
    np.savez("images.npz", x=images, y=images)
    told = irem("train", "--pairs", "images.npz", "--energy", "conv(width=4)")
    assert "Training takes 120,000 updates, which may be an hour or more" in told.out
    told = irem("train", "--pairs", "images.npz", "--energy", "conv(width=4)", "--iterations", 9)
    assert "an hour" not in told.out
