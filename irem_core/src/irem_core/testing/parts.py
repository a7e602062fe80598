"""What parts keep to: those with settings alone in general, schedules of noise and spaces."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from irem_core.part import settings_of
from irem_core.problems.layout import Layout
from irem_core.problems.space import Space
from irem_core.solvers.schedules import NoiseSchedule
from irem_core.testing.support import (
    contract,
    no_global_randomness,
    require_error,
    seeded_generator,
)


@contract
def check_part(part: Any) -> None:
    """Check that a part is frozen, and rebuilt by its settings as an equal one.

    Args:
        part: an instance of an attrs class, such as a descent.

    Raises:
        AssertionError: it is not.
    """
    title = type(part).__name__
    try:
        settings = settings_of(part)
    except TypeError as error:
        raise AssertionError(f"{title} reports no settings; write it with attrs.frozen") from error
    try:
        rebuilt = type(part)(**settings)
    except TypeError as error:
        raise AssertionError(f"{title} cannot be rebuilt from its settings: {error}") from error
    assert rebuilt == part, f"{title} rebuilt from its settings is {rebuilt!r}, not {part!r}"
    for name, value in settings.items():
        frozen = f"{title} lets its setting {name} be changed; write it with attrs.frozen"
        require_error(frozen, AttributeError, setattr, part, name, value)
    typo = f"{title} takes no_such_setting=1; a setting that it does not have must be a TypeError"
    require_error(typo, TypeError, type(part), **settings, no_such_setting=1)


@contract
def check_schedule(schedule: NoiseSchedule) -> None:
    """Check that a schedule of noise has levels that can be trained at and descended.

    Args:
        schedule: the schedule.

    Raises:
        AssertionError: it breaks its contract.
    """
    check_part(schedule)
    title, noise = type(schedule).__name__, schedule.noise
    assert len(noise) > 0, f"{title} has no level of noise"
    ends = (0.0, *noise, 1.0)
    assert all(low < high for low, high in pairwise(ends)), (
        f"{title} has the levels {noise}; expected some above 0 and below 1, ascending"
    )


@contract
def check_space(space: Space) -> None:
    """Check that a space draws starts within its bounds, and knows its own tensors.

    Args:
        space: the space.

    Raises:
        AssertionError: it breaks its contract.
    """
    check_part(space)
    title = str(space)
    assert type(space).__name__ in title, f"{title!r} does not name its {type(space).__name__}"
    layout = Layout.of_owner(torch.arange(40).repeat_interleave(3)) if space.ragged else Layout(40)
    with no_global_randomness(title):
        y, again, other = (space.start(layout, seeded_generator(seed)) for seed in (0, 0, 1))
    shape = (layout.rows, *space.shape)
    assert y.shape == shape, f"{title} draws starts of shape {tuple(y.shape)}, not {shape}"
    assert space.size == y[0].numel(), f"{title} says size {space.size}, and has {y[0].numel()}"
    assert torch.equal(y, again), f"{title} draws other starts from a generator of the same seed"
    assert not torch.equal(y, other), f"{title} draws equal starts from generators of two seeds"
    precise = space.start(layout, seeded_generator(0), dtype=torch.float64).dtype
    assert precise == torch.float64, f"{title} draws {precise} where float64 was asked for"
    for candidate in (y, space.project(100 * y)):
        _check_bounds(space, candidate, title)
    space.check("candidate", y, layout.rows)
    for value in (y[..., None], y.long(), y[0], "text", torch.full_like(y, math.nan)):
        _check_refusal(space, value, None, title)
    _check_refusal(space, y, layout.rows + 1, title)


def _check_bounds(space: Space, within: Tensor, title: str) -> None:
    low, high = space.limits(within)
    least, greatest = float(within.min()), float(within.max())
    inside = (low is None or (within >= low).all()) and (high is None or (within <= high).all())
    assert inside, f"{title} leaves entries from {least} to {greatest}, which its bounds exclude"
    projected = space.project(within)
    # Up to rounding, where entries hang together.
    rounding = 1e-5 * float(within.abs().max())
    still = projected.shape == within.shape and torch.allclose(projected, within, 0.0, rounding)
    assert still, f"{title} moves what is within its bounds already"


def _check_refusal(space: Space, value: Any, rows: int | None, title: str) -> None:
    shown = repr(value)
    if isinstance(value, Tensor):
        shown = f"{tuple(value.shape)} of {value.dtype} from {value.min()} to {value.max()}"
    taken = f"{title} takes {shown} for {rows or 'any number of'} rows of its own"
    error = require_error(taken, ValueError, space.check, "candidate", value, rows)
    assert "candidate" in str(error), f"{title} refuses {shown} without its name: {error}"
