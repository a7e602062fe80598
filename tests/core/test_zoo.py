"""The zoo's minimisers are minimisers, and halting rules tell the truth about descents on it."""

import attrs
import pytest
import torch

from irem_core import EnergyPlateau, Outcome, Settled
from irem_core.registry import DESCENTS, find
from irem_core.testing.zoo import ZOO, SquaresEnergy, steepness, watch
from official import registered

# Those that follow gradients; coordinate-flip walks on corners of boxes alone.
FOLLOWING = [name for name in registered(DESCENTS) if find(DESCENTS, name).load().needs_gradient]
# A bend, a steep wall before a flat valley, a kink, bounds.
FEW = ("rosenbrock", "quadratic-1000", "absolute", "bounded-quadratic")
# Levenberg-Marquardt descends sums of squares alone.
SERVED = [
    (descent, name)
    for descent in FOLLOWING
    for name, known in ZOO.items()
    if descent != "levenberg-marquardt" or isinstance(known.energy, SquaresEnergy)
]


def slope_at(known, y):
    y = y.clone().requires_grad_()
    energy = known.energy.energy(None, y)
    (slope,) = torch.autograd.grad(energy.sum(), y)
    return energy.detach(), slope


@pytest.mark.parametrize("name", ZOO)
def test_the_minimisers_are_where_the_source_says(name):
    known = ZOO[name]
    minimisers = torch.tensor(known.minimisers, dtype=torch.float64)
    energy, slope = slope_at(known, minimisers)

    torch.testing.assert_close(energy, torch.full_like(energy, known.minimum), rtol=1e-6, atol=1e-9)
    assert known.distance(minimisers).max() == 0
    if known.smooth:
        # A step as long as the steepest curvature allows does not lead away, but for the bounds.
        ahead = known.space.project(minimisers - slope / steepness(known))
        torch.testing.assert_close(ahead, minimisers, rtol=1e-6, atol=1e-6)
    around = torch.randn(500, minimisers.shape[1], generator=torch.Generator().manual_seed(0))
    around = known.space.project(minimisers[0] + 0.1 * around.double())
    assert (known.energy.energy(None, around) >= known.minimum - 1e-9).all()


@pytest.mark.parametrize("name", ZOO)
def test_batches_begin_at_the_source_s_start_and_around_it(name):
    known = ZOO[name]
    problem, start = known.batch(5, spread=0.2, seed=3)
    energy, slope = slope_at(known, start)

    assert start[0].tolist() == pytest.approx(known.start)
    assert len(start.unique(dim=0)) == 5
    assert (energy > known.minimum).all()
    assert slope.isfinite().all()
    assert torch.equal(start, known.batch(5, spread=0.2, seed=3)[1])
    assert problem.answer == known.space
    if isinstance(known.energy, SquaresEnergy):
        residuals = known.energy.residuals(None, start)
        torch.testing.assert_close(residuals.square().sum(1), energy)


def walks(name, known):
    """Return a descent with steps that suit a problem."""
    kind = find(DESCENTS, name).load()
    sized = "step_size" in {field.name for field in attrs.fields(kind)} and name != "adam"
    return kind(step_size=1 / steepness(known)) if sized else kind()


@pytest.mark.parametrize(("descent", "name"), [pair for pair in SERVED if pair[1] in FEW])
def test_settled_calls_nothing_converged_that_goes_on(descent, name):
    known = ZOO[name]
    (watched,) = watch(known, walks(descent, known), [Settled()], count=3, steps=60, onward=40)
    assert not watched.false().any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "descent", "name"), [(n, *each) for n, each in enumerate(SERVED)]
)
def test_settled_calls_nothing_converged_that_goes_on_anywhere(number, descent, name):
    # In turn; benchmarks/halting.py has all in both.
    dtype = (torch.float32, torch.float64)[number % 2]
    known, settings = ZOO[name], {"steps": 200, "onward": 100, "dtype": dtype}
    (watched,) = watch(known, walks(descent, known), [Settled()], **settings)
    assert not watched.false().any()


def test_the_paper_s_rule_promises_less():
    known = ZOO["quadratic-1000"]
    (watched,) = watch(known, walks("gradient", known), [EnergyPlateau()])
    assert (watched.outcome == Outcome.CONVERGED).all()
    assert watched.false().all()
