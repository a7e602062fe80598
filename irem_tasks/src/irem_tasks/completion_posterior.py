"""What no completion of a matrix can beat in mean square: the mean under the true prior."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from irem_core import checks


def posterior_mean(
    x: Float[Tensor, "problems rows columns"],
    *,
    scale: float = 0.05,
    rank: int = 10,
    noise: float = 0.1,
    sweeps: int = 600,
    generator: torch.Generator,
) -> Float[Tensor, "problems rows columns"]:
    """Return the mean of y given x under `MatrixCompletion`'s own distribution.

    y is scale U Vᵀ + noise N(0, 1) with standard normal U and V of `rank` columns, and x is y with
    hidden entries 0. Gibbs sampling draws U given V and V given U in turn, each of which is
    Gaussian with independent rows; what is averaged are the means of these Gaussians. Chains begin
    at random, so the first third of the sweeps is left out. It takes the noise to be `scale` at
    first, where that is larger, and less and less: else a chain stays near a bad start for long.

    Args:
        x: matrices with hidden entries, on the device of the generator.
        scale: 0.05 on "same" and 0.2 on "harder".
        rank: columns of U and of V.
        noise: standard deviation of what is added.
        sweeps: draws of both U and V; on "harder" the error at 600 is within 1% of its limit.
        generator: the only source of randomness.

    Raises:
        SettingError: a number is out of range.
    """
    checks.check(checks.positive, "posterior_mean", scale=scale, noise=noise)
    checks.check(checks.count, "posterior_mean", rank=rank, sweeps=sweeps)
    shown = x != 0
    right = torch.randn(x.shape[0], x.shape[2], rank, generator=generator, device=x.device).to(x)
    total = torch.zeros_like(x)
    left_out = sweeps // 3
    for sweep in range(sweeps):
        heat = max(1 - sweep / left_out, 0.0) if left_out else 0.0
        current = noise * max(scale / noise, 1.0) ** heat
        left_mean, left = _draw(x, shown, right, scale, current, generator)
        by_left = left_mean @ right.mT
        right_mean, right = _draw(x.mT, shown.mT, left, scale, current, generator)
        if sweep >= left_out:
            total += by_left + left @ right_mean.mT
    hidden = scale * total / (2 * (sweeps - left_out))
    return torch.where(shown, x, hidden)


def _draw(
    x: Float[Tensor, "problems rows columns"],
    shown: Bool[Tensor, "problems rows columns"],
    other: Float[Tensor, "problems columns rank"],
    scale: float,
    noise: float,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "problems rows rank"], Float[Tensor, "problems rows rank"]]:
    """Draw one factor given the other; return the mean of its Gaussian, and the draw.

    Each row of x is a linear regression on the rows of `other` in its shown columns.
    """
    rank = other.shape[2]
    squares = (other[..., :, None] * other[..., None, :]).flatten(2)
    information = (shown.to(x) @ squares).unflatten(2, (rank, rank))
    unit = torch.eye(rank, dtype=x.dtype, device=x.device)
    root = torch.linalg.cholesky(unit + (scale / noise) ** 2 * information)
    mean = torch.cholesky_solve((scale / noise**2 * x @ other)[..., None], root)
    white = torch.empty_like(mean).normal_(generator=generator)
    draw = mean + torch.linalg.solve_triangular(root.mT, white, upper=True)
    return mean[..., 0], draw[..., 0]
