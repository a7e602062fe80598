"""Gaussian elimination with partial pivoting, on a batch of matrices at once."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def eliminate(
    matrices: Float[Tensor, "problems rows columns"],
) -> tuple[
    Float[Tensor, "problems rows columns"],
    Int[Tensor, "problems rows"],
    Float[Tensor, " problems"],
]:
    """Reduce matrices to echelon form, row by row, the largest pivot of each column first.

    Args:
        matrices: at least as wide as high; columns beyond the square are carried along.

    Returns:
        U on and above the diagonal, with L's multipliers below it; which row of the matrix stands
        where; and 1 or -1 for an even or odd number of swaps.
    """
    reduced = matrices.clone()
    count, rows, _ = reduced.shape
    order = torch.arange(rows, device=reduced.device).repeat(count, 1)
    sign = reduced.new_ones(count)
    each = torch.arange(count, device=reduced.device)
    for column in range(rows - 1):
        pivot = column + reduced[:, column:, column].abs().argmax(1)
        for values in (reduced, order):
            upper, lower = values[:, column].clone(), values[each, pivot]
            values[:, column], values[each, pivot] = lower, upper
        sign = torch.where(pivot == column, sign, -sign)
        head, below = reduced[:, column, None, column:], reduced[:, column + 1 :, column:]
        # Below a pivot of 0 there is nothing left to eliminate.
        factors = torch.where(head[..., :1] == 0, 0, below[..., :1] / head[..., :1])
        below -= factors * head
        reduced[:, column + 1 :, column] = factors.squeeze(-1)
    return reduced, order, sign
