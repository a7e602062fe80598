"""Spaces with structure: projections are the nearest points, and answers stay within."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from irem_core import (
    LBFGS,
    AffineSpace,
    BallSpace,
    EdgeSpace,
    EnergyFn,
    GradientDescent,
    HaltingCriterion,
    Implicit,
    MatrixSpace,
    Outcome,
    Problem,
    ProductSpace,
    SettingError,
    Settled,
    SimplexSpace,
    VectorSpace,
    minimize,
)
from irem_core.testing.zoo import Quadratic

DOUBLE = torch.float64
EQUATIONS = AffineSpace(matrix=[[1, 1, 1, 0], [1, -1, 0, 2], [2, 0, 1, 2]], values=[1, 0.5, 1.5])
SPACES = {
    "box": VectorSpace(4, low=-0.5, high=0.75),
    "simplex": SimplexSpace(4, total=1.5),
    "ball": BallSpace(4, radius=0.8, center=0.3),
    "affine": EQUATIONS,
    "product": ProductSpace(SimplexSpace(2), BallSpace(2, radius=0.4)),
}


def outside(space, y):
    """Return how far answers violate what defines the space, written out anew."""
    if isinstance(space, SimplexSpace):
        return max(float(-y.min()), float((y.sum(-1) - space.total).abs().max()))
    if isinstance(space, BallSpace):
        return float((y - space.center).norm(dim=-1).max()) - space.radius
    if isinstance(space, AffineSpace):
        a, b = (torch.tensor(each, dtype=y.dtype) for each in (space.matrix, space.values))
        return float((y @ a.mT - b).abs().max())
    if isinstance(space, ProductSpace):
        return max(map(outside, space.spaces, space.split(y)))
    return max(float(space.low - y.min()), float(y.max() - space.high))


vectors = st.lists(st.floats(-1e3, 1e3, allow_subnormal=False), min_size=4, max_size=4)


@pytest.mark.parametrize("name", SPACES)
@settings(max_examples=60, deadline=None)
@given(one=vectors, other=vectors)
def test_a_projection_is_the_nearest_point_of_the_space(name, one, other):
    space = SPACES[name]
    y, z = torch.tensor([one], dtype=DOUBLE), space.project(torch.tensor([other], dtype=DOUBLE))
    near = space.project(y)
    scale = 1 + float(y.abs().max())
    assert outside(space, near) < 1e-11 * scale
    torch.testing.assert_close(space.project(near), near, rtol=0, atol=1e-11 * scale)
    # No point of a convex space lies ahead of the nearest, as seen from y.
    assert float(((y - near) * (z - near)).sum()) < 1e-9 * scale**2


class Pulled(EnergyFn):
    """E = |W y|^2 / 2 - x y."""

    def __init__(self):
        super().__init__()
        drawn = torch.randn(4, 4, generator=torch.Generator().manual_seed(3), dtype=DOUBLE)
        self.root = nn.Parameter(torch.eye(4, dtype=DOUBLE) + 0.2 * drawn)

    def energy(self, context, y):
        return (y @ self.root).square().sum(-1) / 2 - (context * y).sum(-1)


class Arrived(HaltingCriterion):
    """Calls everything converged after 80 steps."""

    def init(self, evaluation):
        return torch.zeros_like(evaluation.energy)

    def update(self, before, after, state):
        return (state >= 79).long() * int(Outcome.CONVERGED), state + 1


def solve(energy, x, space, **options):
    descent = GradientDescent(step_size=0.5)
    return minimize(energy, Problem(x, space), descent=descent, halting=Arrived(), **options)


@pytest.mark.parametrize("name", SPACES)
def test_descents_never_leave_and_answers_have_the_gradient_of_the_solve(name):
    space, energy = SPACES[name], Pulled()
    x = torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=DOUBLE) * 1.5
    seen = []
    solution = solve(
        energy,
        x.requires_grad_(),
        space,
        differentiable=Implicit(),
        observer=lambda step, problems, evaluation: seen.append(evaluation.iterate.y),
    )
    assert max(outside(space, y) for y in seen) < 1e-12

    ahead = torch.randn(4, 4, generator=torch.Generator().manual_seed(2), dtype=DOUBLE)
    found = torch.autograd.grad((solution.y * ahead).sum(), x)[0]
    # Every entry of x perturbed, both ways, as a problem of its own.
    shifts = 1e-5 * torch.eye(4, dtype=DOUBLE)
    moved = x.detach()[:, None, None] + torch.stack([shifts, -shifts])
    ends = solve(energy, moved.flatten(0, 2), space).last.unflatten(0, (4, 2, 4))
    values = (ends * ahead[:, None, None]).sum(-1)
    wanted = (values[:, 0] - values[:, 1]) / 2e-5
    assert float(wanted.abs().max()) > 1e-2
    assert float((found - wanted).norm() / wanted.norm()) < 1e-6


@pytest.mark.parametrize("name", SPACES)
def test_gradients_in_x_and_weights_hold_wherever_the_faces_stay(name):
    generator = torch.Generator().manual_seed(5)
    energy = Pulled()
    x = (1.5 * torch.randn(20, 4, generator=generator, dtype=DOUBLE)).requires_grad_()
    ahead, way = torch.randn(2, 20, 4, generator=generator, dtype=DOUBLE)
    turn = torch.randn(4, 4, generator=generator, dtype=DOUBLE) / 4

    def value(size):
        with torch.no_grad():
            energy.root.add_(size * turn)
            end = solve(energy, x + size * way, SPACES[name])
            energy.root.sub_(size * turn)
        return (end.y * ahead).sum(-1)

    back, near, there, far = (value(1e-4 * step) for step in (-2, -1, 1, 2))
    wide, narrow = (far - back) / 4e-4, (there - near) / 2e-4
    # Rows that a bound meets on the way have no derivative to compare with.
    smooth = (wide - narrow).abs() < 1e-6 * (1 + narrow.abs())
    assert int(smooth.sum()) >= 10
    solution = solve(energy, x, SPACES[name], differentiable=Implicit(tolerance=1e-12))
    loss = (solution.y * ahead).sum(-1)[smooth].sum()
    by_x, by_root = torch.autograd.grad(loss, [x, energy.root])
    found = (by_x * way).sum() + (by_root * turn).sum()
    wanted = ((4 * narrow - wide) / 3)[smooth].sum()
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


def test_spaces_that_cannot_be_are_refused():
    with pytest.raises(SettingError, match="no y solves"):
        AffineSpace(matrix=[[1, 1], [2, 2]], values=[1, 3])
    with pytest.raises(SettingError, match="rows of one length"):
        AffineSpace(matrix=[[1, 1], [2]], values=[1, 3])
    with pytest.raises(SettingError, match="a value for each equation"):
        AffineSpace(matrix=[[1, 1]], values=[1, 3])
    for kind in (SimplexSpace, BallSpace):
        with pytest.raises(SettingError, match="no bounds"):
            kind(3, low=0.0)
    with pytest.raises(SettingError, match="no space"):
        ProductSpace()
    with pytest.raises(SettingError, match="EdgeSpace"):
        ProductSpace(EdgeSpace(), MatrixSpace(2, 2))


def test_shares_that_are_held_at_rounding_do_not_move():
    # Projected answers hold a share of 1e-17 here and there in place of 0.
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x.requires_grad_()
    found = minimize(
        Quadratic(),
        Problem(x, SimplexSpace(4)),
        start=torch.full_like(x.detach(), 0.25),
        descent=LBFGS(),
        halting=Settled(relative=1e-10, absolute=1e-12),
        differentiable=Implicit(),
    )
    assert (found.outcome == Outcome.CONVERGED).all()
    wanted = torch.randn(64, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (slope,) = torch.autograd.grad((found.y * wanted).sum(), x)
    # On the shares that are not held the projection takes the mean away.
    inside = (found.y > 1e-9).double()
    clear = (SimplexSpace(4).project(x.detach()) > 1e-4).double().eq(inside).all(1)
    kept = wanted * inside
    exact = kept - inside * kept.sum(1, keepdim=True) / inside.sum(1, keepdim=True)
    torch.testing.assert_close(slope[clear], exact[clear], rtol=1e-6, atol=1e-6)
