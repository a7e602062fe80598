from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from commands import SMALL, Irem
from irem_core import GradientDescent, IremError, evaluate, fit, load, load_task
from irem_core.runs.checkpoint import read
from irem_core.training.callbacks import EvaluateEvery


def test_train_writes_a_run_and_the_record_that_results_keep(irem: Irem, tmp_path: Path) -> None:
    out = tmp_path / "run"
    quick = ("--solver", "irem(max_steps=60)", "--iterations", 40)
    result = irem("train", *SMALL, *quick, "--seed", 3, "--out", out, "--json")
    assert result.status == 0, result.err
    record = json.loads(result.out)
    assert record == json.loads((out / "evaluation.json").read_text())
    assert {path.name for path in out.iterdir()} == {
        "model.safetensors",
        "training.safetensors",
        "metrics.jsonl",
        "evaluation.json",
    }
    expected = {"task": "add", "solver": "irem", "energy": "mlp", "preset": "default", "seed": 3}
    assert expected.items() <= record.items()
    assert record["iterations"] == 40
    assert record["parameters"] == (12 * 16 + 16) + 2 * (16 * 16 + 16) + 17
    assert record["settings"]["batch_size"] == 128
    assert set(record["evaluation"]) == {"same", "harder"}
    same = record["evaluation"]["same"]
    # Problems halt by themselves, so the steps that are listed end with the last of them.
    assert list(same["mse_by_step"]) == [str(step) for step in range(len(same["mse_by_step"]))]
    assert same["steps_mean"] < len(same["mse_by_step"]) <= same["max_steps"] + 1
    last = list(same["mse_by_step"].values())[-1]
    assert last == pytest.approx(same["mse_last"])
    paper = ("--difficulty", "same", "--problems", 5, "--protocol", "paper")
    assert json.loads(irem("evaluate", out, *paper, "--json").out)["same"]["steps_mean"] == 80


def test_record_is_what_evaluate_says_of_the_saved_model(irem: Irem, run: Path) -> None:
    direct = evaluate(load(run), load_task("add(size=4)"), difficulty="harder", problems=40)
    words = ("evaluate", run, "--difficulty", "harder", "--problems", 40, "--json")
    record = json.loads((run / "evaluation.json").read_text())["evaluation"]
    for scores in (json.loads(irem(*words).out), record):
        assert scores["harder"]["problems"] == 40
        assert scores["harder"]["mse"] == pytest.approx(direct.mse, rel=1e-6)
        assert scores["harder"]["relative"] == pytest.approx(direct.relative, rel=1e-6)
    table = irem("evaluate", run, "--difficulty", "scale=3", "--max-steps", 5).out
    assert "relative: the error over that of the best constant answer" in table


@pytest.mark.parametrize(
    ("task", "problems", "on_the_way"),
    [("add(size=4)", 7, 7), ("add(size=4)", 5000, 1000), ("sudoku(size=4)", 400, 100)],
)
def test_problems_are_scored_on_the_way_too_at_most_as_many_as_the_task_has_there(
    irem: Irem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    task: str, problems: int, on_the_way: int,
) -> None:  # fmt: skip
    @functools.wraps(fit)
    def stop(*given: object, callbacks: list[Any], **settings: object) -> None:
        (scoring,) = (each for each in callbacks if isinstance(each, EvaluateEvery))
        raise IremError(f"scored on {scoring.problems}")

    monkeypatch.setattr("irem_core.training.fit.fit", stop)
    trained = irem("train", task, "--problems", problems, "--out", tmp_path / "run")
    assert f"scored on {on_the_way}\n" in trained.err


def test_options_replace_the_preset_and_are_recorded(irem: Irem, tmp_path: Path) -> None:
    result = irem(
        "train", *SMALL, "--solver", "irem(steps=2, replay=50)", "--descent",
        "gradient(step_size=3)", "--halting", "fixed_steps(steps=7)", "--batch-size", 8,
        "--accumulate", 4, "--iterations", 3, "--out", tmp_path / "run",
    )  # fmt: skip
    assert result.status == 0, result.err
    solver = load(tmp_path / "run")
    assert (solver.steps, solver.descent, solver.halting.steps) == (
        2,
        GradientDescent(step_size=3),
        7,
    )
    assert solver.buffer.capacity == 50
    _, saved = read(tmp_path / "run" / "training.safetensors")
    assert saved["settings"]["training"]["batch_size"] == 8
    assert saved["settings"]["training"]["accumulate"] == 4
    record = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert record["settings"]["accumulate"] == 4


def test_products_in_bfloat16_are_asked_for_by_every_command(irem: Irem, tmp_path: Path) -> None:
    run, losses = tmp_path / "run", []
    for options in ([], ["--autocast"]):
        arguments = [*SMALL, "--batch-size", 8, "--iterations", 3, "--json", *options]
        arguments += ["--halting", "fixed_steps(steps=5)", "--out", run / str(len(losses))]
        losses.append(json.loads(irem("train", *arguments).out)["evaluation"]["same"]["mse"])
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.1)
    for command in (["evaluate", "--problems", 50], ["solve", "--difficulty", "same"]):
        shown = [
            irem(command[0], run / "0", *command[1:], "--json", *each)
            for each in ([], ["--autocast"])
        ]
        assert [each.status for each in shown] == [0, 0], shown
        assert shown[0].out != shown[1].out


def test_default_folder_names_task_solver_and_seed(
    irem: Irem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = irem("train", "negate(size=4)", "--solver", "feedforward(width=8)", "--iterations", 2)
    assert result.status == 0, result.err
    assert (tmp_path / "runs/negate-feedforward-0/model.safetensors").is_file()
    assert json.loads((tmp_path / "runs/negate-feedforward-0/evaluation.json").read_text())[
        "evaluation"
    ]["same"]["mse_by_step"].keys() == {"1"}


def test_resume_finishes_an_earlier_run_with_the_same_bits(irem: Irem, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    # At a constant rate a run may be made longer.
    options = ("--preset", "tuned", "--solver", "irem(max_steps=5)")
    irem("train", *SMALL, *options, "--iterations", 30, "--out", whole)
    irem("train", *SMALL, *options, "--iterations", 11, "--out", parts)
    # Without --threads the number that the run began with is taken up again.
    resumed = irem("train", *SMALL[:5], *options, "--iterations", 30, "--out", parts, "--resume")
    assert resumed.status == 0, resumed.err
    first, _ = read(whole / "model.safetensors")
    second, _ = read(parts / "model.safetensors")
    assert all(first[name].equal(second[name]) for name in first)


def test_ctrl_c_leaves_a_checkpoint_and_ends_with_130(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "irem_core", "train", *SMALL, "--iterations", "1000000"]
    process = subprocess.Popen(
        [*command, "--out", str(out)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    metrics = out / "metrics.jsonl"
    # Once something is logged, updates are being made.
    while not (metrics.exists() and metrics.stat().st_size) and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "--resume" in err
    _, saved = read(out / "training.safetensors")
    assert 0 < saved["iteration"] < 1_000_000


def test_diverging_training_is_a_fault_that_names_the_iteration(irem: Irem, tmp_path: Path) -> None:
    result = irem(
        "train", *SMALL, "--descent", "gradient(step_size=1e30)", "--iterations", 100,
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert result.status == 1
    assert "iteration" in result.err
    assert "Traceback" not in result.err


def test_full_disk_is_a_fault_with_one_line(tmp_path: Path) -> None:
    # A limit on the size of files fails writes as a full disk does.
    script = (
        # Some versions of torch write a module of their own when this is first imported.
        "import torch.distributed.nn;"
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000));"
        "sys.argv[1:] = sys.argv[1:]; from irem_core.cli import main; main()"
    )
    arguments = ["train", *SMALL, "--iterations", "5", "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "could not be written" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run" / "training.safetensors").exists()
    assert not list((tmp_path / "run").glob(".*"))
