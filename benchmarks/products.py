"""Float32 products of the shapes that training has, by torch's own library and by oneDNN.

The first factor has problems for rows, or entries of all problems; alternating rounds. On machines
where `irem_core.energies.linear` prefers oneDNN the perceptron's are those of the right column.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import attrs
import torch
from torch import Tensor
from torch.nn import functional

import measuring
from irem_core.energies.linear import multiply, onednn_is_faster
from measuring import Spread

SHAPES = {
    "perceptron, first layer": (256, 400, 512),
    "perceptron, hidden layer": (256, 512, 512),
    "perceptron, gradient in weights": (512, 256, 512),
    "pairs of entries": (4400, 96, 64),
    "messages of graphs": (960, 128, 128),
}
SECONDS = 0.2


def rate(product: Callable[[Tensor, Tensor], Tensor], left: Tensor, right: Tensor) -> float:
    """Return the multiply-adds a second of A B^T."""
    product(left, right)
    count, since = 0, time.perf_counter()
    while time.perf_counter() - since < SECONDS:
        product(left, right)
        count += 1
    cost = left.shape[0] * left.shape[1] * right.shape[0]
    return count * cost / (time.perf_counter() - since)


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(__doc__ or "", rounds=5)
    options = measuring.parse(parser)
    machine = measuring.machine()
    print(f"irem multiplies by {'oneDNN' if onednn_is_faster() else 'torch'} on this machine.")
    print(f"{'GFLOP/s':34}{'torch':>8}{'oneDNN':>8}   ratio")
    figures: dict[str, Any] = {"prefers_onednn": onednn_is_faster(), "shapes": {}}
    for name, (rows, inner, columns) in SHAPES.items():
        left, right = torch.rand(rows, inner), torch.rand(columns, inner)
        pairs = [
            (rate(functional.linear, left, right), rate(multiply, left, right))
            for _ in range(options.rounds)
        ]
        own, other = (Spread.of([2e-9 * pair[side] for pair in pairs]) for side in (0, 1))
        ratio = Spread.of([fast / slow for slow, fast in pairs])
        print(f"{name:34}{own.median:8.0f}{other.median:8.0f}   {ratio:.2f}")
        figures["shapes"][name] = {
            "shape": [rows, inner, columns],
            "torch_gflops": attrs.asdict(own),
            "onednn_gflops": attrs.asdict(other),
            "ratio": attrs.asdict(ratio),
        }
    measuring.write(options.json, {"machine": machine, **figures})


if __name__ == "__main__":
    main()
