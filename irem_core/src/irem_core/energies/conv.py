"""A convolutional energy for images: how far the candidate is from what it should be."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from irem_core import checks
from irem_core.energy import EnergyFn
from irem_core.errors import SettingError
from irem_core.iterate import Iterate
from irem_core.problem import Problem
from irem_core.space import ImageSpace, Space


class ConvEnergy(EnergyFn):
    """E(x, y) = scale / 2 |y - x + r(x, y)|^2: the square of a residual that is zero at a solution.

    The correction r is a convolutional network. Its layers on x alone run once a solve; y enters
    behind them, so that a step costs little. No layer but the read-out of pixels sees further than
    y's neighbours, and x is seen through kernels whose dilation rises and falls, 1, 2, 3, 3, 2, 1.

    There is no bias anywhere, so the energy of (a x, a y) is a^2 that of (x, y): what is learned at
    one level of contrast and noise holds at any other (Mohan et al., ICLR 2020). Images may have
    any size. Candidates start at x rather than at random. The paper prints no energy for images.

    Args:
        question: space of x, an `ImageSpace`.
        answer: space of y, of the same shape.
        width: channels of the features.
        depth: number of layers on x.

    Raises:
        SettingError: the spaces are not images of one shape, or a number is out of range.
    """

    size_free: ClassVar[bool] = True

    def __init__(self, question: Space, answer: Space, *, width: int = 32, depth: int = 6) -> None:
        """Draw the kernels with He's initialisation; the correction begins small."""
        super().__init__()
        checks.check(checks.count, "ConvEnergy", width=width, depth=depth)
        if not isinstance(question, ImageSpace) or question.shape != answer.shape:
            raise SettingError(
                f"ConvEnergy got question={question!r} and answer={answer!r}; expected two "
                "ImageSpaces of one shape."
            )
        self.question = question
        self.answer = answer
        channels = question.channels
        self.encoder = nn.ModuleList(
            _convolution(
                channels if layer == 0 else width, width, min(layer, depth - 1 - layer) + 1
            )
            for layer in range(depth)
        )
        self.candidate = _convolution(channels, width)
        self.hidden = nn.Conv2d(width, width, 1, bias=False)
        self.correction = _convolution(width, channels)
        nn.init.zeros_(self.correction.weight)
        self.log_scale = nn.Parameter(torch.zeros(()))

    def encode(self, problem: Problem) -> tuple[Tensor, Tensor]:
        """Return x and its features, `(B, width, height, width)`."""
        first, *others = self.encoder
        # Pixel by pixel in memory, in which order convolutions on CPU take about half the time.
        features: Tensor = first(problem.x)
        for convolution in others:
            features = convolution(features.relu())
        return problem.x, features

    def energy(
        self,
        context: tuple[Tensor, Tensor],
        y: Float[Tensor, "problems channels height width"],
    ) -> Float[Tensor, " problems"]:
        """Return the energies `(B,)`, sums over pixels; the context is x and its features."""
        x, features = context
        hidden = self.hidden((self.candidate(y) + features).relu()).relu()
        residual = y - x + self.correction(hidden)
        energy: Tensor = self.log_scale.exp() / 2 * residual.square().flatten(1).sum(1)
        return energy

    def start(self, problem: Problem, generator: torch.Generator) -> Iterate:
        """Start at the question itself."""
        return Iterate(problem.x.detach().clone(), problem.layout)


def _convolution(inputs: int, outputs: int, dilation: int = 1) -> nn.Conv2d:
    made = nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=False)
    nn.init.kaiming_normal_(made.weight, nonlinearity="relu")
    return made
