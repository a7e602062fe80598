"""What a caller's modes of torch leave as it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from irem_core import (
    BarzilaiBorwein,
    EnergyFn,
    Problem,
    VectorSpace,
    minimize,
    minimize_many,
)


class Layered(EnergyFn):
    """A convex energy by a matrix product, which autocast would round."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 5)

    def energy(self, context: Tensor, y: Tensor) -> Tensor:
        return (self.layer(y) - context).square().sum(-1)


def test_autocast_rounds_no_energy() -> None:
    torch.manual_seed(0)
    energy, x = Layered().requires_grad_(False), torch.randn(2, 5)
    problem, settings = Problem(x, VectorSpace(3)), {"descent": BarzilaiBorwein()}

    def solved() -> list[Tensor]:
        streamed = next(iter(minimize_many(energy, [problem], **settings)))
        return [minimize(energy, problem, **settings).y, streamed.y]

    truth = solved()
    with torch.autocast("cpu", torch.bfloat16):
        found = solved()
        assert energy.layer(x[:, :3]).dtype == torch.bfloat16
    for mine, theirs in zip(found, truth, strict=True):
        assert torch.equal(mine, theirs)
    exact = torch.linalg.lstsq(energy.layer.weight, (x - energy.layer.bias).T).solution.T
    torch.testing.assert_close(found[0], exact, atol=1e-3, rtol=0)
