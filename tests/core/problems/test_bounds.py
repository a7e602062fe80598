"""Bounds of each entry: kept to as numpy clips, and refused where they are none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from irem_core import (
    LBFGS,
    CoordinateFlip,
    EnergyFn,
    MatrixSpace,
    Problem,
    SettingError,
    VectorSpace,
    minimize,
    settings_of,
)

LOW, HIGH = np.array([-1.0, -np.inf, 0.5]), np.array([np.inf, 2.0, 0.75])


class Bowl(EnergyFn):
    def energy(self, context, y):
        return (y - context).square().sum(-1)


def test_entries_are_clipped_as_numpy_clips_them() -> None:
    space = VectorSpace(3, low=LOW, high=HIGH)
    y = 3 * torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    np.testing.assert_array_equal(space.project(y), np.clip(y.numpy(), LOW, HIGH))
    found = minimize(Bowl(), Problem(y, space), start=0 * y, descent=LBFGS())
    np.testing.assert_allclose(found.y, np.clip(y.numpy(), LOW, HIGH), atol=1e-8)
    # A checkpoint keeps settings, from which the same space comes.
    assert VectorSpace(**settings_of(space)) == space
    rows = MatrixSpace(1, 3, low=LOW[None].tolist(), high=HIGH[None])
    np.testing.assert_array_equal(rows.project(y[:, None])[:, 0], space.project(y))


def test_flips_go_between_the_bounds_of_each_entry() -> None:
    space = VectorSpace(2, low=[0, 10], high=[1, 20])
    wanted = torch.tensor([[0.9, 11.0], [0.2, 19.0]])
    found = minimize(
        Bowl(), Problem(wanted, space), start=0 * wanted, descent=CoordinateFlip(), max_steps=20
    )
    assert found.y.tolist() == [[1.0, 10.0], [0.0, 20.0]]


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"low": [0.0, 1.0]}, "got 2 numbers as low; expected one for all .* the 3 of a row"),
        ({"low": [0.0, 3.0, 0.0], "high": 2.0}, "low=3.0 and high=2.0 of entry 1"),
        ({"high": [0.0, np.nan, 0.0]}, "expected a finite number"),
        ({"low": "low"}, "expected a finite number"),
    ],
)
def test_what_bounds_nothing_is_refused(bounds, message) -> None:
    with pytest.raises(SettingError, match=message):
        VectorSpace(3, **bounds)
