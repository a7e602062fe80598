"""Poolings over all ways from i to j through a third index k, `(B, n, n, channels)` each."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

# Numbers that are worked on at a time, so that they stay in the cache of a core.
_BLOCK = 2**14


def max_plus(
    left: Float[Tensor, "problems i k channels"], right: Float[Tensor, "problems k j channels"]
) -> Float[Tensor, "problems i j channels"]:
    """Return max_k (left_ik + right_kj), the matrix product of tropical algebra.

    What is kept for derivatives is which k is largest, the first of a tie: memory grows with n^2,
    and only the search with n^3. Derivatives of any order are those of the largest sum.

    Args:
        left: of the ways' first halves; -inf where there is none.
        right: of their second halves.
    """
    with torch.no_grad():
        best = _largest(left, right)
    return left.gather(2, best) + right.gather(1, best)


def _largest(left: Tensor, right: Tensor) -> Int[Tensor, "problems i j channels"]:
    found = []
    problems = max(1, _BLOCK // left[0].numel())
    for a, b in zip(left.split(problems), right.split(problems), strict=True):
        largest = a[:, :, 0, None] + b[:, None, 0]
        best = torch.zeros(largest.shape, dtype=torch.int16, device=left.device)
        for k in range(1, a.shape[2]):
            through = a[:, :, k, None] + b[:, None, k]
            best.masked_fill_(through > largest, k)
            torch.maximum(largest, through, out=largest)
        found.append(best.long())
    return torch.cat(found)


def max_plus_over_ways(
    left: Float[Tensor, "rows channels"],
    before: Int[Tensor, "rows ways"],
    right: Float[Tensor, "rows ways channels"],
    real: Bool[Tensor, "rows ways"],
) -> Float[Tensor, "rows channels"]:
    """Return the largest left[before] + right over the ways of each row, 0 where there is none.

    As in `max_plus`, what is kept is which way is largest, the first of a tie.

    Args:
        left: of every row.
        before: for each row and way, the row that comes before.
        right: what comes after it.
        real: which ways there are.
    """
    with torch.no_grad():
        largest = torch.full_like(left, -torch.inf)
        best = torch.zeros_like(left, dtype=torch.int64)
        for way in range(before.shape[1]):
            through = left[before[:, way]] + right[:, way]
            larger = (through > largest) & real[:, way, None]
            best.masked_fill_(larger, way)
            largest = torch.where(larger, through, largest)
    found = left.gather(0, before.gather(1, best)) + right.gather(1, best[:, None]).squeeze(1)
    return found * real.any(1, keepdim=True)


def product(
    left: Float[Tensor, "problems i k channels"], right: Float[Tensor, "problems k j channels"]
) -> Float[Tensor, "problems i j channels"]:
    """Return asinh of sum_k left_ik right_kj, the matrix product of each channel.

    asinh leaves small sums as they are and takes the logarithm of large ones. So energies do not
    grow with the fourth power of candidates that are far off, from which descent would not return.

    Args:
        left: of the ways' first halves; 0 where there is none.
        right: of their second halves.
    """
    first, second = left.permute(0, 3, 1, 2), right.permute(0, 3, 1, 2)
    return (first @ second).asinh().permute(0, 2, 3, 1)


POOLINGS = {"max": (max_plus, -torch.inf), "product": (product, 0.0)}
"""Poolings by name, each with what stands for an entry that is not there."""
