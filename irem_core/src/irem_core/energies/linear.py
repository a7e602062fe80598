"""Linear maps, by whichever of torch's two libraries for CPUs is the faster.

On AMD processors torch multiplies float32 matrices by MKL, which there leaves half of each AVX-512
register unused; oneDNN, which torch brings along for its compiler, fills them and takes half the
time (benchmarks/products.py). Results differ by rounding. It is for layers of hundreds of units: in
narrow ones calls from Python cost what products save. Elsewhere, and for what oneDNN does not
take, such as float64, other devices and traced tensors, these are torch's own.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

# Below so many multiply-adds calling oneDNN from Python costs more than it saves.
_WORTHWHILE = 2**21

_weights_attached: ContextVar[bool] = ContextVar("weights_attached", default=True)


@functools.cache
def onednn_is_faster() -> bool:
    """Say whether this machine's float32 products are faster by oneDNN; fixed for a machine."""
    cpuinfo = Path("/proc/cpuinfo")
    return (
        torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and cpuinfo.is_file()
        and "AuthenticAMD" in cpuinfo.read_text(encoding="utf-8")
    )


@contextmanager
def without_weights(detached: bool = True) -> Iterator[None]:
    """Take weights for constants meanwhile: only gradients in inputs are wanted.

    Args:
        detached: False changes nothing.
    """
    token = _weights_attached.set(not detached)
    try:
        yield
    finally:
        _weights_attached.reset(token)


def linear(
    x: Float[Tensor, "*rows inputs"],
    weight: Float[Tensor, "outputs inputs"],
    bias: Float[Tensor, "..."] | None = None,
) -> Float[Tensor, "*rows outputs"]:
    """Return x W^T + b, differentiable any number of times.

    Args:
        x: the inputs.
        weight: W, as `torch.nn.Linear` keeps it.
        bias: b, `(outputs,)` or one for every row; none if None.
    """
    if not _suits(x, weight):
        if bias is None or bias.ndim == 1:
            return functional.linear(x, weight, bias)
        return torch.addmm(bias, x, weight.T)
    if not _weights_attached.get():
        weight = weight.detach()
    product: Tensor = _product(x.flatten(0, -2), weight).unflatten(0, x.shape[:-1])
    return product if bias is None else product + bias


class Linear(nn.Linear):
    """`torch.nn.Linear`, computed by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x W^T + b."""
        return linear(x, self.weight, self.bias)


def _suits(x: Tensor, weight: Tensor) -> bool:
    return (
        x.numel() * weight.shape[0] >= _WORTHWHILE
        and x.ndim > 1
        and x.dtype == weight.dtype == torch.float32
        and x.device.type == "cpu"
        and type(x) is Tensor
        and onednn_is_faster()
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
    )


class _Product(torch.autograd.Function):
    """A B^T of two matrices; so are its gradients, and theirs."""

    @staticmethod
    def forward(left: Tensor, right: Tensor) -> Tensor:
        """Multiply."""
        return multiply(left, right)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        """Keep both factors."""
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients in both factors."""
        left, right = ctx.saved_tensors
        in_left, in_right = ctx.needs_input_grad
        return (
            _product(slope, right.T) if in_left else None,
            _product(slope.T, left.T) if in_right else None,
        )


def _product(left: Tensor, right: Tensor) -> Tensor:
    return cast(Tensor, _Product.apply(left, right))  # type: ignore[no-untyped-call]


def multiply(
    left: Float[Tensor, "rows inner"], right: Float[Tensor, "columns inner"]
) -> Float[Tensor, "rows columns"]:
    """Return A B^T by oneDNN, without a graph."""
    product = torch.ops.mkldnn._linear_pointwise(_dense(left), _dense(right), None, "none", [], "")
    return cast(Tensor, product)


def _dense(matrix: Tensor) -> Tensor:
    """Return a matrix whose rows or columns lie one behind the other, as oneDNN reads them."""
    if matrix.is_contiguous() or matrix.T.is_contiguous():
        return matrix
    return matrix.contiguous()
