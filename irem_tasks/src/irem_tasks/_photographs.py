"""Photographs: which files, how they are read, and patches cut from many of them at once."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from irem_core import InputFileError, SkippedFileWarning, StorageError

FORMATS = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
"""The endings of the image files that are read."""

# What scikit-image's wheel holds, without drawings, scanned pages and second views of a scene.
_TRAIN = (
    "brick.png",
    "chelsea.png",
    "clock_motion.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "retina.jpg",
    "rocket.jpg",
)
_TEST = ("astronaut.png", "camera.png", "coffee.png", "motorcycle_left.png")
_PLAIN = ("1", "L", "LA", "I", "I;16", "F", "RGB", "RGBA")
# How bright red, green and blue are (ITU-R BT.709).
_BRIGHTNESS = (0.2126, 0.7152, 0.0722)
# Of a folder's images, by name, every fifth is kept for testing.
_TEST_SHARE = 5

Image = Float[Tensor, "channels _ _"]


@attrs.frozen(eq=False)
class Photographs:
    """Images to train on and others to test on.

    Args:
        train: `(channels, height, width)` each, of brightness in [0, 1].
        test: likewise.
    """

    train: Sequence[Image]
    test: Sequence[Image]


def load_photographs(folder: str | None, channels: int, smallest: int) -> Photographs:
    """Read the images of a folder, or the photographs that come with scikit-image.

    Args:
        folder: where to look; subfolders are not. None for scikit-image's photographs.
        channels: 1 turns colours into brightness, 3 takes colour images alone.
        smallest: least height and width of a training image.

    Raises:
        InputFileError: there is no such folder, or it holds too few images that can be used; each
            one that cannot is named in a warning.
    """
    if folder is None:
        shipped = _shipped()
        return Photographs(
            _usable([shipped / name for name in _TRAIN], channels, smallest),
            _usable([shipped / name for name in _TEST], channels, 1),
        )
    path = Path(folder)
    if not path.is_dir():
        raise InputFileError(f"There is no folder {path} to read images from.")
    files = sorted(each for each in path.iterdir() if each.suffix.lower() in FORMATS)
    test = _usable(files[::_TEST_SHARE], channels, 1)
    rest = [each for index, each in enumerate(files) if index % _TEST_SHARE]
    train = _usable(rest, channels, smallest)
    if not train or not test:
        raise InputFileError(
            f"{path} has {len(files)} image files ({', '.join(FORMATS)}), of which {len(train)} "
            f"can be trained on and {len(test)} tested on; expected at least one of each. Training "
            f"images need {smallest} x {smallest} pixels or more."
        )
    return Photographs(train, test)


def _shipped() -> Path:
    try:
        import skimage
    except ImportError as error:
        raise InputFileError(
            "The default photographs come with scikit-image, which is not installed; get it with "
            "pip install 'irem-tasks[images]', or name a folder of images with --data."
        ) from error
    return Path(skimage.__file__).parent / "data"


def _usable(files: Sequence[Path], channels: int, smallest: int) -> list[Image]:
    images = []
    for file in files:
        try:
            image = read_image(file, channels)
            if min(image.shape[1:]) < smallest:
                raise InputFileError(
                    f"{file} has {image.shape[1]} x {image.shape[2]} pixels, fewer than a patch of "
                    f"{smallest} x {smallest}."
                )
        except InputFileError as error:
            warnings.warn(f"Skipped: {error}", SkippedFileWarning, stacklevel=2)
            continue
        images.append(image)
    return images


def read_image(file: Path, channels: int) -> Image:
    """Read one image as brightness in [0, 1]; an alpha channel is dropped.

    Raises:
        InputFileError: the file cannot be read, or is grey where colour is expected.
    """
    try:
        from PIL import Image as images
    except ImportError as error:
        raise InputFileError(
            f"{file} cannot be read without Pillow, which scikit-image brings; get them with pip "
            "install 'irem-tasks[images]'."
        ) from error
    try:
        with images.open(file) as opened:
            # A palette's numbers are no brightness, nor are those of other colour models.
            array = np.asarray(opened if opened.mode in _PLAIN else opened.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputFileError(f"{file} cannot be read as an image ({reason}).") from error
    # The largest number of the file's own kind is full brightness; fractions stay as they are.
    full = np.iinfo(array.dtype).max if array.dtype.kind in "iu" else 1
    array = (array / full).astype(np.float32)
    if array.ndim == 3 and array.shape[2] in (2, 4):
        array = array[:, :, :-1]
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or not array.size:
        raise InputFileError(
            f"{file} holds an array of shape {array.shape}; expected one grey or colour image."
        )
    if channels == 3 and array.ndim == 2:
        raise InputFileError(
            f"{file} is a grey image and a colour image is expected; use denoise(channels=1) for "
            "grey images."
        )
    image = torch.as_tensor(np.ascontiguousarray(array)).reshape(*array.shape[:2], -1)
    if channels == 1 and image.shape[2] == 3:
        image = image @ torch.tensor(_BRIGHTNESS)[:, None]
    return image.permute(2, 0, 1).contiguous()


def write_image(file: Path, image: Image) -> None:
    """Write an image with 8 bits a channel; brightness beyond [0, 1] is clipped.

    Raises:
        StorageError: writing failed.
    """
    from PIL import Image as images

    pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    made = images.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    try:
        made.save(file)
    except OSError as error:
        raise StorageError(f"{file} cannot be written ({error}).") from error


class Patches:
    """Training images as one long row of pixels, so that patches of many are cut at once.

    Args:
        images: of any sizes, with the same channels.
        device: where they will live.
    """

    def __init__(self, images: Sequence[Image], device: torch.device) -> None:
        """Put the pixels of all images end to end."""
        self.pixels = torch.cat([image.flatten(1) for image in images], 1).to(device)
        sizes = torch.tensor([image.shape[1:] for image in images], device=device)
        self.height, self.width = sizes.unbind(1)
        self.first = sizes.prod(1).cumsum(0) - sizes.prod(1)

    def draw(
        self, count: int, size: int, generator: torch.Generator
    ) -> Float[Tensor, "problems channels size size"]:
        """Cut squares from random images at random places, turned and mirrored at random."""
        device = self.pixels.device
        image = torch.randint(len(self.first), (count,), generator=generator, device=device)
        places = torch.rand((2, count), generator=generator, device=device)
        top = (places[0] * (self.height[image] - size + 1)).long()
        left = (places[1] * (self.width[image] - size + 1)).long()
        row, column = self._turned(count, size, generator)
        pixel = (top[:, None, None] + row) * self.width[image][:, None, None]
        pixel = pixel + left[:, None, None] + column + self.first[image][:, None, None]
        return self.pixels[:, pixel].transpose(0, 1)

    def _turned(
        self, count: int, size: int, generator: torch.Generator
    ) -> tuple[Int[Tensor, "problems size size"], Int[Tensor, "problems size size"]]:
        """Rows and columns of a square's pixels under one of its eight symmetries."""
        device = self.pixels.device
        along = torch.arange(size, device=device)
        row, column = torch.meshgrid(along, along, indexing="ij")
        flips = torch.rand((3, count, 1, 1), generator=generator, device=device) < 0.5
        row, column = (
            torch.where(flips[0], row, column),
            torch.where(flips[0], column, row),
        )
        return (
            torch.where(flips[1], size - 1 - row, row),
            torch.where(flips[2], size - 1 - column, column),
        )
