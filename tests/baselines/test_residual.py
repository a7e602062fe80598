"""The residual network for images: its formula, and what it takes."""

import pytest
import torch
from torch.nn import functional

from irem_baselines import Residual
from irem_core import ImageSpace, MatrixSpace, NonFiniteError, Problem, SettingError, ShapeError

SPACE = ImageSpace(1, 6, 8)


def network(**settings):
    torch.manual_seed(0)
    made = Residual(SPACE, SPACE, width=4, depth=3, **settings).double()
    for weight in made.parameters():
        weight.data.normal_(std=0.4)
    return made


def images(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_answer_is_the_image_less_what_the_layers_predict():
    made, x = network(), images(2, 1, 6, 8)
    weights, features = list(made.parameters()), x
    for layer, dilation in enumerate((1, 2, 1)):
        weight, bias = weights[2 * layer : 2 * layer + 2]
        features = features if layer == 0 else features.clamp(min=0)
        features = functional.conv2d(features, weight, bias, padding=dilation, dilation=dilation)

    solution = made.solve(x)
    torch.testing.assert_close(solution.y, x - features)
    target = images(2, 1, 6, 8) / 2
    expected = (x - features - target).square().mean()
    torch.testing.assert_close(made.loss(Problem(x), target, torch.Generator()), expected)


def test_without_bias_contrast_does_not_matter():
    made, x = network(bias=False), images(2, 1, 6, 8)

    assert all(weight.ndim == 4 for weight in made.parameters())
    torch.testing.assert_close(made.solve(3 * x).y, 3 * made.solve(x).y)


def test_an_untrained_network_without_bias_leaves_images_as_they_are():
    made, x = Residual(SPACE, SPACE, bias=False).double(), images(1, 1, 9, 11)

    assert torch.equal(made.solve(x).y, x)


def test_what_it_cannot_take_is_refused():
    with pytest.raises(ShapeError, match="height and width alone"):
        network().solve(images(2, 3, 6, 8))
    with pytest.raises(NonFiniteError, match="x holds NaN"):
        network().solve(images(2, 1, 6, 8) / 0)
    with pytest.raises(SettingError, match="two ImageSpaces of one shape"):
        Residual(MatrixSpace(4, 4), MatrixSpace(4, 4))
    with pytest.raises(SettingError, match="depth=0; expected a whole number"):
        Residual(SPACE, SPACE, depth=0)
