"""The compute curve: what more steps and more starts buy, by ways to choose written out here."""

import json

import pytest
import torch

from irem_core import (
    IREM,
    Curve,
    EnergyFn,
    EnergyPlateau,
    FixedSteps,
    GradientDescent,
    Iterate,
    SettingError,
    Task,
    VectorSpace,
    build,
    compute_curve,
    evaluate,
)
from irem_core.distributed import derive
from irem_core.registry import SOLVERS, Target


class Wells(EnergyFn):
    """Minima near -1 and 1 in each of two entries, the left ones lower by a tilt."""

    def energy(self, context, y):
        return ((y.square() - 1).square() + 0.1 * y + 0 * context).sum(1)


class Corner(Task):
    """Find the corner where both entries are positive."""

    def __init__(self):
        self.question = VectorSpace(2)
        self.answer = VectorSpace(2)

    def draw(self, count, generator, device):
        return torch.zeros(count, 2, device=device), torch.ones(count, 2, device=device)


class Checked(Corner):
    """The same, which can be checked."""

    def verify(self, problem, y):
        return (y > 0).all(1)


def solver(task):
    energy = Wells()
    energy.question, energy.answer = task.question, task.answer
    return IREM(energy, descent=GradientDescent(step_size=0.05), halting=EnergyPlateau())


OPTIONS = {"problems": 30, "max_steps": 40}


def descents(task, starts):
    """Return energies, evaluations and answers of the starts that the curve is made of."""
    generator = torch.Generator().manual_seed(derive(1, "evaluation", "same"))
    (problem, _), *_ = task.batches(30, "same", generator=generator)
    made = solver(task)
    found = [made.solve(problem, max_steps=40, generator=generator) for _ in range(starts)]
    return [(each.energy.tolist(), each.evaluations.tolist(), each.y) for each in found]


def test_answers_are_chosen_by_energy_by_verification_and_by_an_oracle():
    task = Checked()
    curve = compute_curve(solver(task), task, starts=5, **OPTIONS)
    held = descents(task, 4)
    assert [each.starts for each in curve.by_starts] == [1, 2, 4]
    for point in curve.by_starts:
        first = held[: point.starts]
        lowest = verified = spent = until = 0
        for n in range(30):
            right = [bool((y[n] > 0).all()) for _, _, y in first]
            energies = [energy[n] for energy, _, _ in first]
            counts = [evaluations[n] for _, evaluations, _ in first]
            lowest += right[energies.index(min(energies))]
            verified += any(right)
            spent += sum(counts)
            until += sum(counts[: right.index(True) + 1] if any(right) else counts)
        assert point.energy == pytest.approx(lowest / 30)
        assert point.verification == point.oracle == pytest.approx(verified / 30)
        assert point.evaluations == pytest.approx(spent / 30)
        assert point.until_verified == pytest.approx(until / 30)
    assert curve.by_starts[-1].energy < curve.by_starts[-1].oracle
    scores = evaluate(solver(task), task, halting=FixedSteps(steps=40), **OPTIONS)
    assert curve.by_step == scores.measures_by_step["solved"]
    assert 1 + 40 * curve.evaluations_by_step == pytest.approx(scores.evaluations_mean)
    assert Curve.from_dict(json.loads(json.dumps(curve.to_dict()))) == curve
    lines = curve.lines()
    assert lines["steps of one start"][40] == (scores.evaluations_mean, curve.by_step[40])
    assert lines["starts, until verified"][2] == (until / 30, verified / 30)


class FromAbove(Wells):
    """Its solves begin in the right corner, and its restarts in the left one."""

    def first_start(self, problem, generator):
        return Iterate(problem.x * 0 + 0.5, problem.layout)

    def start(self, problem, generator):
        return Iterate(problem.x * 0 - 0.5, problem.layout)


def test_starts_after_the_first_are_those_of_restarts():
    task, energy = Checked(), FromAbove()
    energy.question, energy.answer = task.question, task.answer
    made = IREM(energy, descent=GradientDescent(step_size=0.05), halting=EnergyPlateau())
    curve = compute_curve(made, task, starts=2, **OPTIONS)
    assert [each.energy for each in curve.by_starts] == [1.0, 0.0]
    assert made.solve(torch.zeros(1, 2), restarts=3).energy < made.solve(torch.zeros(1, 2)).energy


def test_particles_stand_beside_as_many_starts():
    task = Checked()
    plain, curve = (
        compute_curve(solver(task), task, starts=2, particles=each, **OPTIONS)
        for each in (False, True)
    )
    one, two = curve.by_starts
    assert one == plain.by_starts[0]
    assert two.energy == plain.by_starts[1].energy
    # Two particles that are never drawn anew: the better of two descents.
    assert two.particles >= one.energy
    assert two.by_particles > one.evaluations
    assert curve.lines()["particles"] == [(two.by_particles, two.particles)]
    assert Curve.from_dict(json.loads(json.dumps(curve.to_dict()))) == curve
    with pytest.raises(SettingError, match="descends none"):
        compute_curve(build(SOLVERS, "constant", target=Target(task)), task, particles=True)


def test_without_a_check_errors_are_what_counts():
    task = Corner()
    curve = compute_curve(solver(task), task, starts=2, **OPTIONS)
    errors = torch.stack([(y - 1).double().square().mean(1) for _, _, y in descents(task, 2)])
    assert curve.measure == "mse"
    assert curve.by_starts[1].oracle == pytest.approx(float(errors.amin(0).mean()))
    assert curve.by_starts[1].verification is None
    assert "starts, until verified" not in curve.lines()
    scores = evaluate(solver(task), task, halting=FixedSteps(steps=40), **OPTIONS)
    assert curve.to_dict()["by_step"]["40"] == scores.mse_last


def test_solvers_without_an_energy_are_refused():
    task = Corner()
    constant = build(SOLVERS, "constant", target=Target(task, 0))
    with pytest.raises(SettingError, match="no energy to choose answers by"):
        compute_curve(constant, task, starts=1, **OPTIONS)
