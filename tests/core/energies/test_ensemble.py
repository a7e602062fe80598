"""The energy around the mean answer of several networks."""

from __future__ import annotations

import math

import pytest
import torch

from irem_core import (
    IREM,
    EnsembleEnergy,
    GradientDescent,
    Problem,
    Regression,
    VectorSpace,
    minimize,
)

X, Y = VectorSpace(3), VectorSpace(2)
SETTINGS = {
    "steps": 0,
    "replay": 0,
    "objective": Regression(),
    "descent": GradientDescent(step_size=1.0),
}


def energy(answer: VectorSpace = Y, **settings: int) -> EnsembleEnergy:
    torch.manual_seed(0)
    return EnsembleEnergy(X, answer, **{"members": 3, "width": 8, "depth": 2, **settings})


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def answers(learned: EnsembleEnergy, x: torch.Tensor) -> torch.Tensor:
    """Ask one network after the other, as torch's own layers do it."""
    found = []
    for member in range(len(learned.weights[0])):
        features = x
        for place, (weight, bias) in enumerate(zip(learned.weights, learned.biases, strict=True)):
            features = features @ weight[member] + bias[member]
            if place + 1 < len(learned.weights):
                features = torch.nn.functional.silu(features)
        found.append(features)
    return torch.stack(found)


def test_the_value_is_half_the_square_expected_of_a_candidate() -> None:
    learned = energy()
    learned.judgement.copy_(torch.tensor([0.5, 0.8]))
    x, y = draw(4, 3), draw(4, 2, seed=1)
    each = answers(learned, x)
    expected = math.exp(0.5) * each.var(0, correction=0).mean(1) ** 0.8
    wanted = (y - each.mean(0)).square().sum(1) / 2 + expected * 2 / 2
    torch.testing.assert_close(learned(x, y), wanted)


def test_solving_begins_and_ends_at_the_mean_answer_and_so_does_one_step_from_anywhere() -> None:
    learned, x = energy(), draw(4, 3)
    mean = answers(learned, x).mean(0)
    solver = IREM(learned, **SETTINGS)
    found = solver.solve(x)
    torch.testing.assert_close(found.y, mean)
    once = minimize(learned, x, start=draw(4, 2), descent=solver.descent, max_steps=1)
    torch.testing.assert_close(once.y, mean)


def test_each_network_learns_by_itself() -> None:
    learned, problem, target = energy(), Problem(draw(5, 3), Y), draw(5, 2, seed=2)
    loss = IREM(learned, **SETTINGS).loss(problem, target, torch.Generator())
    each = (answers(learned, problem.x) - target).square().mean((1, 2))
    torch.testing.assert_close(loss, each.mean())


def test_an_answer_beyond_the_bound_that_is_right_is_no_error() -> None:
    bounded = VectorSpace(2, low=-0.1, high=(None, 0.2))
    learned, x = energy(bounded), draw(6, 3)
    target = bounded.project(10 * draw(6, 2, seed=2))
    off = answers(learned, x) - target
    for row in range(6):
        for entry in range(2):
            if target[row, entry] == -0.1:
                off[:, row, entry].clamp_(min=0)
            if entry == 1 and target[row, entry] == 0.2:
                off[:, row, entry].clamp_(max=0)
    problem = Problem(x, bounded)
    loss = IREM(learned, **SETTINGS).loss(problem, target, torch.Generator())
    torch.testing.assert_close(loss, off.square().mean())
    within = bounded.project(answers(learned, x))
    torch.testing.assert_close(learned.encode(problem).mean, within.mean(0))


def test_calibrated_it_expects_the_errors_that_there_are() -> None:
    learned, x = energy(), 10 * draw(4000, 3) * draw(4000, 1, seed=5)
    each = answers(learned, x)
    variance = each.var(0, correction=0).mean(1)
    expected = math.exp(0.7) * variance**1.3
    noise = draw(4000, 2, seed=3) * expected[:, None].sqrt()
    learned.calibrate(Problem(x, Y), each.mean(0) + noise)
    a, b = learned.judgement.tolist()
    assert b == pytest.approx(1.3, abs=0.1)
    told = math.exp(a) * variance**b
    assert float((told / expected).log().abs().max()) < 0.3
    # At the minimum 2 E / n is just that.
    torch.testing.assert_close(learned(x, each.mean(0)), told)


def test_one_network_disagrees_with_nobody_and_expects_one_error_of_all() -> None:
    learned, x = energy(members=1), draw(50, 3)
    target = answers(learned, x)[0] + draw(50, 2, seed=4)
    learned.calibrate(Problem(x, Y), target)
    error = (answers(learned, x)[0] - target).square().mean()
    torch.testing.assert_close(learned(x, answers(learned, x)[0]), error.expand(50))
