"""The periodic energy: its formula, what it begins as, and parity."""

import math

import pytest
import torch

from irem_core import (
    IREM,
    EdgeSpace,
    GradientDescent,
    MatrixSpace,
    PeriodicEnergy,
    SettingError,
    VectorSpace,
    evaluate,
    fit,
)
from irem_tasks.vectors import Parity


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_the_energy_is_that_of_its_formula():
    torch.manual_seed(0)
    made = PeriodicEnergy(VectorSpace(3), MatrixSpace(1, 2), waves=5).double()
    with torch.no_grad():
        made.question_map.weight.normal_()
        made.log_scale.fill_(0.7)
    x, y = draw(4, 3), draw(4, 1, 2, seed=1)
    for question, candidate, found in zip(x, y, made(x, y), strict=True):
        waves = torch.sin(made.waves.weight @ question + made.waves.bias)
        residual = made.answer_map.weight @ candidate[0] + made.question_map.bias
        residual = residual + made.question_map.weight @ waves
        torch.testing.assert_close(found, math.exp(0.7) / 2 * residual.square().sum() / 2)


def test_waves_begin_with_normal_frequencies_and_any_phase_and_have_no_part_yet():
    torch.manual_seed(0)
    made = PeriodicEnergy(VectorSpace(20), VectorSpace(1), waves=2000, frequency=2.5)
    frequencies, phases = made.waves.weight.detach(), made.waves.bias.detach()
    # To four standard deviations of a mean of 40,000 and of 2,000.
    assert frequencies.mean() == pytest.approx(0, abs=4 * 2.5 / 200)
    assert frequencies.std() == pytest.approx(2.5, rel=4 / 40_000**0.5)
    assert phases.abs().max() <= math.pi
    assert phases.sin().mean() == pytest.approx(0, abs=4 * 0.5**0.5 / 2000**0.5)
    x, y = torch.rand(2, 20), torch.rand(2, 1)
    torch.testing.assert_close(made(x, y), made(torch.zeros(2, 20), y))


def test_parity_is_learned_from_a_part_of_its_questions():
    """Of 65,536 questions more than half are never seen; a constant is right for half."""
    task = Parity(bits=16)
    solver = IREM.for_task(
        task,
        energy=PeriodicEnergy.for_task(task, waves=1024),
        descent=GradientDescent(step_size=1.0),
        replay=0,
    )
    settings = {"learning_rate": 5e-3, "schedule": "cosine", "clip_norm": 1.0}
    fit(solver, task, iterations=600, batch_size=64, **settings)
    for difficulty in ("same", "harder"):
        scores = evaluate(solver, task, difficulty=difficulty, problems=200, max_steps=20)
        assert scores.measures["accuracy"] > 0.99


@pytest.mark.parametrize("spaces", [(EdgeSpace(), VectorSpace(1)), (VectorSpace(1), EdgeSpace())])
def test_edges_are_refused(spaces):
    with pytest.raises(SettingError, match="expected vectors or matrices of one size"):
        PeriodicEnergy(*spaces)


@pytest.mark.parametrize("setting", [{"waves": 0}, {"frequency": 0.0}, {"frequency": math.inf}])
def test_numbers_out_of_range_are_refused(setting):
    with pytest.raises(SettingError, match=f"PeriodicEnergy got {next(iter(setting))}="):
        PeriodicEnergy(VectorSpace(1), VectorSpace(1), **setting)
