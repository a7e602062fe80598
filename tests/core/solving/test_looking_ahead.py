"""Looking ahead finds how far a minimum is, also where no move has shown it."""

import pytest
import torch

from irem_core import (
    BarzilaiBorwein,
    EnergyFn,
    Outcome,
    Problem,
    Settled,
    VectorSpace,
    minimize,
)
from irem_core.descent.base import Probe
from irem_core.energies.landscape import differentiate
from irem_core.problems.iterate import Iterate
from irem_core.problems.layout import Layout
from irem_core.solving.looking_ahead import look_ahead

F64 = torch.float64


class Quadratics(EnergyFn):
    """E = y . H y / 2, where x is H."""

    def energy(self, context, y):
        return ((context @ y[..., None])[..., 0] * y).sum(1) / 2


def turned(*curvatures, count=1, dtype=F64):
    """Return Hessians with these eigenvalues, whose directions are random."""
    generator = torch.Generator().manual_seed(0)
    size = len(curvatures)
    axes, _ = torch.linalg.qr(torch.randn(count, size, size, generator=generator, dtype=F64))
    return ((axes * torch.tensor(curvatures, dtype=F64)) @ axes.transpose(1, 2)).to(dtype)


def looked(hessians, y, *, space=None, allowed=1e-3, most=10):
    iterate = Iterate(y, Layout(len(y)))
    found = differentiate(Quadratics(), hessians, iterate)
    probe = Probe.of(Quadratics(), hessians, space)
    tolerance = torch.full((len(y),), allowed, dtype=y.dtype)
    known = torch.zeros_like(tolerance)
    wanted = torch.ones(len(y), dtype=torch.bool)
    ahead = look_ahead(
        found,
        probe,
        wanted=wanted,
        allowed=tolerance,
        flattest=known,
        unseen=1e-4 * wanted,
        most=most,
    )
    return ahead, probe.spent.evaluations


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e19])
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 0.05), (F64, 1e-3)])
def test_what_is_left_is_the_newton_step(dtype, rtol, scale):
    curvatures = (1.0, 3.0, 20.0, 100.0)
    hessians = scale * turned(*curvatures, count=5, dtype=dtype)
    y = 2 * torch.rand(5, 4, generator=torch.Generator().manual_seed(1)).to(dtype) - 1
    ahead, evaluations = looked(hessians, y)

    torch.testing.assert_close(ahead.left, y.abs().amax(1), rtol=rtol, atol=0)
    torch.testing.assert_close(ahead.flattest * scale, torch.ones(5, dtype=dtype), rtol=0.7, atol=0)
    assert (evaluations <= 10).all()


def test_a_tolerance_of_zero_is_taken_at_its_word():
    ahead, _ = looked(turned(1.0, 3.0), torch.ones(1, 2, dtype=F64), allowed=0.0)
    torch.testing.assert_close(ahead.left, torch.ones(1, dtype=F64), rtol=1e-2, atol=0)


def test_an_energy_that_bends_downwards_leaves_everything():
    ahead, _ = looked(turned(1.0, -0.1, count=3), torch.ones(3, 2, dtype=F64))
    assert (ahead.left == torch.inf).all()


def test_a_gradient_of_zero_leaves_nothing_and_costs_nothing():
    ahead, evaluations = looked(turned(1.0, 2.0), torch.zeros(1, 2, dtype=F64))
    assert ahead.left.tolist() == [0.0]
    assert evaluations == 0


def test_entries_that_bounds_hold_stay():
    hessians = torch.eye(2, dtype=F64)[None]
    space = VectorSpace(2, low=1.0, high=2.0)
    ahead, _ = looked(hessians, torch.tensor([[1.0, 1.0]], dtype=F64), space=space)
    assert ahead.left.tolist() == [0.0]


def test_a_direction_that_no_move_went_along_is_found():
    # One direction is ten thousand times flatter than the others, which hide it.
    hessians = turned(1.0, 5e3, 7e3, 9e3, 1e4, count=30)
    start = 2 * torch.rand(30, 5, generator=torch.Generator().manual_seed(3), dtype=F64) - 1
    solution = minimize(
        Quadratics(),
        Problem(hessians, VectorSpace(5)),
        start=start,
        descent=BarzilaiBorwein(memory=1),
        halting=Settled(absolute=1e-2, relative=0.0),
        max_steps=200,
    )
    arrived = solution.outcome == Outcome.CONVERGED

    assert arrived.any()
    assert solution.y[arrived].abs().max() < 1e-1
