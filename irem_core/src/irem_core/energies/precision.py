"""Products in bfloat16 and the rest in float32, by torch's automatic mixed precision.

Layers multiply numbers of 8 significant bits, which processors with units for them do several
times as fast. What a descent adds up and compares over its steps stays in float32: candidates,
gradients, and energies, whose differences say when to halt.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def products_in_bfloat16(
    device: torch.device, wanted: bool = True
) -> AbstractContextManager[object]:
    """Have layers multiply in bfloat16 meanwhile, their weights staying as they are.

    Args:
        device: where.
        wanted: False changes nothing.
    """
    if not wanted:
        return nullcontext()
    # Without a cache, which would keep what was made of a weight without a graph, or for a trace.
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


@contextmanager
def full_products() -> Iterator[None]:
    """Have a caller's `torch.autocast` change nothing, since it would round energies."""
    with ExitStack() as stack:
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def wide(values: Tensor) -> Tensor:
    """Return numbers of half precision in float32, and others as they are."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def exact_linear(
    x: Float[Tensor, "*rows inputs"],
    weight: Float[Tensor, "outputs inputs"],
    bias: Float[Tensor, " outputs"] | None = None,
) -> Float[Tensor, "*rows outputs"]:
    """Return x W^T + b in the precision of the weights."""
    if not torch.is_autocast_enabled(x.device.type):
        return functional.linear(x, weight, bias)
    with torch.autocast(x.device.type, enabled=False):
        return functional.linear(wide(x), weight, bias)


class ReadOut(nn.Linear):
    """`torch.nn.Linear` by `exact_linear`: a last layer, which sums up an energy."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x W^T + b."""
        return exact_linear(x, self.weight, self.bias)
