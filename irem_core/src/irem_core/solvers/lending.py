"""Giving a module other weights, for a while or for good."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def lent(weights: Sequence[Tensor], values: Sequence[Tensor]) -> Iterator[None]:
    """Give weights other values for a while; the memory with their own is never written to.

    Args:
        weights: parameters of a module.
        values: as many tensors of the same shapes.
    """
    # functional_call would not do: it loses the weights of a module that has two names.
    own = [weight.data for weight in weights]
    try:
        for weight, value in zip(weights, values, strict=True):
            weight.data = value
        yield
    finally:
        for weight, value in zip(weights, own, strict=True):
            weight.data = value


@torch.no_grad()
def assign(weights: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Write values over weights, in their memory.

    Args:
        weights: parameters, or tensors that stand for some.
        values: as many tensors of the same shapes.
    """
    for weight, value in zip(weights, values, strict=True):
        weight.copy_(value)
