"""The energy that estimates how far a candidate is from the answer."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch

from irem_core import (
    IREM,
    DistanceEnergy,
    EnergyPlateau,
    GradientDescent,
    Iterate,
    Problem,
    SettingError,
    VectorSpace,
    evaluate,
    fit_pairs,
    minimize,
)

X, Y = VectorSpace(3), VectorSpace(2)


def energy(**settings: float) -> DistanceEnergy:
    torch.manual_seed(0)
    return DistanceEnergy(X, Y, width=8, depth=2, **settings)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_value_is_half_the_square_of_the_residual() -> None:
    learned = energy(further=3)
    with torch.no_grad():
        learned.straight.add_(0.1 * draw(5, 2, seed=3))
    x, y = draw(4, 3), draw(4, 2, seed=1)
    silu = torch.nn.functional.silu
    hidden = silu(y @ learned.candidate_weight.T + x @ learned.question_weight.T + learned.bias)
    hidden = silu(learned.hidden[0](hidden))
    residual = hidden @ learned.head.weight.T + learned.head.bias + y @ learned.straight.T
    torch.testing.assert_close(learned(x, y), residual.square().sum(1) / 2)


def test_it_begins_as_the_distance_to_a_guess() -> None:
    """Where the layers say nothing the residual is y, so that one step of size 1 leads to 0."""
    learned = energy()
    with torch.no_grad():
        learned.head.weight.zero_()
        learned.head.bias.zero_()
    y = draw(4, 2)
    torch.testing.assert_close(learned(draw(4, 3), y), y.square().sum(1) / 2)
    solution = minimize(
        learned, draw(4, 3), start=y, descent=GradientDescent(step_size=1.0), max_steps=1
    )
    torch.testing.assert_close(solution.y, torch.zeros(4, 2))


def test_the_second_loss_is_least_where_the_energy_is_the_error() -> None:
    learned = energy(further=0, judged=0.5)
    problem, y, target = Problem(draw(5, 3), Y), draw(5, 2), draw(5, 2, seed=2)
    iterate = Iterate(y, problem.layout)
    error = (y - target).square().mean(1)
    expected = learned(problem.x, y) * 2 / 2 + 1e-4
    wanted = 0.5 * ((error + 1e-4) / expected + expected.log()).mean()
    loss = learned.calibration(problem, iterate, target)
    torch.testing.assert_close(loss, wanted)
    # With the layers silent the energy is half the square of y, so the answer 0 makes it exact.
    with torch.no_grad():
        learned.head.weight.zero_()
        learned.head.bias.zero_()
    exact = learned.calibration(problem, iterate, torch.zeros(5, 2))
    slopes = torch.autograd.grad(exact, learned.straight)[0]
    torch.testing.assert_close(slopes, torch.zeros(2, 2), atol=1e-6, rtol=0)
    for scale in (0.8, 1.2):
        off = learned.calibration(problem, iterate, torch.zeros(5, 2) + scale * y)
        assert off != exact
    assert energy(judged=0).calibration(problem, iterate, target) is None


def test_training_adds_it_to_the_error_after_descent() -> None:
    both, alone = (
        IREM(energy(judged=weight), steps=2, descent=GradientDescent(step_size=1.0), replay=0)
        for weight in (0.3, 0.0)
    )
    problem, target = Problem(draw(6, 3), Y), draw(6, 2, seed=2)
    generator = torch.Generator().manual_seed(4)
    start = both.energy.start(problem, generator)
    last = minimize(
        both.energy, problem, start=start.y, descent=both.descent, max_steps=2,
        halting=EnergyPlateau(tolerance=0.0, patience=9),
    ).last  # fmt: skip
    second = both.energy.calibration(problem, attrs.evolve(start, y=last), target)
    losses = [
        solver.loss(problem, target, torch.Generator().manual_seed(4)) for solver in (both, alone)
    ]
    assert second is not None
    torch.testing.assert_close(losses[0] - losses[1], second)
    losses[0].backward()
    assert both.energy.straight.grad is not None


def test_energies_tell_questions_whose_answers_are_uncertain() -> None:
    noise = np.random.default_rng(0)
    x = noise.uniform(-1, 1, size=(1500, 2))
    y = np.sin(3 * x[:, :1]) + np.where(x[:, 1:] > 0, 0.5, 0.02) * noise.normal(size=(1500, 1))
    ratios = []
    for weight in (0.3, 0.0):
        chosen = f"distance(width=32, depth=2, judged={weight})"
        settings = {"iterations": 150, "batch_size": 64, "learning_rate": 1e-2}
        done = fit_pairs(x, y, energy=chosen, held_out=0.3, **settings)
        scores = evaluate(done.solver, done.task, max_steps=10)
        assert scores.energies is not None
        uncertain = torch.from_numpy(x[done.task.held, 1] > 0)
        ratios.append(
            float(scores.energies[uncertain].median() / scores.energies[~uncertain].median())
        )
    assert ratios[0] > 4
    assert ratios[0] > 2 * ratios[1]


@pytest.mark.parametrize("settings", [{"further": -1}, {"judged": -0.1}, {"width": 0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(SettingError, match="DistanceEnergy"):
        DistanceEnergy(X, Y, **settings)
