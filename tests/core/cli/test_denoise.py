"""Denoising on the command line: a folder in, images out."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import Irem

TRAIN = ("--iterations", "3", "--batch-size", "2", "--threads", "1")


def paint(file: Path, *shape: int, seed: int = 0) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(file)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "images"
    made.mkdir()
    for n in range(6):
        paint(made / f"{n}.png", 20, 16 + n, seed=n)
    return made


def test_a_folder_is_trained_on_and_a_file_denoised(
    irem: Irem, folder: Path, tmp_path: Path
) -> None:
    run, noisy, clean = tmp_path / "run", tmp_path / "noisy.png", tmp_path / "clean.jpg"
    (folder / "3.png").write_bytes(b"broken")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        trained = irem(
            "train", "denoise(patch=12)", "--data", folder, *TRAIN, "--out", run, "--json"
        )
    assert trained.status == 0, trained.err
    (warning,) = trained.err.splitlines()
    assert warning.startswith("irem: Skipped: ")
    assert "3.png cannot be read as an image" in warning

    record = json.loads(trained.out)
    assert record["energy"] == "conv"
    assert record["settings"]["task"]["data"] == str(folder)
    scores = record["evaluation"]["same"]
    assert scores["problems"] == 2
    assert list(scores["psnr_by_step"]) == [str(step) for step in range(11)]
    # With noise alone of 45 of 255, which is where descent starts.
    assert scores["psnr_by_step"]["0"] == pytest.approx(15.07, abs=1.0)

    paint(noisy, 9, 31)
    solved = irem("solve", run, "--input", noisy, "--output", clean, "--max-steps", "2")
    assert solved.status == 0, solved.err
    with Image.open(clean) as image:
        assert image.size == (31, 9)

    other = tmp_path / "other"
    other.mkdir()
    for n in range(2):
        paint(other / f"{n}.png", 14, 14, seed=n)
    again = irem("evaluate", run, "--data", other, "--difficulty", "sigma=75", "--json")
    assert json.loads(again.out)["sigma=75"]["problems"] == 1


def test_mistakes_with_images_are_one_line(irem: Irem, folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    train = ("train", "denoise(patch=12)", *TRAIN, "--out", tmp_path / "run")
    assert "has 0 image files" in irem(*train, "--data", empty).mistake()
    assert "There is no folder" in irem(*train, "--data", tmp_path / "nowhere").mistake()
    assert "no setting 'data'" in irem("train", "add", "--data", empty).mistake()

    run, colour = tmp_path / "colour", tmp_path / "colour.png"
    for n in range(6):
        paint(folder / f"{n}.png", 20, 20, 3, seed=n)
    trained = irem("train", "denoise(patch=12, channels=3)", "--data", folder, *TRAIN, "--out", run)
    assert trained.status == 0, trained.err
    paint(colour, 20, 20)
    assert "a colour image is expected" in irem("solve", run, "--input", colour).mistake()


def test_a_run_without_images_takes_no_folder(irem: Irem, run: Path, tmp_path: Path) -> None:
    assert "reads no folder" in irem("evaluate", run, "--data", tmp_path).mistake()
