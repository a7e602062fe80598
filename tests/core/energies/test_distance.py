"""The energy that estimates how far a candidate is from the answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from irem_core import (
    DescentError,
    DistanceEnergy,
    GradientDescent,
    PairsTask,
    SettingError,
    VectorSpace,
    evaluate,
    fit,
    minimize,
    recipe,
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


def test_energies_tell_questions_whose_answers_are_uncertain() -> None:
    noise = np.random.default_rng(0)
    x = noise.uniform(-1, 1, size=(1500, 2))
    y = np.sin(3 * x[:, :1]) + np.where(x[:, 1:] > 0, 0.5, 0.02) * noise.normal(size=(1500, 1))
    ratios = []
    chosen = "distance(width=32, depth=2)"
    for objective in (None, DescentError()):
        settings = {"iterations": 150, "batch_size": 64, "learning_rate": 1e-2}
        task = PairsTask.of(x, y, held_out=0.3)
        asked = {} if objective is None else {"objective": objective}
        done = fit(recipe(task, energy=chosen, **asked).solver, task, **settings)
        scores = evaluate(done.solver, done.task, max_steps=10)
        assert scores.energies is not None
        uncertain = torch.from_numpy(x[done.task.held, 1] > 0)
        ratios.append(
            float(scores.energies[uncertain].median() / scores.energies[~uncertain].median())
        )
    assert ratios[0] > 4
    assert ratios[0] > 2 * ratios[1]


@pytest.mark.parametrize("settings", [{"further": -1}, {"width": 0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(SettingError, match="DistanceEnergy"):
        DistanceEnergy(X, Y, **settings)
