"""Descents that use curvature, where a face of a space holds the answers."""

import pytest
import torch

from irem_core import (
    LBFGS,
    AffineSpace,
    Anderson,
    BallSpace,
    EnergyFn,
    FixedSteps,
    LevenbergMarquardt,
    NewtonCG,
    Problem,
    SimplexSpace,
    minimize,
)

F64 = torch.float64
SIZE, STEEPEST = 8, 100.0
SPACES = {
    "simplex": SimplexSpace(SIZE),
    "ball": BallSpace(SIZE, radius=1.0),
    "affine": AffineSpace([[1.0] * SIZE, [1.0, -1.0] * (SIZE // 2)], [1.0, 0.3]),
}


class Valley(EnergyFn):
    """|R (y - c)|^2, whose minimiser c lies outside of the spaces."""

    def residuals(self, context, y):
        return (context["root"] @ (y - context["center"])[:, :, None])[:, :, 0]

    def energy(self, context, y):
        return self.residuals(context, y).square().sum(1)


@pytest.mark.parametrize("descent", [LBFGS(), Anderson(), NewtonCG(), LevenbergMarquardt()])
@pytest.mark.parametrize("name", SPACES)
def test_the_minimum_on_a_face_is_found_in_a_few_steps(name, descent):
    space, generator = SPACES[name], torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(6, SIZE, SIZE, generator=generator, dtype=F64)).Q
    root = torch.logspace(0, 1, SIZE, dtype=F64)[:, None] * turn
    x = {"root": root, "center": torch.randn(6, SIZE, generator=generator, dtype=F64)}
    start = space.project(torch.zeros(6, SIZE, dtype=F64))
    halting = FixedSteps(steps=40)
    y = minimize(Valley(), Problem(x, space), start=start, descent=descent, halting=halting).last

    # A convex energy is lowest where a short step against the gradient leads back.
    slope = 2 * (root.mT @ Valley().residuals(x, y)[:, :, None])[:, :, 0]
    back = space.project(y - slope / (2 * STEEPEST))
    torch.testing.assert_close(space.project(y), y)
    torch.testing.assert_close(back, y, rtol=0, atol=1e-6)
    assert (slope.abs().amax(1) > 0.1).all()
