"""The iterative feedforward baseline (Tables 7 and 11): its noise schedule, loss and steps."""

import pytest
import torch
from torch.nn import functional

from hand_gine import all_pairs, carried, complete, decode, gine, zeros
from irem_baselines import IterativeFeedforward
from irem_core import EdgeSpace, MatrixSpace, Problem, VectorSpace

# Of six levels: what is left of the answer's variance.
KEPT = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)


def iterative(question, answer, **settings):
    torch.manual_seed(0)
    return IterativeFeedforward(question, answer, **{"width": 6} | settings).double()


def level_of(noisy, cleaner, target):
    """Return the level and noise that a training pair of one problem comes from."""
    fitting = []
    for level in range(1, 6):
        noise = (noisy - KEPT[level] ** 0.5 * target) / (1 - KEPT[level]) ** 0.5
        expected = KEPT[level - 1] ** 0.5 * target + (1 - KEPT[level - 1]) ** 0.5 * noise
        if torch.allclose(cleaner, expected, rtol=1e-9, atol=1e-9):
            fitting.append((level, noise))
    assert len(fitting) == 1
    return fitting[0]


@pytest.mark.parametrize("edges", [False, True])
def test_training_pairs_are_neighbouring_levels_with_one_noise(edges):
    if edges:
        solver = iterative(EdgeSpace(), EdgeSpace())
        problem, target = complete([2, 3, 4, 1] * 100)
    else:
        solver = iterative(VectorSpace(3), MatrixSpace(2, 3))
        problem, target = Problem(torch.ones(400, 3).double()), torch.ones(400, 2, 3).double()
    noisy, cleaner = solver.pairs(problem, target, torch.Generator().manual_seed(0))
    owner = problem.layout.owner
    levels, noises = [], []
    for index in range(400):
        rows = owner == index if edges else torch.tensor([index])
        level, noise = level_of(noisy[rows], cleaner[rows], target[rows])
        levels.append(level)
        noises.append(noise.flatten())

    counts = torch.bincount(torch.tensor(levels), minlength=6)
    # Uniform on five levels, to four standard deviations.
    assert counts[0] == 0
    assert (counts[1:] - 80).abs().max() < 4 * (400 * 0.2 * 0.8) ** 0.5
    noise = torch.cat(noises)
    assert abs(noise.mean()) < 4 / len(noise) ** 0.5
    assert abs(noise.square().mean() - 1) < 4 * (2 / len(noise)) ** 0.5


def test_two_levels_are_noise_and_answer():
    solver = iterative(VectorSpace(2), VectorSpace(2), levels=2)
    target = torch.full((3, 2), 5.0).double()
    noisy, cleaner = solver.pairs(Problem(target), target, torch.Generator().manual_seed(0))

    assert torch.equal(cleaner, target)
    assert noisy.abs().max() < 5


def test_the_loss_compares_an_answer_with_the_next_level_of_the_same_noise():
    solver = iterative(VectorSpace(3), VectorSpace(2))
    x, target = torch.ones(4, 3).double(), torch.full((4, 2), 2.0).double()
    noisy, cleaner = solver.pairs(Problem(x), target, torch.Generator().manual_seed(5))
    step = solver.solve(x, max_steps=1, start=noisy).y
    expected = (step - cleaner).square().sum() / 8

    loss = solver.loss(Problem(x), target, torch.Generator().manual_seed(5))
    torch.testing.assert_close(loss.detach(), expected)


@pytest.mark.parametrize(
    ("objective", "moments"), [("denoise", (1.0, 3.0)), ("unroll", (1 / 3, 1 / 5))]
)
def test_starts_have_the_moments_of_their_distribution(objective, moments):
    solver = iterative(VectorSpace(3), VectorSpace(40), trained_by=objective)
    start = solver.solve(torch.ones(500, 3).double(), max_steps=0).y
    for power, moment in zip((2, 4), moments, strict=True):
        assert float(start.pow(power).mean()) == pytest.approx(moment, rel=0.05)
    assert (float(start.abs().max()) <= 1) == (objective == "unroll")


@pytest.mark.parametrize("levels", [2, 4])
def test_unrolled_the_loss_is_that_of_the_last_answer_from_noise(levels):
    solver = iterative(VectorSpace(3), VectorSpace(2), levels=levels, trained_by="unroll")
    x, target = torch.ones(4, 3).double(), torch.full((4, 2), 2.0).double()
    last = solver.solve(x, max_steps=levels - 1, generator=torch.Generator().manual_seed(5)).y
    expected = (last - target).square().sum() / 8

    def loss():
        return solver.loss(Problem(x), target, torch.Generator().manual_seed(5))

    torch.testing.assert_close(loss().detach(), expected)
    # All steps are differentiated, not the last alone.
    weight = solver.network.head.weight
    (slope,) = torch.autograd.grad(loss(), weight)
    with torch.no_grad():
        weight[0, 0] += 1e-6
        above = loss()
        weight[0, 0] -= 2e-6
        below = loss()
    assert float(slope[0, 0]) == pytest.approx(float(above - below) / 2e-6, rel=1e-5, abs=1e-9)


def test_every_step_adds_what_the_network_says():
    solver = iterative(MatrixSpace(1, 3), VectorSpace(2), depth=2)
    weights = list(solver.parameters())
    x, y = torch.ones(4, 1, 3).double(), torch.full((4, 2), 0.5).double()

    start = y
    for steps in range(1, 4):
        features = torch.cat([y, x.flatten(1)], 1)
        for layer in range(2):
            features = functional.linear(features, *weights[2 * layer : 2 * layer + 2]).clamp(min=0)
        y = y + functional.linear(features, *weights[4:])
        torch.testing.assert_close(solver.solve(x, max_steps=steps, start=start).y, y)


def test_on_edges_candidates_travel_beside_questions():
    solver = iterative(EdgeSpace(), EdgeSpace())
    network, pairs = solver.network, all_pairs(3)
    problem, y = complete([3])

    start = y
    for steps in range(1, 3):
        messages = carried(network, pairs, problem.x.edge_attr, None, y)
        features = zeros(3)
        for place in range(3):
            features = gine(network, place, features, messages)
        y = y + decode(network, features, pairs)
        torch.testing.assert_close(solver.solve(problem, max_steps=steps, start=start).y, y)


def test_solving_starts_from_the_last_level_which_is_noise():
    solver = iterative(VectorSpace(3), VectorSpace(50))
    start = solver.solve(torch.zeros(400, 3).double(), max_steps=0).y

    assert start.mean() == pytest.approx(0, abs=4 / 20_000**0.5)
    assert start.std() == pytest.approx(1, abs=4 / 40_000**0.5)
    # Normal, not uniform: about five in a hundred lie beyond two standard deviations.
    assert float((start.abs() > 2).double().mean()) == pytest.approx(0.0455, abs=0.006)
