"""Tasks with several right answers: what is drawn holds, and the nearest is among all of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from irem_core import (
    IREM,
    EnergyFn,
    GradientDescent,
    Problem,
    SettingError,
    Task,
    VectorSpace,
    evaluate,
    load_task,
)
from irem_tasks import InverseKinematics, Roots


def drawn(task: Task, count: int = 200, difficulty: str = "same") -> tuple[Problem, Tensor]:
    return task.sample(count, difficulty, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("degree", [2, 3, 5])
@pytest.mark.parametrize("difficulty", ["same", "harder"])
def test_answers_are_roots_of_the_polynomial(degree: int, difficulty: str) -> None:
    task = Roots(degree)
    problem, y = drawn(task, 50, difficulty)
    assert bool(task.verify(problem, y).all())
    for x, root, all_roots in zip(problem.x, y, task.roots(problem), strict=True):
        known = np.sort(np.roots([1.0, *x.double().flip(0).tolist()]).real)
        np.testing.assert_allclose(all_roots.sort().values, known, atol=2e-3)
        assert np.abs(known - float(root)).min() < 2e-3
    away = torch.linspace(-2, 2, 50)[:, None]
    found = task.nearest(problem, away)
    gaps = (task.roots(problem) - away).abs()
    torch.testing.assert_close((found - away).abs()[:, 0].double(), gaps.min(1).values)


def test_every_root_is_drawn_as_often() -> None:
    task = Roots(3)
    problem, y = drawn(task, 3000)
    place = (task.roots(problem).sort(1).values - y).abs().argmin(1)
    shares = torch.bincount(place, minlength=3) / 3000
    torch.testing.assert_close(shares, torch.full((3,), 1 / 3), atol=0.04, rtol=0)


def test_what_is_beside_a_root_does_not_hold() -> None:
    problem = Problem(torch.tensor([[-0.25, 0.0]]), VectorSpace(1))  # y^2 - 1/4
    task = Roots(2)
    for y, holds in ((0.5, True), (-0.5, True), (0.5004, True), (0.502, False), (0.0, False)):
        assert bool(task.verify(problem, torch.tensor([[y]]))) == holds


@pytest.mark.parametrize("links", [2, 3, 5])
@pytest.mark.parametrize("difficulty", ["same", "harder"])
def test_the_hand_is_where_it_should_be(links: int, difficulty: str) -> None:
    task = InverseKinematics(links)
    problem, y = drawn(task, 100, difficulty)
    for point, angles in zip(problem.x, y, strict=True):
        # Walked along, link by link.
        at, heading = np.zeros(2), 0.0
        for angle in angles.tolist():
            heading += math.pi * angle
            at += np.array([math.cos(heading), math.sin(heading)]) / links
        np.testing.assert_allclose(point, at, atol=1e-6)
    assert bool(task.verify(problem, y).all())
    near = task.nearest(problem, y + 0.03 * torch.randn(y.shape, generator=torch.Generator()))
    assert bool(task.verify(problem, near).all())
    assert float((near - y).abs().max()) < 0.5


def test_of_two_links_the_nearer_answer_is_given() -> None:
    task = InverseKinematics(2)
    problem, y = drawn(task)
    # The elbow on the other side: the first link turns by the bend, and the bend changes its sign.
    other = torch.stack([y[:, 0] + y[:, 1], -y[:, 1]], 1)
    assert bool(task.verify(problem, other).all())
    draws = torch.Generator().manual_seed(1)
    away = torch.empty(200, 2).uniform_(-1, 1, generator=draws)
    found = task.nearest(problem, away)
    assert bool(task.verify(problem, found).all())
    turned = [each + 2 * ((away - each) / 2).round() for each in (y, other)]
    gaps = torch.stack([(each - away).square().sum(1) for each in turned])
    torch.testing.assert_close(
        (found - away).square().sum(1), gaps.min(0).values, atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("text", ["roots(degree=1)", "inverse_kinematics(links=1.5)"])
def test_settings_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(SettingError, match="at least 2"):
        load_task(text)


class Squared(EnergyFn):
    """The square of the polynomial, whose minima are all roots, and a weight that turns it."""

    def __init__(self) -> None:
        super().__init__()
        self.bend = torch.nn.Parameter(torch.tensor(0.0))

    def energy(self, context: Tensor, y: Tensor) -> Tensor:
        value = y[:, 0].square() + context[:, 1] * y[:, 0] + context[:, 0]
        return value.square() + self.bend * y[:, 0]


def test_training_and_evaluation_compare_with_the_nearest_answer() -> None:
    task = Roots(2)
    energy = Squared()
    energy.answer = task.answer
    solver = IREM(energy, steps=300, descent=GradientDescent(step_size=0.1), replay=0)
    problem, target = drawn(task, 64)
    assert problem.nearest is not None
    # Half of the descents end at the root that was not drawn, which is right as well.
    loss = solver.loss(problem, target, torch.Generator().manual_seed(0))
    assert loss.item() < 0.01
    apart = solver.solve(problem.x, max_steps=300).y - target
    assert float(apart.square().mean()) > 0.05
    scores = evaluate(solver, task, problems=64, max_steps=300)
    assert scores.mse < 0.01
    assert scores.measures["solved"] > 0.3
    assert scores.errors.mean() < 0.01
