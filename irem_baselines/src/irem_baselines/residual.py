"""A plain feedforward network for images that predicts what to take off (as DnCNN does)."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from irem_baselines.one_shot import OneShot
from irem_core import ImageSpace, Preset, Problem, SettingError, Space, checks


def photographs(question: Space, answer: Space) -> Preset:
    """Return this library's own settings for patches of photographs."""
    return Preset(
        source="this library",
        solver={},
        training={
            "iterations": 96_000,
            "batch_size": 8,
            "learning_rate": 1e-3,
            "schedule": "cosine",
        },
    )


class Residual(OneShot):
    """y = x - r(x), where r is a stack of 3 x 3 convolutions with ReLU (Zhang et al., 2017).

    Dilations rise and fall along the stack, so that it sees 16 pixels far, as irem's convolutional
    energy does; there is no batch normalisation.

    Args:
        question: space of x, an `ImageSpace`.
        answer: space of y, of the same shape.
        width: channels of the features.
        depth: number of layers.
        bias: whether the layers add constants; without, the network works alike at any contrast.

    Raises:
        SettingError: the spaces are not images of one shape, or a number is below 1.
    """

    presets: ClassVar = {"photographs": photographs}

    def __init__(
        self, question: Space, answer: Space, *, width: int = 32, depth: int = 7, bias: bool = True
    ) -> None:
        """Draw the kernels with He's initialisation; the residual begins as a constant."""
        super().__init__()
        checks.check(checks.count, "Residual", width=width, depth=depth)
        if not isinstance(question, ImageSpace) or question.shape != answer.shape:
            raise SettingError(
                f"Residual got question={question!r} and answer={answer!r}; expected two "
                "ImageSpaces of one shape."
            )
        self.question = question
        self.answer = answer
        widths = [question.channels, *[width] * (depth - 1), question.channels]
        layers: list[nn.Module] = []
        for layer in range(depth):
            reach = min(layer, depth - 1 - layer) + 1
            convolution = nn.Conv2d(
                widths[layer], widths[layer + 1], 3, padding=reach, dilation=reach, bias=bias
            )
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            layers += [convolution, nn.ReLU()]
        self.network = nn.Sequential(*layers[:-1])
        nn.init.zeros_(convolution.weight)

    def answers(self, problem: Problem) -> Float[Tensor, "problems channels height width"]:
        """Return the answers of images of any size.

        Raises:
            ShapeError: x is no batch of images with the channels of the question space.
            NonFiniteError: x holds NaN or infinity.
        """
        assert self.question is not None
        x: Tensor = problem.x
        self.question.sized(tuple(x.shape[1:])).check("x", x, problem.layout.count)
        return torch.sub(x, self.network(x))
