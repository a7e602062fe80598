"""The convolutional energy: its formula, its homogeneity, and images of any size."""

import math

import einops
import pytest
import torch
from torch.nn import functional

from irem_core import (
    IREM,
    ConvEnergy,
    FixedSteps,
    GradientDescent,
    ImageSpace,
    Iterate,
    MatrixSpace,
    Problem,
    SettingError,
    ShapeError,
    differentiate,
    minimize,
)

SPACE = ImageSpace(2, 7, 9)


LAYERS_OF_Y = ("candidate", "hidden", "correction")


def energy(depth=3, contraction=0.9):
    torch.manual_seed(0)
    made = ConvEnergy(SPACE, SPACE, width=5, inner=4, depth=depth, contraction=contraction).double()
    for weight in made.parameters():
        weight.data.normal_(std=0.3)
    return made


def operator_norm(kernel, size=16):
    """Return the largest singular value of a convolution on a torus, written out as a matrix."""
    every = torch.eye(kernel.shape[1] * size**2, dtype=kernel.dtype)
    padding = [kernel.shape[-1] // 2] * 4
    padded = functional.pad(every.unflatten(1, (-1, size, size)), padding, mode="circular")
    matrix = functional.conv2d(padded, kernel).flatten(1)
    return float(torch.linalg.matrix_norm(matrix.detach(), ord=2))


def blocks(image):
    """Return an image's blocks of 2 x 2 pixels as pixels with four times the channels."""
    rows, columns = image.shape[2] % 2, image.shape[3] % 2
    image = functional.pad(image, (0, columns, 0, rows))
    return einops.rearrange(image, "b c (h i) (w j) -> b (c i j) h w", i=2, j=2)


def pixels(blocks, image):
    """Return the pixels of blocks, as many as an image has."""
    whole = einops.rearrange(blocks, "b (c i j) h w -> b c (h i) (w j)", i=2, j=2)
    return whole[:, :, : image.shape[2], : image.shape[3]]


def images(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_the_energy_is_the_squared_residual_of_its_formula():
    made, x, y = energy(), images(3, 2, 7, 9), images(3, 2, 7, 9, seed=1)
    weights = dict(made.named_parameters())
    features = blocks(x)
    for layer in range(3):
        features = functional.conv2d(
            features if layer == 0 else features.clamp(min=0),
            weights[f"encoder.{layer}.weight"],
            padding=1,
        )
    # What y may count for: the gain of its three layers, at most the contraction.
    gains = [operator_norm(weights[f"{layer}.weight"]) for layer in LAYERS_OF_Y]
    share = min(1.0, 0.9 / math.prod(gains))
    seen = blocks(share * y)
    hidden = functional.conv2d(seen, weights["candidate.weight"], padding=1) + features
    hidden = functional.conv2d(hidden.clamp(min=0), weights["hidden.weight"]).clamp(min=0)
    correction = functional.conv2d(hidden, weights["correction.weight"], padding=1)
    residual = y - x + pixels(correction, y)
    expected = weights["log_scale"].exp() * (residual**2).sum((1, 2, 3)) / 2

    torch.testing.assert_close(made(Problem(x, SPACE), y), expected)


def correction(made, x, y):
    """Return r(x, y) by the energy's own layers."""
    x, features, share = made.encode(Problem(x, SPACE))
    hidden = made.hidden((made.candidate(blocks(share * y)) + features).relu()).relu()
    return pixels(made.correction(hidden), y)


@pytest.mark.parametrize("contraction", [0.3, 0.9])
@pytest.mark.parametrize("strength", [0.1, 1.0, 10.0])
def test_the_correction_contracts_in_y_however_large_the_weights(contraction, strength):
    made = energy(contraction=contraction)
    for weight in made.parameters():
        weight.data.mul_(strength)
    x, y, apart = (images(3, 2, 7, 9, seed=seed) for seed in range(3))
    for _ in range(30):
        # Towards the neighbour whose correction differs most.
        apart = (0.1 * apart / apart.norm()).requires_grad_()
        stretch = (correction(made, x, y + apart) - correction(made, x, y)).norm() / apart.norm()
        assert stretch <= 1.02 * contraction
        (apart,) = torch.autograd.grad(stretch, apart)
    # What is allowed is put to use where the weights ask for it.
    assert stretch > (0.1 * contraction if strength == 10 else 0)


def test_every_start_descends_to_the_one_answer_of_zero_energy():
    made, x = energy(contraction=0.5), images(2, 2, 7, 9)
    answers = [
        minimize(
            made,
            x,
            start=100 * images(2, 2, 7, 9, seed=seed),
            descent=GradientDescent(step_size=0.7),
            halting=FixedSteps(steps=400),
            max_steps=400,
        )
        for seed in (1, 2, 3)
    ]
    for each in answers:
        assert (each.energy < 1e-18).all()
        torch.testing.assert_close(each.y, answers[0].y, rtol=0, atol=1e-8)


def test_a_solution_is_where_the_residual_vanishes():
    made, x = energy(), images(2, 2, 7, 9)
    torch.nn.init.zeros_(made.correction.weight)

    assert made(Problem(x, SPACE), x).tolist() == [0, 0]
    assert (made(Problem(x, SPACE), x + 0.1) > 0).all()


@pytest.mark.parametrize("factor", [0.1, 3.0])
def test_scaling_both_images_scales_the_energy_by_the_square(factor):
    made, x, y = energy(), images(3, 2, 7, 9), images(3, 2, 7, 9, seed=1)
    scaled = made(Problem(factor * x, SPACE), factor * y)

    torch.testing.assert_close(scaled, factor**2 * made(Problem(x, SPACE), y))
    context = made.encode(Problem(x, SPACE))
    slope = differentiate(made, context, Iterate(y, Problem(x).layout)).slope.y
    context = made.encode(Problem(factor * x, SPACE))
    steeper = differentiate(made, context, Iterate(factor * y, Problem(x).layout)).slope.y
    torch.testing.assert_close(steeper, factor * slope)


def test_images_of_any_size_are_solved_from_themselves():
    made, x = energy(), images(2, 2, 12, 5)
    solution = minimize(made, x, descent=GradientDescent(step_size=0.01), max_steps=0)

    assert torch.equal(solution.y, x)
    problem = made.problem(x)
    assert problem.answer == ImageSpace(2, 12, 5)
    solution = IREM(made, descent=GradientDescent(step_size=0.01)).solve(x, max_steps=3)
    assert solution.y.shape == x.shape
    assert (solution.energy < made(problem, x)).all()


@pytest.mark.parametrize("shape", [(2, 3, 7, 9), (3, 7, 9), (2, 1, 7, 9)])
def test_other_channels_are_refused(shape):
    with pytest.raises(ShapeError, match="whose height and width alone may differ"):
        minimize(energy(), images(*shape), descent=GradientDescent())


@pytest.mark.parametrize(
    "spaces",
    [
        (MatrixSpace(4, 4), MatrixSpace(4, 4)),
        (ImageSpace(1, 4, 4), ImageSpace(3, 4, 4)),
        (ImageSpace(1, 4, 4), ImageSpace(1, 8, 8)),
    ],
    ids=str,
)
def test_other_spaces_are_refused(spaces):
    with pytest.raises(SettingError, match="two ImageSpaces of one shape"):
        ConvEnergy(*spaces)


def test_a_space_of_images_resizes_and_keeps_its_bounds():
    space = ImageSpace(3, 4, 5, low=0.0, high=1.0)

    assert space.sized((3, 8, 9)) == ImageSpace(3, 8, 9, low=0.0, high=1.0)
    assert MatrixSpace(2, 3, low=-1.0).sized((5, 6)) == MatrixSpace(5, 6, low=-1.0)
    with pytest.raises(ShapeError, match="height and width alone"):
        space.sized((1, 8, 9))
