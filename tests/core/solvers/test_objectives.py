"""Objectives: their formulas and gradients, and what energies become that learn by them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from irem_core import (
    IREM,
    Calibrated,
    Contrastive,
    Denoising,
    DescentError,
    DistanceEnergy,
    EdgeSpace,
    EnergyFn,
    EnsembleEnergy,
    FullUnroll,
    GINEEnergy,
    GradientDescent,
    Grounded,
    Iterate,
    LastStep,
    Lesson,
    MLPEnergy,
    Objective,
    Problem,
    Regression,
    SettingError,
    VectorSpace,
    WeightedObjectives,
    build,
    graphs,
)
from irem_core.registry import OBJECTIVES

X, Y = VectorSpace(3), VectorSpace(2)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def lesson(energy: Any = None, count: int = 4, **settings: Any) -> Lesson:
    torch.manual_seed(0)
    energy = energy or MLPEnergy(X, Y, width=6, depth=2)
    problem = Problem(draw(count, 3), Y)
    given = {
        "energy": energy.double(),
        "problem": problem,
        "target": draw(count, 2, seed=1),
        "start": Iterate(draw(count, 2, seed=2), problem.layout),
        "descent": GradientDescent(step_size=0.1),
        "steps": 2,
        "backprop": FullUnroll(),
    }
    return Lesson(**given | settings)


def ragged() -> Lesson:
    """Graphs of two and of three nodes with values on their edges."""
    torch.manual_seed(0)
    energy = GINEEnergy(EdgeSpace(1), EdgeSpace(1), width=4, layers=2).double()
    batch = graphs.complete(torch.tensor([2, 3]), draw(13, 1))
    problem = Problem(batch, EdgeSpace(1))
    return lesson(
        energy,
        problem=problem,
        target=draw(13, 1, seed=1),
        start=Iterate(draw(13, 1, seed=2), problem.layout),
    )


def energies(given: Lesson, y: Tensor) -> Tensor:
    found: Tensor = given.energy(given.problem, y)
    return found


@pytest.mark.parametrize("make", [lesson, ragged])
def test_denoising_asks_for_the_noise(make: Any) -> None:
    given = make()
    found = Denoising(levels=(0.1, 0.5)).loss(given, generator())
    again, target = generator(), given.target
    count = given.problem.layout.count
    levels = torch.tensor([0.1, 0.5]).double()[torch.randint(2, (count,), generator=again)]
    noise = torch.randn(target.shape, generator=again, dtype=torch.float64)
    owner = given.problem.layout.owner
    level = (levels if owner is None else levels[owner])[:, None]
    at = (target + level * noise).requires_grad_()
    slope = torch.autograd.grad(energies(given, at).sum(), at)[0]
    each = (level * slope - noise).square()
    whose = torch.arange(count) if owner is None else owner
    means = [each[whose == problem].mean() for problem in range(count)]
    torch.testing.assert_close(found, torch.stack(means).mean())


def test_contrasts_are_cross_entropies_of_pairs() -> None:
    given = lesson()
    right = energies(given, given.target)
    noisy = Contrastive(against="noise", noise=0.7, temperature=0.5).loss(given, generator())
    noise = torch.randn(4, 2, generator=generator(), dtype=torch.float64)
    wrong = energies(given, given.target + 0.7 * noise)
    chances = torch.stack([-right / 0.5, -wrong / 0.5], 1)
    expected = functional.cross_entropy(chances, torch.zeros(4, dtype=torch.int64))
    torch.testing.assert_close(noisy, expected)
    # Blurred, both have noise, of a level of its own for each problem.
    blurred = Contrastive(against="noise", noise=0.7, blur=0.4).loss(given, generator())
    drawn = generator()

    def noisier(y):
        level = 0.4 * torch.rand(4, generator=drawn).double()[:, None]
        return y + level * torch.randn(4, 2, generator=drawn, dtype=torch.float64)

    clear = energies(given, noisier(given.target))
    wrong = given.target + 0.7 * torch.randn(4, 2, generator=drawn, dtype=torch.float64)
    expected = functional.softplus(clear - energies(given, noisier(wrong))).mean()
    torch.testing.assert_close(blurred, expected)
    # Of the ends of descents those count that are wrong, by more than the tolerance.
    arrived = given.arrived().y
    errors = (arrived - given.target).square().mean(1).sqrt()
    tolerance = float(errors.sort().values[1]) + 1e-9
    found = Contrastive(against="descent", tolerance=tolerance).loss(given, generator())
    excess = functional.softplus(right - energies(given, arrived))
    torch.testing.assert_close(found, excess[errors > tolerance].sum() / 4)


def test_corrupted_entries_are_those_of_other_answers() -> None:
    class Seen(EnergyFn):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[Tensor] = []

        def energy(self, context: Any, y: Tensor) -> Tensor:
            self.seen.append(y)
            return y.sum(1)

    energy, count = Seen(), 2000
    given = lesson(energy, count)
    Contrastive(against="entries", share=0.3).loss(given, generator())
    right, wrong = energy.seen
    assert torch.equal(right, given.target)
    changed = wrong != right
    assert float(changed.double().mean()) == pytest.approx(0.3, abs=0.03)
    for entry in range(2):
        assert set(wrong[:, entry].tolist()) <= set(right[:, entry].tolist())


def test_calibration_is_least_where_the_energy_is_the_error() -> None:
    given = lesson(DistanceEnergy(X, Y, width=6, depth=2))
    found = Calibrated().loss(given, generator())
    errors = (given.arrived().y - given.target).square().mean(1) + 1e-4
    expected = 2 * energies(given, given.arrived().y) / 2 + 1e-4
    torch.testing.assert_close(found, (errors / expected + expected.log()).mean())

    class Told(EnergyFn):
        def __init__(self, told: Tensor) -> None:
            super().__init__()
            self.told = nn.Parameter(told)

        def energy(self, context: Any, y: Tensor) -> Tensor:
            return self.told + 0 * y.sum(1)

    known = lesson(Told(errors.detach() - 1e-4), start=given.arrived())
    loss = Calibrated().loss(known, generator())
    (slope,) = torch.autograd.grad(loss, known.energy.parameters())
    torch.testing.assert_close(slope, torch.zeros(4).double(), atol=1e-9, rtol=0)


def test_regression_is_the_error_of_what_is_proposed() -> None:
    ensemble = EnsembleEnergy(X, Y, members=3, width=4, depth=1)
    given = lesson(ensemble)
    found = Regression().loss(given, generator())
    proposals = ensemble.proposals(given.problem)
    torch.testing.assert_close(found, (proposals - given.target).square().mean())


@pytest.mark.parametrize("objective", [Regression(), Grounded()])
def test_an_energy_that_lacks_what_is_asked_is_refused(objective: Objective) -> None:
    with pytest.raises(SettingError, match=r"got MLPEnergy; expected an energy that .* does"):
        objective.loss(lesson(), generator())


@pytest.mark.parametrize(
    "objective",
    [
        DescentError(),
        DescentError(supervise="every"),
        Denoising(),
        Contrastive(),
        Contrastive(against=("entries", "noise"), temperature=0.3),
        Calibrated(),
    ],
    ids=str,
)
def test_gradients_are_those_of_finite_differences(objective: Objective) -> None:
    # But for `DescentError`, where the descent ends is a constant.
    held = lesson(DistanceEnergy(X, Y, width=6, depth=2)).arrived()

    def given(shift: float = 0.0) -> Lesson:
        found = lesson(DistanceEnergy(X, Y, width=6, depth=2), last=held)
        for seed, weight in enumerate(found.energy.parameters()):
            weight.data += shift * draw(*weight.shape, seed=seed)
        return found

    begin = given()
    loss = objective.loss(begin, generator())
    slopes = torch.autograd.grad(loss, list(begin.energy.parameters()))
    directions = [draw(*slope.shape, seed=seed) for seed, slope in enumerate(slopes)]
    wanted = sum(float((s * d).sum()) for s, d in zip(slopes, directions, strict=True))
    ends = [objective.loss(given(shift), generator()).item() for shift in (1e-5, -1e-5)]
    assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(wanted, rel=1e-5, abs=1e-9)


def test_a_sum_shares_one_descent_and_draws_in_the_order_of_its_terms() -> None:
    objective = DescentError() + 0.3 * Calibrated() + 2 * Denoising(levels=0.2)
    whole = objective.loss(lesson(), generator())
    given, draws = lesson(), generator()
    apart = [weight * each.loss(given, draws) for weight, each in objective.terms()]
    torch.testing.assert_close(whole, torch.stack(apart).sum())
    backwards = WeightedObjectives(objectives=(Calibrated(), DescentError()), weights=(0.3, 1))
    forwards = WeightedObjectives(objectives=(DescentError(), Calibrated()), weights=(1, 0.3))
    found = [each.loss(lesson(), generator()) for each in (backwards, forwards)]
    torch.testing.assert_close(*found)


def test_sums_are_flat_and_written_as_texts() -> None:
    found = DescentError() + 0.3 * (Calibrated() + 2 * Denoising())
    text = "weighted(objectives=(descent(), calibrated(), denoising()), weights=(1.0, 0.3, 0.6))"
    assert build(OBJECTIVES, text) == found
    assert found.descends
    assert not (Denoising() * 3).descends
    with pytest.raises(TypeError):
        DescentError() + 1  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("denoising(levels=())", "got no levels"),
        ("denoising(levels=(0.1, -1))", "levels="),
        ("denoising(levels=0)", "levels="),
        ("contrastive(against='luck')", "against="),
        ("contrastive(against=())", "against="),
        ("contrastive(temperature=0)", "temperature="),
        ("weighted(objectives=())", "at least one"),
        ("weighted(objectives=(descent(),), weights=(1, 2))", "a weight for each"),
        ("weighted(objectives=(descent(),), weights=(-1,))", "weights="),
        ("descent(supervise='first')", "supervise="),
    ],
)
def test_settings_out_of_range_are_refused(text: str, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        build(OBJECTIVES, text)


def test_without_steps_nothing_may_be_descended() -> None:
    with pytest.raises(SettingError, match="asks where a descent ends"):
        IREM(MLPEnergy(X, Y), steps=0)
    solver = IREM(MLPEnergy(X, Y, width=4), steps=0, objective=Denoising())
    solver.loss(Problem(torch.zeros(5, 3), Y), torch.zeros(5, 2), generator())
    # What is not descended is not replayed.
    assert not solver.training_state()


def test_what_is_descended_is_replayed_from_where_it_arrived() -> None:
    solver = IREM(MLPEnergy(X, Y, width=4), steps=2, objective=Calibrated(), backprop=LastStep())
    problem = Problem(torch.zeros(5, 3), Y)
    solver.loss(problem, torch.zeros(5, 2), generator())
    start = solver.energy.start(problem, generator())
    ends = solver.solve(
        problem, start=start, max_steps=2, halting=build("irem.halting", "fixed_steps(steps=2)")
    )
    held = [each for each in solver.training_state().values() if each.shape[1:] == (2,)]
    assert any(torch.allclose(each[:5], ends.last) for each in held)


class Spline(EnergyFn):
    """An energy of one number alone, as general as needed: a table of values, smoothed."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(1, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1)
        )

    def energy(self, context: Tensor, y: Tensor) -> Tensor:
        found: Tensor = self.net(y)[:, 0]
        return found


def test_denoising_learns_the_density_of_several_right_answers() -> None:
    """Of answers -1 and 1, at level s, E = -log p for the mixture of two normal densities."""
    level, space = 0.5, VectorSpace(1)
    torch.manual_seed(0)
    energy = Spline()
    solver = IREM(energy, steps=0, replay=0, objective=Denoising(levels=level))
    solver.answer = energy.answer = space
    optimizer = torch.optim.Adam(energy.parameters(), 1e-2)
    draws = generator(3)
    for update in range(400):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 + math.cos(math.pi * update / 400)) / 2
        right = 2.0 * torch.randint(2, (512, 1), generator=draws) - 1
        optimizer.zero_grad()
        solver.loss(Problem(torch.zeros(512, 1), space), right, draws).backward()
        optimizer.step()
    at = torch.linspace(-1.8, 1.8, 37)[:, None].requires_grad_()
    slope = torch.autograd.grad(energy(torch.zeros(37, 1), at).sum(), at)[0]
    known = (at - torch.tanh(at / level**2)) / level**2  # that of -log of the mixture
    assert (slope - known).detach().abs().mean().item() < 0.25
    # The mean of both answers is no minimum, and each of them is near one.
    middle, right = (energy(torch.zeros(1, 1), torch.full((1, 1), y)).item() for y in (0.0, 1.0))
    assert middle > right + 0.5
