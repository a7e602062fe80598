"""Expected errors of energies that do not mean any: a rising curve, fitted where training was not.

Of such energies it is only asked that answers of higher ones be more wrong on average.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from irem_core.errors import SettingError

Curve = tuple[tuple[float, float], ...]
"""Knots of a curve, each an energy and the error expected there, both rising."""

# Knots at most, and problems that each must stand for.
_KNOTS, _FEWEST = 20, 10


def fitted_curve(energies: Float[Tensor, " problems"], errors: Float[Tensor, " problems"]) -> Curve:
    """Return the rising curve that is nearest to the errors, in bins of equally many problems.

    That is isotonic regression, by pooling adjacent violators (Barlow et al., 1972).

    Args:
        energies: of answers, an entry.
        errors: of the same ones.

    Returns:
        Its knots; none for fewer than twenty problems whose numbers are finite, and where all
        energies are the same.
    """
    known = energies.isfinite() & errors.isfinite()
    energies, errors = energies[known].double(), errors[known].double()
    count = min(_KNOTS, len(energies) // _FEWEST)
    if count < 2 or bool((energies == energies[0]).all()):
        return ()
    bins = energies.argsort(stable=True).tensor_split(count)
    pooled: list[tuple[float, int]] = []
    for rows in bins:
        level, size = float(errors[rows].mean()), 1
        while pooled and pooled[-1][0] >= level:
            before, many = pooled.pop()
            level, size = (level * size + before * many) / (size + many), size + many
        pooled.append((level, size))
    levels = [level for level, size in pooled for _ in range(size)]
    middles = [float(energies[rows].mean()) for rows in bins]
    return (*zip(middles, levels, strict=True), (float(energies.max()), levels[-1]))


def read_off(curve: Curve, energies: Float[Tensor, " problems"]) -> Float[Tensor, " problems"]:
    """Return the errors that a curve expects at some energies.

    Between knots it is straight, and before the first one flat. Beyond the last nothing is known,
    and infinity returned.
    """
    x, y = torch.tensor(curve, dtype=torch.float64, device=energies.device).T.contiguous()
    at = energies.double().contiguous()
    # Of knots at one energy the last, whose error is the largest.
    after = torch.searchsorted(x, at, right=True).clamp(1, len(x) - 1)
    width = x[after] - x[after - 1]
    share = torch.where(width > 0, (at - x[after - 1]) / width, 0.0).clamp(0, 1)
    found = torch.lerp(y[after - 1], y[after], share)
    return found.masked_fill(~(at <= x[-1]), torch.inf).to(energies.dtype)


def as_curve(value: Sequence[Sequence[float]]) -> Curve:
    """Return knots as a curve.

    Raises:
        SettingError: they do not rise, or are not pairs of finite numbers.
    """
    if not len(value):
        return ()
    try:
        knots = tuple((float(energy), float(error)) for energy, error in value)
    except (TypeError, ValueError):
        knots = ()
    columns = torch.tensor(knots, dtype=torch.float64)
    if len(knots) < 2 or not columns.isfinite().all() or (columns.diff(dim=0) < 0).any():
        raise SettingError(
            f"IREM got expected_errors={value!r}; expected none, or at least two knots (energy, "
            "error) of finite numbers that do not fall."
        )
    return knots
