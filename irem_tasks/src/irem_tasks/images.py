"""Denoising photographs (Appendix A)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from irem_core import Between, Difficulty, ImageSpace, InputFileError, Problem, SettingError
from irem_tasks._declared import AT_LEAST_0, DenseTask
from irem_tasks._photographs import (
    FORMATS,
    Patches,
    Photographs,
    load_photographs,
    read_image,
    write_image,
)

_LEVELS = 255
_TRAINED = Between(0.0, 55.0)

Sigma = Annotated[float | Between[float], AT_LEAST_0]


class Denoise(DenseTask):
    """Remove Gaussian noise from photographs: x = y + sigma / 255 N(0, 1), brightness in [0, 1].

    Training cuts patches from training images, at noise levels sigma uniform on (0, 55); `sample`
    does so at any difficulty. Evaluation takes whole images that training never sees, each once:
    sigma is 45 on "same" and 65, beyond training, on "harder"; the paper tests at 45, 55, 65 and
    75. It measures the peak signal-to-noise ratio (PSNR) in decibels, unclipped, as the mean over
    images. Published figures are on other photographs than these and so not comparable.

    Args:
        data: a folder of images, of which every fifth by name is for testing; None for the
            photographs that come with scikit-image, split once and for all.
        channels: 1 for grey images (colours become brightness), 3 for colour.
        patch: height and width of a patch.

    Raises:
        SettingError: the number of channels or the size of a patch is out of range.
    """

    difficulties: ClassVar = {"train": {}, "same": {"sigma": 45.0}, "harder": {"sigma": 65.0}}
    max_steps = 10
    formats: ClassVar = FORMATS

    def __init__(self, data: str | None = None, *, channels: int = 1, patch: int = 40) -> None:
        """Set the spaces; images are read when they are first needed."""
        if channels not in (1, 3):
            raise SettingError(f"Denoise got channels={channels!r}; expected 1 or 3.")
        self.question = ImageSpace(channels, patch, patch)
        self.answer = self.question
        self.data = data
        self._read: Photographs | None = None
        self._patches: dict[torch.device, Patches] = {}

    @property
    def photographs(self) -> Photographs:
        """The images.

        Raises:
            InputFileError: there are none that can be used.
        """
        if self._read is None:
            patch = self.question.shape[1]
            self._read = load_photographs(self.data, self.question.shape[0], patch)
        return self._read

    def generate(
        self, count: int, generator: torch.Generator, *, sigma: Sigma = _TRAINED
    ) -> tuple[Tensor, Float[Tensor, "problems channels height width"]]:
        """Draw noisy patches and the clean ones, `(count, channels, patch, patch)`.

        Raises:
            InputFileError: there are no images.
        """
        device = generator.device
        if device not in self._patches:
            self._patches[device] = Patches(self.photographs.train, device)
        y = self._patches[device].draw(count, self.question.shape[1], generator)
        return _noisy(y, sigma, generator), y

    def batches(
        self,
        problems: int,
        difficulty: str | Difficulty = "same",
        *,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
    ) -> Iterator[tuple[Problem, Tensor]]:
        """Yield the test images, whole and one at a time, with fresh noise.

        Args:
            problems: how many images at most.
            difficulty: a name, or free parameters such as "sigma=75".
            generator: lives on `device`.
            device: where the images will live.
        """
        parameters = self.complete(self.difficulty(difficulty).parameters)
        for image in self.photographs.test[:problems]:
            y = image[None].to(device)
            yield self._problem(_noisy(y, parameters["sigma"], generator)), y

    def measures(self, problem: Problem, y: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the PSNR of each image in decibels, for brightness that peaks at 1."""
        return {"psnr": -10 * problem.layout.mean((y - target).square()).log10()}

    def classical(self, problem: Problem) -> Tensor:
        """Return what non-local means makes of each image, its noise level estimated from it."""
        from skimage.restoration import denoise_nl_means

        cleaned = []
        for image, sigma in zip(problem.x, noise_level(problem.x).tolist(), strict=True):
            grey = image.shape[0] == 1
            noisy = (image[0] if grey else image).cpu().numpy()
            clean = denoise_nl_means(
                noisy, h=0.8 * sigma, sigma=sigma, channel_axis=None if grey else 0
            )
            cleaned.append(torch.as_tensor(clean).reshape(image.shape))
        return torch.stack(cleaned).to(problem.x)

    def read(self, file: Path, device: torch.device) -> Problem:
        """Read a noisy image of any size.

        Raises:
            InputFileError: it cannot be read, or is grey where colour is expected.
        """
        if not file.is_file():
            raise InputFileError(f"There is no file {file}.")
        return self._problem(read_image(file, self.question.shape[0])[None].to(device))

    def write(self, file: Path, problem: Problem, y: Tensor) -> None:
        """Write a clean image with 8 bits a channel.

        Raises:
            InputFileError: there are several images and one file.
            StorageError: writing failed.
        """
        if y.shape[0] != 1:
            raise InputFileError(
                f"{file} can hold one image and {y.shape[0]} were solved; solve one at a time, or "
                "write them to a file whose name ends in .npz."
            )
        write_image(file, y[0])

    def _problem(self, x: Tensor) -> Problem:
        return Problem(x, ImageSpace(*x.shape[1:]))


def noise_level(
    x: Float[Tensor, "problems channels height width"],
) -> Float[Tensor, " problems"]:
    """Estimate the standard deviation of Gaussian noise in images (Immerkaer, 1996).

    The difference of two Laplacians is blind to edges and to even brightness, and of noise it makes
    noise six times as large.
    """
    mask = torch.tensor([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]]).to(x)
    seen = functional.conv2d(x.flatten(0, 1)[:, None], mask[None, None])
    strength = seen.abs().flatten(1).mean(1).reshape(x.shape[:2]).mean(1)
    return strength * (math.sqrt(math.pi / 2) / 6)


def _noisy(y: Tensor, sigma: float | Between[float], generator: torch.Generator) -> Tensor:
    """Add noise to images `(B, ...)`, each at its own level."""
    levels = Between.of(sigma).draw(y.shape[0], generator, y.device) / _LEVELS
    noise = torch.empty_like(y).normal_(generator=generator)
    return y + noise * levels.reshape(-1, 1, 1, 1)
