"""A factor energy against one written for 9 x 9 boards alone, with the same weights.

The other knows that factors are rows, columns and boxes: it sums over dimensions of one dense
tensor and adds what comes of it by broadcasting, without any list of who belongs to whom. Both
compute the energy and its gradient in y, the work of a step, in alternating rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional

import measuring
from irem_core import FactorEnergy, Iterate, differentiate, load_task
from measuring import Spread

BOARDS = 64
_SIZE, _BOX = 9, 3
_GRID = (_SIZE, _SIZE, _SIZE)


class Board(nn.Module):
    """The same energy of boards whose rows, columns and boxes are dimensions.

    Args:
        energy: whose weights it takes.
    """

    def __init__(self, energy: FactorEnergy) -> None:
        super().__init__()
        self.energy = energy

    def forward(self, given: Tensor, y: Tensor) -> Tensor:
        """Return energies `(B,)` of `(B, 9, 9, 9, 1)`: rows, columns, values."""
        of: Any = self.energy
        features = of.question_map(given) + of.answer_map(y)
        for each in of.rounds:
            variable, all_different = each.factors.nets
            sent = functional.silu(each.factors.send(features)) / 3
            message = variable(sent.sum(3, keepdim=True))
            message = message + all_different(sent.sum(2, keepdim=True))
            message = message + all_different(sent.sum(1, keepdim=True))
            boxes = sent.unflatten(2, (_BOX, _BOX)).unflatten(1, (_BOX, _BOX)).sum((2, 4))
            wide = all_different(boxes).repeat_interleave(_BOX, 1).repeat_interleave(_BOX, 2)
            features = features + each.update(torch.cat([features, message + wide], -1))
        misfit = of.read_entries(features)
        energy: Tensor = of.log_scale.exp() / 2 * misfit.square().mean(-1).flatten(1).sum(1)
        return energy


def main() -> None:
    """Measure and print."""
    options = measuring.parse(measuring.parser(__doc__ or "", rounds=15))
    machine = measuring.machine()
    task = load_task("sudoku")
    problem, _ = task.sample(BOARDS, "same", generator=torch.Generator().manual_seed(0))
    energy = FactorEnergy.for_task(task)
    board = Board(energy)
    given = problem.x["entry"].x.view(BOARDS, *_GRID, -1)
    y = torch.rand(problem.layout.rows, 1, generator=torch.Generator().manual_seed(1))
    context = energy.encode(problem)

    def general() -> tuple[Tensor, Tensor]:
        found = differentiate(energy, context, Iterate(y, problem.layout))
        return found.energy, found.slope.y

    def special() -> tuple[Tensor, Tensor]:
        at = y.view(BOARDS, *_GRID, 1).detach().requires_grad_()
        value = board(given, at)
        (slope,) = torch.autograd.grad(value.sum(), at)
        return value.detach(), slope.view_as(y)

    ways: dict[str, Callable[[], tuple[Tensor, Tensor]]] = {"general": general, "special": special}
    for one, other in zip(*(way() for way in ways.values()), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            since = time.perf_counter()
            way()
            taken[name].append(time.perf_counter() - since)
    ratio = Spread.of([one / other for one, other in zip(*taken.values(), strict=True)])
    print(f"energy and gradient of {BOARDS} boards")
    for name, seconds in taken.items():
        print(f"  {name:8} {Spread.of([1000 * each for each in seconds]):.1f} ms")
    print(f"  general : special {ratio:.2f}")
    measuring.write(
        options.json,
        {
            "machine": machine,
            "boards": BOARDS,
            "seconds": {name: attrs.asdict(Spread.of(each)) for name, each in taken.items()},
            "ratio": attrs.asdict(ratio),
        },
    )


if __name__ == "__main__":
    main()
