"""The spectral energy: against singular values, and what completion it learns."""

import pytest
import torch

from irem_core import (
    IREM,
    EnergyPlateau,
    GradientDescent,
    MatrixSpace,
    SettingError,
    SpectralEnergy,
    VectorSpace,
    evaluate,
    fit,
    minimize,
)
from irem_tasks.matrices import MatrixCompletion


def energy(height, width, terms=3):
    space = MatrixSpace(height, width)
    made = SpectralEnergy(space, space, terms=terms).double()
    with torch.no_grad():
        for weight in made.parameters():
            noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
            weight += noise / 2
    return made


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("height", "width"), [(4, 4), (3, 6), (6, 3), (1, 5)])
def test_the_energy_is_that_of_singular_values(height, width):
    made = energy(height, width)
    x, y = draw(5, height, width), draw(5, height, width, seed=1)
    x[draw(5, height, width, seed=2) < 0] = 0
    squares = torch.linalg.svdvals(torch.where(x != 0, x, y)).square()
    parts = {name: weight.exp() for name, weight in made.named_parameters()}
    prior = parts["log_ridge"] / 2 * squares.sum(1)
    for a, e in zip(parts["log_weights"], parts["log_widths"], strict=True):
        prior = prior + a * e / 2 * (1 + squares / e).log().sum(1)
    misfit = ((y - x).square() * (x != 0)).sum((1, 2)) / 2
    torch.testing.assert_close(made(x, y), misfit + parts["log_scale"] * prior)


def test_where_nothing_is_hidden_the_answer_is_the_question():
    made = energy(3, 4)
    x = draw(6, 3, 4)
    options = {"descent": GradientDescent(step_size=1.0), "halting": EnergyPlateau(patience=1)}
    solution = minimize(made, x, start=draw(6, 3, 4, seed=1), **options)
    torch.testing.assert_close(solution.y, x)
    assert solution.steps.max() <= 2


def test_derivatives_are_smooth_where_singular_values_are_equal():
    made = energy(4, 4)
    x = torch.zeros(1, 4, 4, dtype=torch.float64)
    y = torch.eye(4, dtype=torch.float64)[None].requires_grad_()

    def value(y):
        return made(x, y).sum()

    assert torch.autograd.gradcheck(value, y)
    assert torch.autograd.gradgradcheck(value, y)


def test_any_height_and_width_are_taken():
    made = energy(4, 4)
    x = draw(2, 5, 7)
    assert minimize(made, x, descent=GradientDescent(step_size=0.1), max_steps=2).y.shape == x.shape


def test_completion_is_learned_in_seconds_and_is_ahead_of_soft_impute():
    """The harder problems have singular values four times as large as those of training."""
    task = MatrixCompletion()
    solver = IREM.for_task(
        task,
        energy=SpectralEnergy.for_task(task),
        descent=GradientDescent(step_size=1.0),
        replay=500,
    )
    options = {"learning_rate": 0.03, "schedule": "cosine", "clip_norm": 1.0}
    fit(solver, task, iterations=100, batch_size=8, **options)
    for difficulty in ("same", "harder"):
        errors = evaluate(solver, task, difficulty=difficulty, problems=100, max_steps=40)
        generator = torch.Generator().manual_seed(1)
        problem, target = task.sample(100, difficulty, generator=generator)
        copied = float((problem.x - target).square().mean())
        classical = float((task.classical(problem) - target).square().mean())
        assert errors.mse < copied - 0.8 * (copied - classical)


@pytest.mark.parametrize(
    ("question", "answer"),
    [(MatrixSpace(2, 3), MatrixSpace(3, 2)), (VectorSpace(4), VectorSpace(4))],
)
def test_other_spaces_are_refused(question, answer):
    with pytest.raises(SettingError, match="two MatrixSpaces of one shape"):
        SpectralEnergy(question, answer)
