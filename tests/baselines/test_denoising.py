"""PSNR of denoised photographs, against scikit-image's own, on a folder of small images."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio
from skimage.restoration import denoise_tv_chambolle

from irem_baselines import Residual
from irem_baselines.reproduce import denoising
from irem_core import IREM, ConvEnergy, GradientDescent, SettingError
from irem_tasks import Denoise


@pytest.fixture
def task(tmp_path, monkeypatch):
    monkeypatch.setattr(denoising, "SIGMAS", (45, 75))
    monkeypatch.setattr(denoising, "STEPS", (1, 3))
    random = np.random.default_rng(0)
    for place in range(6):
        shades = np.kron(random.integers(0, 256, (4, 5)), np.ones((6, 6))).astype(np.uint8)
        Image.fromarray(shades).save(tmp_path / f"{place}.png")
    return Denoise(data=str(tmp_path), patch=8)


def by_hand(task, sigma, answer):
    """Return the mean PSNR of what `answer` makes of the noisy test images."""
    generator = torch.Generator().manual_seed(1 + sigma)
    values = []
    for problem, y in task.batches(9, f"sigma={sigma}", generator=generator):
        grey, clean = problem.x[0, 0].numpy(), y[0, 0].numpy()
        values.append(peak_signal_noise_ratio(clean, answer(grey), data_range=1))
    assert len(values) == len(task.photographs.test) == 2
    return np.mean(values)


def test_iterates_are_scored_from_the_noisy_image_on(task):
    torch.manual_seed(0)
    energy = ConvEnergy(task.question, task.answer, width=4, depth=2)
    found = denoising.psnr(IREM(energy, descent=GradientDescent(step_size=0.1)), task, {})
    assert {sigma: sorted(each) for sigma, each in found.items()} == {
        "45": ["0", "1", "2", "3"],
        "75": ["0", "1", "2", "3"],
    }
    for sigma in (45, 75):
        noisy = by_hand(task, sigma, lambda grey: grey)
        assert found[str(sigma)]["0"] == pytest.approx(noisy, abs=1e-3)
    # The untrained correction is zero: E = |y - x|² / 2, so that nothing moves.
    assert found["45"]["3"] == pytest.approx(found["45"]["0"], abs=1e-3)


def test_an_answer_in_one_shot_is_step_1(task):
    residual = Residual(task.question, task.answer, width=4, depth=2, bias=False)
    found = denoising.psnr(residual, task, {})
    assert found["45"] == {"1": pytest.approx(by_hand(task, 45, lambda grey: grey), abs=1e-3)}


def test_filters_know_the_noise_and_have_the_strength_best_in_training(task):
    found = denoising.filters(None, task, {})
    for sigma in (45, 75):
        scores = found[str(sigma)]
        assert scores["noisy"]["psnr"] == pytest.approx(by_hand(task, sigma, lambda x: x), abs=1e-3)
        strength = scores["total variation"]["strength"]
        assert strength in (0.8, 1.0, 1.2, 1.5, 2.0)
        expected = by_hand(
            task, sigma, lambda x, s=sigma, w=strength: denoise_tv_chambolle(x, weight=w * s / 255)
        )
        assert scores["total variation"]["psnr"] == pytest.approx(expected, abs=1e-3)
        assert scores["non-local means"]["psnr"] > scores["noisy"]["psnr"]


def test_without_scikit_image_what_to_install_is_said(task, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.restoration", None)
    with pytest.raises(SettingError, match=r"pip install 'irem-baselines\[images\]'"):
        denoising.filters(None, task, {})
