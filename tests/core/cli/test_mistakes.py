from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from commands import SMALL, Irem

MISTAKES = [
    (("train", "ad"), "'add'"),
    (("train", "no-such-thing-at-all"), "There are: add"),
    (("train", "add", "--solver", "iremm"), "'irem'"),
    (("train", "add", "--energy", "mpl"), "'mlp'"),
    (("train", "add", "--descent", "gradeint"), "'gradient'"),
    (("train", "add", "--halting", "energy-plato"), "'energy-plateau'"),
    (("train", "add", "--preset", "papr"), "'paper'"),
    (("train", "add(sise=3)"), "'size'"),
    (("train", "add(size=0)"), "at least 1"),
    (("train", "add(size='x')"), ""),
    (("train", "add", "--energy", "mlp(widht=3)"), "'width'"),
    (("train", "add", "--energy", "mlp(width=0)"), "at least 1"),
    (("train", "add", "--energy", "mlp(3)"), "names"),
    (("train", "add", "--descent", "gradient(step_sise=3)"), "'step_size'"),
    (("train", "add", "--descent", "gradient(step_size=-1)"), "above 0"),
    (("train", "add", "--descent", "gradient(step_size=nan)"), "step_size=nan"),
    (("train", "add", "--descent", "gradient(step_size=inf)"), "step_size=inf"),
    (("train", "add", "--descent", "gradient(step_size=__import__('os'))"), ""),
    (("train", "add", "--descent", "gradient(step_size"), "cannot be read"),
    (("train", "add", "--halting", "any_of()"), "at least one"),
    (("train", "add", "--solver", "irem(steps=0)"), "at least one step"),
    (("train", "add", "--solver", "irem(stps=1)"), "'steps'"),
    (("train", "add", "--solver", "feedforward", "--energy", "mlp"), "energy"),
    (("train", "add", "--iterations", "0"), "iterations"),
    (("train", "matrix-inverse", "--autocast"), "leave autocast out"),
    (("train", "add", "--solver", "feedforward", "--autocast"), "leave autocast out"),
    (("train", "add", "--iterations", "many"), "--iterations"),
    (("train", "add", "--device", "warp"), "warp"),
    (("train",), "neither a task nor --pairs"),
    (("trian", "add"), "train"),
    (("train", "add", "--sed", "3"), "--seed"),
    (("evaluate", "no/such/run"), "There is no file"),
    (("solve", "no/such/run", "--difficulty", "same"), "There is no file"),
    (("solve", "add", "--difficulty", "same"), "irem train add"),
    (("describe", "gradiant"), "'gradient'"),
]


@pytest.mark.parametrize(("arguments", "hint"), MISTAKES, ids=lambda each: str(each)[:60])
def test_mistakes_are_one_line_and_status_2(
    irem: Irem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str], hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert hint in irem(*arguments).mistake()
    assert not list(tmp_path.rglob("*")), "a mistake must leave nothing behind"


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (("--difficulty", "sme"), "'same'"),
        (("--difficulty", "scael=2"), "'scale'"),
        (("--difficulty", "scale=-2"), "above 0"),
        (("--difficulty", "scale=nan"), "finite"),
        (("--difficulty", "same", "--descent", "adam(decay=1.5)"), "below 1"),
        (("--difficulty", "same", "--max-steps", "-1"), "max-steps"),
        ((), "--input"),
        (("--difficulty", "same", "--input", "x.npy"), "both"),
        (("--difficulty", "same", "--output", "y.txt"), ".npy"),
        (("--input", "missing.npy"), "no file"),
        (("--input", "wide.npy"), "wide.npy cannot be solved: x has shape (2, 9)"),
        (("--input", "nan.npy"), "NaN"),
        (("--input", "infinite.csv"), "infinity"),
        (("--input", "words.csv"), "words.csv"),
        (("--input", "empty.npy"), "empty.npy"),
        (("--input", "pickled.npy"), "pickled.npy"),
        (("--input", "text.npy"), "numbers"),
        (("--input", "two.npz"), "questions x"),
        (("--input", "x.txt"), ".safetensors"),
        (("--input", "none.npy"), "no problems"),
        (("--input", "ragged.npy"), "Python objects, perhaps rows of different lengths"),
        (("--input", "garbage.safetensors"), "garbage.safetensors"),
        (("--input", "garbage.npz"), "garbage.npz"),
    ],
    ids=str,
)
def test_mistakes_in_solving(
    irem: Irem,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    hint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    x = np.zeros((2, 8))
    np.save("x.npy", x)
    np.save("wide.npy", np.zeros((2, 9)))
    np.save("nan.npy", np.where(np.arange(8) == 5, np.nan, x))
    Path("infinite.csv").write_text(",".join(["inf"] * 8))
    Path("words.csv").write_text("one,two")
    Path("empty.npy").write_bytes(b"")
    np.save("pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save("none.npy", np.zeros((0, 8)))
    np.save("ragged.npy", np.array([[1.0], [1.0, 2.0]], dtype=object), allow_pickle=True)
    np.save("text.npy", np.array(["a"] * 8))
    np.savez("two.npz", a=x, b=x)
    Path("x.txt").write_text("1")
    for name in ("garbage.safetensors", "garbage.npz"):
        Path(name).write_bytes(b"\xff" * 100)
    before = sorted(tmp_path.iterdir())
    assert hint in irem("solve", run, *options).mistake()
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_holds_a_run_is_not_overwritten(irem: Irem, run: Path) -> None:
    before = (run / "model.safetensors").read_bytes()
    assert "--resume" in irem("train", *SMALL, "--iterations", 9, "--out", run).mistake()
    assert (run / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    "changed", [("--seed", "1"), ("--batch-size", "7"), ("--descent", "adam"), ("--threads", "2")]
)
def test_resuming_with_changed_settings_is_refused(
    irem: Irem, run: Path, changed: tuple[str, str]
) -> None:
    arguments = [*SMALL[:5], *changed] if "--threads" in changed else [*SMALL, *changed]
    line = irem("train", *arguments, "--iterations", 60, "--out", run, "--resume").mistake()
    assert changed[0].strip("-").replace("-", "_") in line


def test_damaged_checkpoints_are_refused(irem: Irem, run: Path, tmp_path: Path) -> None:
    good = (run / "model.safetensors").read_bytes()
    damaged = {
        "truncated": good[:-10],
        "empty": b"",
        "foreign": b"not a checkpoint",
        "altered": good[:-1] + bytes([good[-1] ^ 1]),
        "renamed": good.replace(b"mlp", b"mlq"),
    }
    for name, content in damaged.items():
        file = tmp_path / f"{name}.safetensors"
        file.write_bytes(content)
        assert str(file) in irem("evaluate", file).mistake()


def test_a_size_that_a_solver_cannot_take(irem: Irem, tmp_path: Path) -> None:
    run = tmp_path / "sort"
    trained = irem(
        *("train", "sort(values=4)", "--energy", "mlp(width=8)", "--iterations", "2"),
        *("--solver", "irem(max_steps=5)"),
        *("--problems", "5", "--batch-size", "4", "--threads", "1", "--out", run, "--json"),
    )
    # "harder" has 64 values, so it is absent rather than a failure.
    assert list(json.loads(trained.out)["evaluation"]) == ["same"]
    evaluated = irem("evaluate", run, "--json", "--problems", "5")
    assert list(json.loads(evaluated.out)) == ["same"]
    message = irem("evaluate", run, "--difficulty", "values=6").mistake()
    assert re.search(r"x has shape \(\d+, 6\) .* expected .* of shape \(\d+, 4\)", message)
