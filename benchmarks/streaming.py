"""Continuous batching against batches that wait for their slowest problem, and against `minimize`.

Problems are quadratic bowls of 256 dimensions whose condition numbers are drawn from 1 to 400 on a
logarithmic scale, so that a few take many times the steps of most. All ways descend equally,
halt equally, and hold as many problems at a time; their answers agree.

- waiting: every problem of a batch is evaluated until the last one halts, as without any masking.
- compacted: `minimize`, one batch after the other; problems that halted are dropped.
- streamed: `minimize_many`, which refills the batch as problems halt.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import attrs
import torch
from torch import Tensor, nn

import measuring
from irem_core import (
    EnergyFn,
    EnergyPlateau,
    GradientDescent,
    Outcome,
    Problem,
    VectorSpace,
    minimize,
    minimize_many,
)
from irem_core.solving import descending
from irem_core.solving.streaming import starts_of
from measuring import Spread

SIZE, CONDITION = 256, 400.0
DESCENT, HALTING, MAX_STEPS = GradientDescent(step_size=1.0), EnergyPlateau(tolerance=1e-5), 10_000
CAPACITY, PART = 512, 64


class Bowls(EnergyFn):
    """Bowls whose axes are turned alike; x holds each bowl's centre and curvatures."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = VectorSpace(SIZE)
        generator = torch.Generator().manual_seed(0)
        turned, _ = torch.linalg.qr(torch.randn((SIZE, SIZE), generator=generator))
        self.axes = nn.Buffer(turned)
        self.evaluated = 0

    def energy(self, context: Tensor, y: Tensor) -> Tensor:
        self.evaluated += len(y)
        centre, curvatures = context.chunk(2, 1)
        return (curvatures * ((y - centre) @ self.axes.T).square()).sum(1) / 2


def bowls(count: int) -> Tensor:
    """Draw bowls whose least curvature is 1 / condition of the largest, 1."""
    generator = torch.Generator().manual_seed(1)
    centre = 2 * torch.rand((count, SIZE), generator=generator) - 1
    least = CONDITION ** -torch.rand((count, 1), generator=generator)
    share = torch.rand((count, SIZE), generator=generator)
    return torch.cat([centre, least**share], 1)


def waiting(energy: Bowls, x: Tensor) -> Tensor:
    answers = []
    for number, batch in enumerate(x.split(CAPACITY)):
        problem = Problem(batch, energy.answer)
        start = energy.start(problem, starts_of(number, 0, problem.device))
        with descending.solving():
            context = energy.encode(problem)
            held = descending.begin(energy, problem, context, start, DESCENT, HALTING)
            for _ in range(MAX_STEPS):
                if not bool((held.found.outcome == Outcome.RUNNING).any()):
                    break
                held = descending.advance(energy, energy.answer, held, DESCENT, HALTING)
        answers.append(held.found.best.iterate.y)
    return torch.cat(answers)


def compacted(energy: Bowls, x: Tensor) -> Tensor:
    settings: dict[str, Any] = {"descent": DESCENT, "halting": HALTING, "max_steps": MAX_STEPS}
    return torch.cat([minimize(energy, batch, **settings).y for batch in x.split(CAPACITY)])


def streamed(energy: Bowls, x: Tensor) -> Tensor:
    found = minimize_many(
        energy,
        x.split(PART),
        descent=DESCENT,
        halting=HALTING,
        max_steps=MAX_STEPS,
        capacity=CAPACITY,
    )
    return torch.cat([solution.y for solution in found])


WAYS: dict[str, Callable[[Bowls, Tensor], Tensor]] = {
    "waiting": waiting,
    "compacted": compacted,
    "streamed": streamed,
}


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(__doc__ or "", rounds=5)
    parser.add_argument("--problems", type=int, default=8 * CAPACITY, help="how many to solve")
    options = measuring.parse(parser)
    machine = measuring.machine()
    x = bowls(options.problems)
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    figures: dict[str, Any] = {"problems": options.problems, "ways": {}}
    for _ in range(options.rounds):
        for name, way in WAYS.items():
            energy, since = Bowls(), time.perf_counter()
            answers = way(energy, x)
            seconds[name].append(time.perf_counter() - since)
            error = float((answers - x[:, :SIZE]).square().mean())
            figures["ways"][name] = {"evaluated": energy.evaluated, "mse": error}
    for name, taken in seconds.items():
        found = figures["ways"][name]
        slower = [other / own for other, own in zip(taken, seconds["streamed"], strict=True)]
        found["seconds"] = attrs.asdict(Spread.of(taken))
        found["times_streamed"] = attrs.asdict(Spread.of(slower))
        print(
            f"{name:10} {Spread.of(taken):.2f} s, {found['evaluated'] / len(x):.0f} energies a "
            f"problem, error {found['mse']:.1e}, {Spread.of(slower):.2f} x the time of streamed"
        )
    measuring.write(options.json, {"machine": machine, **figures})


if __name__ == "__main__":
    main()
