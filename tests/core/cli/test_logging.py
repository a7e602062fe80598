from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

from commands import SMALL, Irem


def test_logs_are_kept_in_the_folder_of_the_run(irem: Irem, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    options = ("--solver", "irem(max_steps=5)", "--iterations", 60, "--out", tmp_path / "run")
    result = irem("train", *SMALL, *options, "--log", "csv", "--log", "tensorboard")
    assert result.status == 0, result.err
    assert list((tmp_path / "run" / "tensorboard").glob("events.out.tfevents.*"))
    records = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    with (tmp_path / "run" / "metrics.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [(row["iteration"], row["loss"]) for row in rows] == [
        (str(record["iteration"]), str(record["loss"])) for record in records
    ]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("tensorbord", "'tensorboard'"),
        ("wandb", "csv, tensorboard"),
        ("tensorboard", 'pip install "irem-core[tensorboard]"'),
    ],
)
def test_loggers_that_cannot_be_had(
    irem: Irem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, hint: str
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    result = irem("train", *SMALL, "--out", tmp_path / "run", "--log", name)
    assert hint in result.mistake()
    assert not (tmp_path / "run").exists()
