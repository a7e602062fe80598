"""A convolutional energy for images: how far the candidate is from what it should be."""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from irem_core import checks
from irem_core.energies.base import EnergyFn
from irem_core.errors import SettingError
from irem_core.problems.iterate import Iterate
from irem_core.problems.problem import Problem
from irem_core.problems.space import ImageSpace, Space

# Height and width of the blocks of pixels that convolutions see.
_BLOCK = 2

# Of each axis, at which gains are taken; kernels of 3 pixels have smooth responses.
_FREQUENCIES = 16


class ConvEnergy(EnergyFn):
    """E(x, y) = `scale / 2 |y - x + r(x, y)|^2`: a residual that is 0 at a solution, squared.

    The correction r is a convolutional network on blocks of 2 x 2 pixels, each block one pixel with
    four times the channels: at a quarter of the cost its kernels see twice as far (Zhang et al.,
    FFDNet, 2018). Its layers on x alone run once a solve; y enters behind them, so that a step
    costs little and sees y's neighbours alone. Kernels are not dilated, since patches to train on
    are small: a network whose reach is that of a patch learns how their edges look, and on whole
    images descent goes on past the answer.

    In y the correction contracts: answers that differ by d get corrections that differ by at most
    `contraction` d, since y is scaled down where the gains of the layers behind it would allow
    more. So there is one answer of zero energy, every descent with small enough steps leads to it
    at a steady rate, and a loss on the last step alone trains it (compare Fung et al., AAAI 2022).

    There is no bias anywhere, so the energy of (a x, a y) is a^2 that of (x, y): what is learned at
    one level of contrast and noise holds at any other (Mohan et al., ICLR 2020). Images may have
    any size. Candidates start at x rather than at random. The paper prints no energy for images.

    Args:
        question: space of x, an `ImageSpace`.
        answer: space of y, of the same shape.
        width: channels of the features of x.
        inner: channels of the layers that y passes.
        depth: number of layers on x.
        contraction: above 0 and below 1.

    Raises:
        SettingError: the spaces are not images of one shape, or a number is out of range.
    """

    size_free = True

    def __init__(
        self,
        question: Space,
        answer: Space,
        *,
        width: int = 40,
        inner: int = 32,
        depth: int = 6,
        contraction: float = 0.9,
    ) -> None:
        """Draw the kernels with He's initialisation; the correction begins as zero."""
        super().__init__()
        checks.check(checks.count, "ConvEnergy", width=width, inner=inner, depth=depth)
        checks.check(checks.proper_fraction, "ConvEnergy", contraction=contraction)
        if not isinstance(question, ImageSpace) or question.shape != answer.shape:
            raise SettingError(
                f"ConvEnergy got question={question!r} and answer={answer!r}; expected two "
                "ImageSpaces of one shape."
            )
        self.question = question
        self.answer = answer
        self.contraction = contraction
        channels = question.channels * _BLOCK**2
        widths = [channels, *[width] * (depth - 1), inner]
        self.encoder = nn.ModuleList(_convolution(*pair) for pair in itertools.pairwise(widths))
        self.candidate = _convolution(channels, inner)
        self.hidden = nn.Conv2d(inner, inner, 1, bias=False)
        self.correction = _convolution(inner, channels)
        nn.init.zeros_(self.correction.weight)
        self.log_scale = nn.Parameter(torch.zeros(()))

    def encode(self, problem: Problem) -> tuple[Tensor, Tensor, Tensor]:
        """Return x, the features of its blocks `(B, inner, blocks, blocks)`, and y's share.

        The share `(B, 1, 1, 1)` is how much of y the correction may see so that it contracts.
        """
        first, *others = self.encoder
        features: Tensor = first(_blocks(problem.x))
        for convolution in others:
            features = convolution(features.relu())
        share = self._share().expand(problem.layout.count, 1, 1, 1)
        return problem.x, features, share

    def _share(self) -> Float[Tensor, ""]:
        layers = (self.candidate, self.hidden, self.correction)
        reach = torch.stack([_gain(layer.weight) for layer in layers]).prod()
        return self.contraction / reach.clamp(min=self.contraction)

    def energy(
        self,
        context: tuple[Tensor, Tensor, Tensor],
        y: Float[Tensor, "problems channels height width"],
    ) -> Float[Tensor, " problems"]:
        """Return the energies `(B,)`, sums over pixels; the context is what `encode` returned."""
        x, features, share = context
        hidden = (self.candidate(_blocks(share * y)) + features).relu()
        correction = functional.pixel_shuffle(self.correction(self.hidden(hidden).relu()), _BLOCK)
        height, width = y.shape[2:]
        residual = y - x + correction[:, :, :height, :width]
        energy: Tensor = self.log_scale.exp() / 2 * residual.square().flatten(1).sum(1)
        return energy

    def start(self, problem: Problem, generator: torch.Generator) -> Iterate:
        """Start at the question itself."""
        return Iterate(problem.x.detach().clone(), problem.layout)


def _blocks(
    image: Float[Tensor, "problems channels height width"],
) -> Float[Tensor, "problems more_channels blocks_down blocks_across"]:
    """Fold an image into blocks; where its size is odd, a row or column of zeros completes it."""
    height, width = image.shape[2:]
    even = functional.pad(image, (0, -width % _BLOCK, 0, -height % _BLOCK))
    return functional.pixel_unshuffle(even, _BLOCK)


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    made = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(made.weight, nonlinearity="relu")
    return made


def _gain(kernel: Float[Tensor, "outputs inputs height width"]) -> Float[Tensor, ""]:
    """Return how much a convolution can lengthen an image: its largest gain at any frequency."""
    height, width = (_FREQUENCIES if each > 1 else 1 for each in kernel.shape[2:])
    response = torch.fft.rfft2(kernel, s=(height, width))
    gains: Tensor = torch.linalg.matrix_norm(response.movedim((0, 1), (2, 3)), ord=2)
    return gains.max()
