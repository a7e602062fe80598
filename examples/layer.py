"""A network with a solver inside learns the cost of quadratic programs from their answers.

A question is a vector u. Hidden from the learner, a linear map makes it the prices of a program,
whose answer is the y between 0 and 1 that minimises y' Q y / 2 - prices' y. From questions and
answers alone a network of a linear layer and a solver learns both, the map and Q: the loss on an
answer reaches them by the implicit function theorem (see docs/differentiation.md). Beside it stand
a network of plain layers, trained on the same pairs, and the best constant answer.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn

import irem_core as irem


class Program(irem.EnergyFn):
    """E = |R y|^2 / 2 + |y|^2 / 20 - prices' y, whose weights are R."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.answer = irem.VectorSpace(size, low=0.0, high=1.0)
        self.root = nn.Parameter(torch.eye(size))

    def energy(self, context: Tensor, y: Tensor) -> Tensor:
        curved = (y @ self.root.mT).square().sum(-1) / 2 + y.square().sum(-1) / 20
        return curved - (context * y).sum(-1)


class Network(nn.Module):
    """A linear layer, and a solver of the programs that it writes."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.prices = nn.Linear(size, size)
        self.program = Program(size)
        halting = irem.EnergyPlateau(tolerance=1e-5)
        solver = irem.IREM(self.program, descent=irem.BarzilaiBorwein(), halting=halting, replay=0)
        self.solve = irem.SolverLayer(solver, max_steps=200)

    def forward(self, questions: Tensor) -> Tensor:
        answers: Tensor = self.solve(self.prices(questions))
        return answers

    @property
    def cost(self) -> Tensor:
        """Q over its trace: answers do not tell the unit of cost."""
        root = self.program.root.detach()
        curved = root.mT @ root + torch.eye(len(root)) / 10
        return curved / curved.trace()


def off(learner: Network, hidden: Network) -> float:
    """Return the relative error of the cost that was learned."""
    return float((learner.cost - hidden.cost).norm() / hidden.cost.norm())


def plain(size: int, width: int = 64) -> nn.Module:
    """Return a network that knows nothing of programs."""
    inner = [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(nn.Linear(size, width), nn.ReLU(), *inner, nn.Linear(width, size))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--iterations", type=int, default=150, help="updates of the weights")
    parser.add_argument("--size", type=int, default=4, help="variables of a program")
    options = parser.parse_args()

    torch.manual_seed(0)
    hidden, learner = Network(options.size), Network(options.size)
    with torch.no_grad():
        hidden.program.root.add_(0.3 * torch.randn(options.size, options.size))
        hidden.prices.weight.copy_(2 * torch.randn(options.size, options.size) / options.size**0.5)

    before = off(learner, hidden)
    rival = plain(options.size)
    optimizer = torch.optim.Adam(
        [{"params": learner.parameters(), "lr": 0.03}, {"params": rival.parameters(), "lr": 0.003}]
    )
    for iteration in range(options.iterations + 1):
        questions = torch.randn(128, options.size)
        with torch.no_grad():
            answers = hidden(questions)
        loss = (learner(questions) - answers).square().mean()
        if iteration % (options.iterations // 5) == 0:
            assert learner.solve.solution is not None
            reached = learner.solve.solution.outcome == irem.Outcome.CONVERGED
            share = float(reached.float().mean())
            print(f"update {iteration:4}: error {loss:.1e}, {share:.0%} of the answers converged")
        optimizer.zero_grad()
        (loss + (rival(questions) - answers).square().mean()).backward()
        optimizer.step()

    questions = torch.randn(1000, options.size)
    with torch.no_grad():
        answers = hidden(questions)
        for title, found in (
            ("network with a solver", learner(questions)),
            ("network of plain layers", rival(questions)),
            ("best constant answer", answers.mean(0)),
        ):
            print(f"{title:<24} error {(found - answers).square().mean():.1e} on fresh questions")
    after = off(learner, hidden)
    print(f"the cost, up to its unit, is off by {after:.1%}; before training by {before:.1%}")


if __name__ == "__main__":
    main()
