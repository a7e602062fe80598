"""Particles: many candidates of a problem, drawn anew by their energies."""

import pytest
import torch

from irem_core import (
    EnergyFn,
    FixedSteps,
    GradientDescent,
    GradientNorm,
    Implicit,
    Iterate,
    Outcome,
    Problem,
    Resampling,
    ScratchpadEnergy,
    SettingError,
    VectorSpace,
    minimize,
)
from irem_core.problems.layout import Layout

DESCENT = GradientDescent(step_size=2e-3)


class Rastrigin(EnergyFn):
    """Sum of y^2 + 10 (1 - cos 2 pi y): one minimum among a grid of others, all but one wrong."""

    def __init__(self, size=2):
        super().__init__()
        self.answer = VectorSpace(size, low=-3.0, high=3.0)

    def start(self, problem, generator):
        drawn = super().start(problem, generator)
        return 3.0 * drawn

    def energy(self, context, y):
        waves = 10 * (1 - (2 * torch.pi * (y - context)).cos())
        return ((y - context).square() + waves).sum(1)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def solved(count=10, **options):
    x = torch.full((count, 1), 0.25, dtype=torch.float64)
    return minimize(Rastrigin(), x, descent=DESCENT, max_steps=120, generator=seeded(), **options)


def test_particles_find_the_lowest_of_many_minima_and_cost_what_they_say():
    alone, many = solved(), solved(particles=40)
    assert many.energy.mean() < 0.2 * alone.energy.mean()
    assert (many.energy <= alone.energy + 1e-9).all()
    # Resampled ones meet minima that as many starts alone do not.
    apart = solved(restarts=39)
    assert many.energy.mean() < apart.energy.mean()
    assert (many.evaluations > 40 * 20).all()
    assert (many.steps <= 120).all()
    assert (many.restarts == 0).all()


def test_the_first_particle_begins_where_the_start_is_and_is_what_is_shown():
    start = torch.full((3, 2), 0.25, dtype=torch.float64)
    x = torch.full((3, 1), 0.25, dtype=torch.float64)
    seen = []

    def observe(step, problems, evaluation):
        seen.append((step, problems.tolist(), evaluation.iterate.y.clone()))

    found = minimize(
        Rastrigin(),
        x,
        descent=DESCENT,
        start=start,
        particles=5,
        max_steps=40,
        halting=FixedSteps(steps=40),
        observer=observe,
        record="energy",
    )
    assert seen[0][:2] == (0, [0, 1, 2])
    torch.testing.assert_close(seen[0][2], start)
    torch.testing.assert_close(found.y, start)
    assert found.trace.of(2).step.tolist() == [step for step, *_ in seen]


class Memory(ScratchpadEnergy):
    """A bowl, whose scratchpad is to be as y."""

    answer = VectorSpace(2, low=-1.0, high=1.0)
    scratchpad = 2

    def energy(self, context, y, z):
        return (y - 0.3).square().sum(1) + (z - y).square().sum(1) + 0 * context.sum(1)


def test_particles_have_scratchpads_and_converge_as_the_halting_rule_asks():
    options = {"descent": GradientDescent(step_size=0.2), "max_steps": 200}
    found = minimize(Memory(), torch.zeros(4, 1), particles=4, **options)
    assert (found.outcome == Outcome.CONVERGED).all()
    torch.testing.assert_close(found.y, torch.full((4, 2), 0.3), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.z, found.y, atol=1e-2, rtol=0)
    x = torch.zeros(4, 1, requires_grad=True)
    carried = minimize(Memory(), x, particles=4, differentiable=Implicit(), **options)
    assert carried.carries.all()


def test_steps_are_those_that_were_taken():
    found = solved(particles=4, halting=FixedSteps(steps=3), resampling=Resampling(noise=1.0))
    # Nine rounds of three steps at most, and an evaluation more for each start.
    assert (found.steps <= 27).all()
    assert (found.evaluations <= 4 * 9 * 4).all()


class Slope(EnergyFn):
    """A bowl so flat that what begins off its minimum hardly moves, and all others begin there."""

    answer = VectorSpace(1)

    def start(self, problem, generator):
        return Iterate(0 * problem.x, problem.layout)

    def energy(self, context, y):
        return 1e-3 * y.square().sum(1)


def test_the_lowest_keeps_its_own_steps_among_copies_of_others():
    x = torch.zeros(3, 1)
    found = minimize(
        Slope(),
        x,
        descent=GradientDescent(step_size=0.1),
        halting=GradientNorm(tolerance=1e-6),
        start=torch.ones(3, 1),
        particles=4,
        resampling=Resampling(rounds=2, steps=10, temperature=1.0, noise=0.0),
        max_steps=40,
    )
    # One that begins at the minimum needs a step of each round to say so, not ten.
    assert (found.energy == 0).all()
    assert (found.steps <= 3).all()


def test_the_lowest_goes_on_until_it_has_converged():
    # Noise moves all others out of their basins, so that only it can.
    found = solved(particles=10, resampling=Resampling(rounds=4, steps=4, noise=2.0))
    assert (found.outcome == Outcome.CONVERGED).all()


def test_what_is_verified_is_the_answer_and_costs_nothing_further():
    x = torch.full((6, 1), 0.25, dtype=torch.float64)

    def verify(problem, y):
        return (y - 0.25).abs().amax(1) < 0.3

    options = {"descent": DESCENT, "particles": 60, "generator": seeded(), "max_steps": 120}
    checked = minimize(Rastrigin(), Problem(x, VectorSpace(2), verify=verify), **options)
    plain = minimize(Rastrigin(), Problem(x, VectorSpace(2)), **options)
    assert checked.verified.all()
    assert (checked.evaluations <= plain.evaluations).all()
    assert (checked.evaluations < plain.evaluations).any()


def test_copies_are_as_many_as_the_energies_say():
    energy = torch.tensor([[0.0, 1.0, 2.0, 3.0]]).repeat(4000, 1)
    drawn = Resampling(temperature=0.7).draw(energy, seeded())
    assert (drawn.diff(dim=1) >= 0).all()
    expected = (-energy[0] / 0.7).softmax(0)
    counts = torch.bincount(drawn.flatten(), minlength=4) / drawn.numel()
    torch.testing.assert_close(counts, expected, atol=5e-3, rtol=0)
    # Each is kept as often as its share says, up to one.
    each = torch.nn.functional.one_hot(drawn, 4).sum(1)
    assert ((each - 4 * expected).abs() < 1).all()


def test_energies_that_are_no_number_are_dropped():
    energy = torch.tensor([[torch.nan, 1.0, torch.inf, 1.0], [torch.nan] * 4, [5.0] * 4])
    drawn = Resampling().draw(energy, seeded())
    assert set(drawn[0].tolist()) == {1, 3}
    assert drawn[1].tolist() == [0, 1, 2, 3]
    assert drawn[2].tolist() == [0, 1, 2, 3]
    # By themselves alone, whatever their unit.
    scaled = Resampling().draw(1e6 * torch.rand(5, 8, generator=seeded(1)), seeded())
    same = Resampling().draw(1e-6 * torch.rand(5, 8, generator=seeded(1)), seeded())
    assert torch.equal(scaled, same)


def test_ragged_problems_are_repeated():
    layout = Layout.of_owner(torch.tensor([0, 0, 1, 2, 2, 2]))
    twice = torch.tensor([0, 0, 2, 2, 1])
    assert layout.rows_of(twice).tolist() == [0, 1, 0, 1, 3, 4, 5, 3, 4, 5, 2]
    assert layout.select(twice).owner.tolist() == [0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 4]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"particles": 0}, "particles=0"),
        ({"particles": 2, "resampling": 3}, "resampling"),
    ],
)
def test_mistakes_are_sentences(options, words):
    with pytest.raises(SettingError, match=words):
        solved(**options)
    with pytest.raises(SettingError, match="temperature"):
        Resampling(temperature=0.0)
    with pytest.raises(SettingError, match="noise"):
        Resampling(noise=-1.0)
    with pytest.raises(SettingError, match="rounds"):
        Resampling(rounds=0)
