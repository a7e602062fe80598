"""`--trust` of `irem solve` and `irem evaluate`: answers that are told apart by their energy."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from commands import Irem
from irem_core.cli import main

ERROR = 0.3


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short run of pairs of two outputs, and questions new to it."""
    folder = tmp_path_factory.mktemp("pairs")
    draw = np.random.default_rng(0)
    x = draw.normal(size=(300, 2))
    table = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": np.sin(2 * x[:, 0]), "w": 9 * x[:, 1]})
    table.to_csv(folder / "pairs.csv", index=False)
    new = draw.normal(size=(30, 2)) * 2
    np.save(folder / "new.npy", new)
    table = pd.DataFrame(new, columns=["a", "b"])
    table.to_csv(folder / "new.csv", index=False)
    arguments = ["irem", "train", "--pairs", "pairs.csv", "--y-columns", "y,w", "--threads", "1"]
    arguments += ["--energy", "ensemble(width=16, members=3)", "--iterations", "150"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", [*arguments, "--out", "run"])
        with pytest.raises(SystemExit) as exit_:
            main()
    assert not exit_.value.code
    return folder


@pytest.fixture
def there(pairs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(pairs)
    return pairs


def trusted(problems: list[dict[str, Any]]) -> list[bool]:
    """Say by their energies which answers of two outputs are expected to be good."""
    return [2 * each["energy"] / 2 <= ERROR for each in problems]


def test_solve_tells_which_answers_to_trust(irem: Irem, there: Path) -> None:
    given = ("solve", "run", "--input", "new.npy", "--trust", ERROR)
    told = json.loads(irem(*given, "--json").out)["problems"]
    assert [each["trusted"] for each in told] == trusted(told)
    assert 0 < sum(trusted(told)) < 30
    assert [each["expected"] for each in told] == pytest.approx([each["energy"] for each in told])

    shown = irem(*given)
    assert shown.status == 0, shown.err
    said = " ".join(shown.out.split())
    assert f"{sum(trusted(told))} of 30 answers may be trusted: their expected mean" in said
    assert "at most 0.3, over the variance of each y" in said
    assert {"expected", "trusted"} <= set(shown.out.replace("┃", " ").split())
    assert "trust" not in irem(*given[:-2]).out


@pytest.mark.parametrize("output", ["y.npz", "y.safetensors", "y.csv"])
def test_files_of_answers_tell_it_too(irem: Irem, there: Path, output: str) -> None:
    source = "new.csv" if output.endswith(".csv") else "new.npy"
    given = ("solve", "run", "--input", source, "--output", output, "--trust", ERROR)
    told = json.loads(irem(*given, "--json").out)["problems"]
    read: dict[str, Any] = {}
    if output.endswith(".csv"):
        read = dict(pd.read_csv(output))
    elif output.endswith(".npz"):
        with np.load(output) as opened:
            read = dict(opened)
    else:
        read = load_file(output)
    assert np.array_equal(read["trusted"], np.array(trusted(told), np.int64))


def test_large_files_are_told_alike(irem: Irem, there: Path) -> None:
    given = ("solve", "run", "--input", "new.npy", "--output", "many.safetensors", "--trust", ERROR)
    told = json.loads(irem(*given, "--capacity", 8, "--json").out)
    written = load_file("many.safetensors")
    assert written["trusted"].tolist() == (written["energy"] <= ERROR).tolist()
    assert told["trusted"] == written["trusted"].sum()
    shown = irem(*given, "--capacity", 8)
    assert f"{told['trusted']} of 30 answers may be trusted" in shown.out
    assert "trusted" not in load_file("many.safetensors").keys() - written.keys()


def test_evaluate_shows_expected_beside_real_errors(irem: Irem, there: Path) -> None:
    bins = json.loads(irem("evaluate", "run", "--json").out)["same"]["reliability"]["bins"]
    error = round(bins[4]["expected"], 4)
    given = ("evaluate", "run", "--trust", error)
    scores = json.loads(irem(*given, "--json").out)["same"]
    assert bins == scores["reliability"]["bins"]
    assert sum(each["problems"] for each in bins) == 30
    assert scores["reliability"]["relative"] is True
    assert bins == sorted(bins, key=lambda each: each["expected"])
    trust = scores["trust"]
    whole = trust["share"] * trust["error_trusted"] + (1 - trust["share"]) * trust["error_others"]
    assert whole == pytest.approx(sum(each["real"] for each in bins) / 10)

    shown = irem(*given)
    assert shown.status == 0, shown.err
    said = " ".join(shown.out.split())
    assert "same: expected and real errors, by energy, over the variance of each y" in said
    assert "real over expected" in said
    assert f"may be trusted at an error of {error:g}; mean squared error of these: " in said


@pytest.mark.parametrize("error", ["0", "-1", "nan", "inf"])
def test_an_error_to_put_up_with_is_above_0(irem: Irem, there: Path, error: str) -> None:
    for given in (("solve", "run", "--input", "new.npy"), ("evaluate", "run")):
        assert "expected a finite number above 0" in irem(*given, "--trust", error).mistake()


def test_a_curve_has_no_scores_to_trust(irem: Irem, there: Path) -> None:
    assert "--curve" in irem("evaluate", "run", "--trust", 1, "--curve", 2).mistake()


def test_energies_that_say_nothing_of_errors_are_refused(irem: Irem, run: Path) -> None:
    solve = ("solve", run, "--difficulty", "same", "--trust", 0.1)
    for given in (solve, ("evaluate", run, "--problems", 5, "--trust", 0.1)):
        said = irem(*given).mistake()
        assert "IREM does not say how wrong its answers are likely to be" in said
        assert "calibrated()" in said
        assert "--pairs" in said


def test_so_are_one_shot_baselines_and_large_files(irem: Irem, run: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    irem(
        "train", "negate(size=3)", "--solver", "feedforward(width=4)", "--iterations", 1,
        "--problems", 5, "--out", plain,
    )  # fmt: skip
    said = irem("solve", plain, "--difficulty", "same", "--trust", 0.1).mistake()
    assert "Feedforward does not say how wrong" in said
    np.save(tmp_path / "x.npy", np.zeros((9, 8), np.float32))
    files = ("--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy", "--capacity", 2)
    assert "does not say how wrong" in irem("solve", run, *files, "--trust", 0.1).mistake()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["plain", "x.npy"]


def test_evaluate_ranks_answers_of_other_tasks_too(irem: Irem, run: Path) -> None:
    shown = irem("evaluate", run, "--problems", 20, "--difficulty", "same").out
    assert "AUROC of the worst tenth of answers by their energy: same: " in shown
    assert "expected and real" not in shown
