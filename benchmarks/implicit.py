"""An update by implicit differentiation against one through all steps, at the same descent.

The energy is |f(y) - x|^2 / 2 with a residual network f, so that 100 steps of gradient descent
arrive
at its minimum, where both gradients are the same up to what is left to descend. Times are taken in
alternating rounds, memory in a process of its own for each rule.
"""

from __future__ import annotations

import time

import attrs
import torch
from torch import Tensor, nn

import measuring
from irem_core import (
    Backprop,
    EnergyFn,
    FullUnroll,
    GradientDescent,
    Implicit,
    Iterate,
    Problem,
    Rollout,
)
from irem_core.runs.provenance import peak_memory
from measuring import MEBIBYTE, Spread

SIZE, WIDTH, PROBLEMS, STEPS = 32, 512, 256, 100
RULES: dict[str, Backprop] = {"full-unroll": FullUnroll(), "implicit": Implicit(tolerance=1e-4)}


class Residual(EnergyFn):
    """E = |y + g(y) / 2 - x|^2 / 2, where g has two layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.outer = nn.Linear(SIZE, WIDTH), nn.Linear(WIDTH, SIZE)

    def energy(self, context: Tensor, y: Tensor) -> Tensor:
        image: Tensor = y + self.outer(self.inner(y).tanh()) / 2
        energy: Tensor = (image - context).square().sum(-1) / 2
        return energy


def update(rule: Backprop, problems: int = PROBLEMS) -> tuple[Tensor, float]:
    """Return the gradient of all weights after a descent from zero, and the seconds it took."""
    energy = Residual()
    problem = Problem(torch.randn(problems, SIZE, generator=torch.Generator().manual_seed(1)))
    rollout = Rollout(
        energy=energy,
        problem=problem,
        start=Iterate(torch.zeros(problems, SIZE), problem.layout),
        descent=GradientDescent(step_size=0.5),
        steps=STEPS,
    )
    since = time.perf_counter()
    loss, _ = rule.loss(rollout, lambda iterate: (iterate.y - 1).square().mean(), torch.Generator())
    loss.backward()
    seconds = time.perf_counter() - since
    slopes = [weight.grad for weight in energy.parameters() if weight.grad is not None]
    return torch.cat([slope.flatten() for slope in slopes]), seconds


def memory(name: str) -> int:
    """Return the bytes that an update makes this process grow by."""
    update(RULES[name], 1)  # what torch itself needs
    before = peak_memory()
    update(RULES[name])
    return peak_memory() - before


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(__doc__ or "", rounds=7)
    options = measuring.parse(parser)
    if options.memory_of is not None:
        print(memory(options.memory_of))
        return
    machine = measuring.machine()
    exact, found = (update(rule)[0] for rule in RULES.values())
    apart = float((found - exact).norm() / exact.norm())
    taken: dict[str, list[float]] = {name: [] for name in RULES}
    for _ in range(options.rounds):
        for name, rule in RULES.items():
            taken[name].append(update(rule)[1])
    grown = {name: measuring.memory_of(name, "--threads", str(options.threads)) for name in RULES}
    slow, fast = (taken[name] for name in RULES)
    ratio = Spread.of([one / other for one, other in zip(fast, slow, strict=True)])
    share = grown["implicit"] / grown["full-unroll"]
    print(f"{PROBLEMS} problems of {SIZE} unknowns, {STEPS} steps")
    for name in RULES:
        seconds = Spread.of(taken[name])
        print(f"  {name:12} {seconds:.3f} s, {grown[name] / MEBIBYTE:.0f} MiB")
    print(f"  implicit : full unroll, time {ratio:.2f}, memory {share:.2f}")
    print(f"  gradients {apart:.1e} apart")
    measuring.write(
        options.json,
        {
            "machine": machine,
            "seconds": {name: attrs.asdict(Spread.of(taken[name])) for name in RULES},
            "memory_bytes": grown,
            "time_ratio": attrs.asdict(ratio),
            "memory_ratio": share,
            "gradient_distance": apart,
        },
    )


if __name__ == "__main__":
    main()
