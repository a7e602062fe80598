"""Denoising: which images, which noise, and files that cannot be used."""

import math
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from irem_core import (
    Between,
    ImageSpace,
    InputFileError,
    Problem,
    SettingError,
    SkippedFileWarning,
)
from irem_tasks import Denoise
from irem_tasks._photographs import Patches
from irem_tasks.images import noise_level


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def paint(file, *shape, seed=0):
    """Write an image of random bytes and return it as brightness."""
    image = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(image).save(file)
    return image / 255


@pytest.fixture
def folder(tmp_path):
    """Six grey images of different sizes: the first and the last are for testing."""
    for n in range(6):
        paint(tmp_path / f"{n}.png", 12 + n, 20, seed=n)
    return tmp_path


def test_the_shipped_photographs_are_split_once_and_for_all():
    photographs = Denoise().photographs

    assert len(photographs.train) == 11
    assert [tuple(image.shape) for image in photographs.test] == [
        (1, 512, 512),
        (1, 512, 512),
        (1, 400, 600),
        (1, 500, 741),
    ]
    assert all(0 <= image.min() < image.max() <= 1 for image in photographs.train)
    # No two images share a patch: training never sees a test image.
    corners = [image[0, :8, :8] for image in (*photographs.train, *photographs.test)]
    different = [not torch.equal(a, b) for n, a in enumerate(corners) for b in corners[:n]]
    assert all(different)


@pytest.mark.parametrize(
    ("difficulty", "mean_square"),
    # The mean square of a noise level uniform on (0, 55) is 55 ** 2 / 3.
    [("train", 55**2 / 3), ("same", 45**2), ("harder", 65**2), ("sigma=75", 75**2)],
)
def test_the_noise_is_gaussian_of_the_level_asked_for(difficulty, mean_square):
    problem, y = Denoise().sample(2000, difficulty, generator=generator())
    noise = (problem.x - y) * 255

    assert y.shape == (2000, 1, 40, 40)
    assert 0 <= y.min() < y.max() <= 1
    # The level of 2,000 patches varies in training: a standard error of 2 percent.
    assert noise.square().mean() == pytest.approx(mean_square, rel=0.05)
    assert abs(noise.mean()) < 0.3
    if difficulty != "train":
        kurtosis = noise.pow(4).mean() / noise.square().mean() ** 2
        assert kurtosis == pytest.approx(3, abs=0.02)
    levels = noise.square().mean((1, 2, 3)).sqrt()
    assert (levels.std() < 2) == (difficulty != "train")


def test_patches_are_squares_of_the_images_in_all_eight_positions():
    images = [torch.arange(30.0).reshape(1, 5, 6), 100 + torch.arange(28.0).reshape(1, 7, 4)]
    drawn = Patches(images, torch.device("cpu")).draw(3000, 3, generator())
    expected = set()
    for image in images:
        for square in image[0].unfold(0, 3, 1).unfold(1, 3, 1).flatten(0, 1):
            for turned in (square, square.flip(0), square.flip(1), square.flip(0, 1)):
                expected |= {tuple(turned.flatten().tolist()), tuple(turned.T.flatten().tolist())}

    found = [tuple(patch.flatten().tolist()) for patch in drawn]
    assert set(found) == expected
    # Each image is drawn as often as the other, whatever its size.
    assert sum(patch[0] >= 100 for patch in found) == pytest.approx(1500, abs=110)


def test_evaluation_takes_every_test_image_whole(folder):
    task = Denoise(str(folder), patch=12)
    batches = list(task.batches(1000, "same", generator=generator()))

    assert [tuple(y.shape) for _, y in batches] == [(1, 1, 12, 20), (1, 1, 17, 20)]
    assert batches[1][0].answer == ImageSpace(1, 17, 20)
    assert batches[1][1][0, 0].numpy() == pytest.approx(paint(folder / "5.png", 17, 20, seed=5))
    assert len(list(task.batches(1, "same", generator=generator()))) == 1
    noise = torch.cat([(p.x - y).flatten() for p, y in batches]) * 255
    assert noise.std() == pytest.approx(45, rel=0.1)


def test_psnr_is_that_of_its_formula():
    y = torch.rand(3, 1, 5, 5, generator=generator())
    error = torch.tensor([0.1, 0.01, 1.0]).reshape(3, 1, 1, 1)
    measured = Denoise().measures(Problem(y), y + error, y)

    assert measured["psnr"].tolist() == pytest.approx([20, 40, 0], abs=1e-3)


def test_non_local_means_takes_noise_off():
    problem, y = next(Denoise(patch=40).batches(1, "same", generator=generator()))
    cut = Problem(problem.x[..., 100:228, 100:228], ImageSpace(1, 128, 128))
    clean = y[..., 100:228, 100:228]
    task = Denoise()
    before = task.measures(cut, cut.x, clean)["psnr"]
    after = task.measures(cut, task.classical(cut), clean)["psnr"]

    assert before.item() == pytest.approx(20 * math.log10(255 / 45), abs=0.2)
    assert after > before + 6


def test_the_noise_level_is_found():
    flat = torch.linspace(0, 1, 200).repeat(200, 1).expand(2, 3, 200, 200)
    sigma = torch.tensor([0.1, 0.3])
    noise = torch.empty(flat.shape).normal_(generator=generator())
    found = noise_level(flat + noise * sigma.reshape(-1, 1, 1, 1))

    assert found.tolist() == pytest.approx(sigma.tolist(), rel=0.02)


def test_colour_becomes_brightness_or_stays(tmp_path):
    colours = paint(tmp_path / "a.png", 10, 12, 3)
    paint(tmp_path / "b.png", 10, 12, 3, seed=1)
    grey = Denoise(str(tmp_path), patch=8).photographs.test[0]
    kept = Denoise(str(tmp_path), channels=3, patch=8).photographs.test[0]

    # The luminance of ITU-R BT.709.
    assert grey[0].numpy() == pytest.approx(colours @ [0.2126, 0.7152, 0.0722], abs=1e-5)
    assert kept.permute(1, 2, 0).numpy() == pytest.approx(colours, abs=1e-6)


@pytest.mark.parametrize("ending", [".png", ".jpg", ".jpeg", ".tif", ".tiff"])
def test_every_format_is_read_and_written(tmp_path, ending):
    task, file = Denoise(patch=4), tmp_path / f"image{ending}"
    smooth = torch.linspace(-0.2, 1.2, 16).repeat(8, 1)[None, None]
    task.write(file, Problem(smooth), smooth)
    problem = task.read(file, torch.device("cpu"))

    assert problem.answer == ImageSpace(1, 8, 16)
    assert problem.x[0, 0].numpy() == pytest.approx(smooth[0, 0].clamp(0, 1).numpy(), abs=0.02)


def test_bad_files_are_named_and_skipped(folder):
    (folder / "1.png").write_bytes(b"no image")
    paint(folder / "2.png", 5, 5)
    (folder / "notes.txt").write_text("not an image at all")
    with pytest.warns(SkippedFileWarning) as caught:
        photographs = Denoise(str(folder), patch=12).photographs

    assert len(photographs.train) == 2
    messages = [str(each.message) for each in caught]
    assert len(messages) == 2
    assert "1.png cannot be read as an image" in messages[0]
    assert "2.png has 5 x 5 pixels, fewer than a patch of 12 x 12" in messages[1]


def test_a_grey_image_is_no_colour_image(folder):
    task = Denoise(str(folder), channels=3, patch=12)

    with pytest.raises(InputFileError, match=r"0\.png is a grey image and a colour image is exp"):
        task.read(folder / "0.png", torch.device("cpu"))
    with (
        pytest.raises(InputFileError, match="of which 0 can be trained on"),
        pytest.warns(SkippedFileWarning, match="grey image"),
    ):
        _ = task.photographs


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(InputFileError, match="has 0 image files"):
        _ = Denoise(str(tmp_path)).photographs
    with pytest.raises(InputFileError, match=r"There is no folder .*nowhere"):
        _ = Denoise(str(tmp_path / "nowhere")).photographs
    with pytest.raises(InputFileError, match=r"There is no file .*nothing\.png"):
        Denoise().read(tmp_path / "nothing.png", torch.device("cpu"))


def test_one_file_holds_one_image(tmp_path):
    two = torch.zeros(2, 1, 8, 8)
    with pytest.raises(InputFileError, match="can hold one image and 2 were solved"):
        Denoise().write(tmp_path / "two.png", Problem(two), two)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Denoise(channels=2), "channels=2; expected 1 or 3"),
        (lambda: Denoise(patch=0), "height=0"),
        (lambda: Denoise().sample(1, "sigma=-1", generator=generator()), "expected at least 0"),
        (lambda: Denoise().sample(1, "sigma=9..3", generator=generator()), "is empty"),
    ],
)
def test_settings_out_of_range_are_explained(make, message):
    with pytest.raises(SettingError, match=message):
        make()


def test_the_images_are_read_once_and_only_when_needed(folder):
    task = Denoise(str(folder), patch=12)
    assert task.question == task.answer == ImageSpace(1, 12, 12)
    first, _ = task.sample(3, generator=generator())
    for file in folder.iterdir():
        file.unlink()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again, _ = task.sample(3, generator=generator())
    assert torch.equal(first.x, again.x)
    assert task.parameters == {"sigma": Between(0.0, 55.0)}
