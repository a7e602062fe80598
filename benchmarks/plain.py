"""The paper's Algorithm 1 for vectors, transcribed line by line: addition, and matrix inverses.

This is what a reader of the paper writes first, and the yardstick of every speed that the project
states. It therefore stays plain: one example at a time, a list for a replay buffer, the question
read anew at every step of descent. It imports nothing of the packages that it is compared with.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

Array = NDArray[np.float32]

STEP_SIZE = 100.0
LEARNING_RATE = 1e-4
REPLAY_CAPACITY = 10_000


class Additions(IterableDataset[tuple[Array, Array]]):
    """An endless stream of two vectors with entries U(-1, 1), concatenated, and their sum."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.random = np.random.default_rng(seed)

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        while True:
            first = self.random.uniform(-1.0, 1.0, self.size).astype(np.float32)
            second = self.random.uniform(-1.0, 1.0, self.size).astype(np.float32)
            yield np.concatenate([first, second]), first + second


class Inverses(IterableDataset[tuple[Array, Array]]):
    """An endless stream of matrices 2 R R^T + I / 2 of random R, and their inverses, all flat."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.random = np.random.default_rng(seed)

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        while True:
            factor = self.random.uniform(-1.0, 1.0, (self.size, self.size))
            matrix = 2 * factor @ factor.T + 0.5 * np.eye(self.size)
            inverse = np.linalg.inv(matrix)
            yield matrix.ravel().astype(np.float32), inverse.ravel().astype(np.float32)


class Energy(nn.Module):
    """E(x, y) as in the paper's Appendix D: three hidden layers on [y, x], and one number out."""

    def __init__(self, inputs: int, hidden: int = 512) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(inputs, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, 1),
        )

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        energy: Tensor = self.network(torch.cat([y, x], dim=1))
        return energy.squeeze(1)


class PlainIREM:
    """IREM on vectors, trained as in Algorithm 1.

    Args:
        problems: a stream of questions and answers.
        question: entries of a question.
        answer: entries of an answer.
        batch_size: fresh problems of one iteration.
        replayed: problems of one iteration that come from the replay buffer.
        steps: steps of descent on each problem in training.
        seed: seed of the replayed problems, the starts and the initial weights.
        device: where the energy is descended; problems come from the host.
    """

    def __init__(
        self,
        problems: IterableDataset[tuple[Array, Array]],
        question: int,
        answer: int,
        batch_size: int = 128,
        replayed: int = 128,
        steps: int = 5,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        torch.manual_seed(seed)
        self.device = device
        self.replayed = replayed
        self.steps = steps
        self.answer = answer
        self.random = np.random.default_rng(seed)
        self.energy = Energy(answer + question).to(device)
        self.optimizer = torch.optim.Adam(self.energy.parameters(), lr=LEARNING_RATE)
        self.batches = iter(DataLoader(problems, batch_size, num_workers=0))
        self.replay: list[tuple[Array, Array, Array]] = []

    def train_iteration(self) -> float:
        """Run the body of Algorithm 1's loop once and return the mean square error."""
        x, target = next(self.batches)
        y = uniform(len(x), self.answer)
        if self.replay:
            chosen = self.random.integers(len(self.replay), size=self.replayed)
            old_x, old_target, old_y = zip(*(self.replay[i] for i in chosen), strict=True)
            x = torch.cat([x, torch.from_numpy(np.stack(old_x))])
            target = torch.cat([target, torch.from_numpy(np.stack(old_target))])
            y = torch.cat([y, torch.from_numpy(np.stack(old_y))])
        x, target, y = (each.to(self.device) for each in (x, target, y))

        for step in range(1, self.steps + 1):
            # Only the last step reaches the weights: the truncation of the paper's Section 3.2.
            y = self.descend(x, y.detach(), create_graph=step == self.steps)

        loss = nn.functional.mse_loss(y, target)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

        optimised = (each.detach().cpu().numpy() for each in (x, target, y))
        self.replay.extend(zip(*optimised, strict=True))
        del self.replay[:-REPLAY_CAPACITY]
        return loss.item()

    def solve(self, x: Tensor, steps: int = 80) -> Tensor:
        """Return where `steps` steps of descent from U(-1, 1) lead, x being (B, question)."""
        y = uniform(len(x), self.answer).to(self.device)
        for _ in range(steps):
            y = self.descend(x, y).detach()
        return y

    def descend(self, x: Tensor, y: Tensor, create_graph: bool = False) -> Tensor:
        """Take one step of Equation 3, keeping its graph where the loss must reach the weights."""
        y = y.requires_grad_()
        # Problems do not share an energy, so the gradient of the sum holds each problem's own.
        (gradient,) = torch.autograd.grad(self.energy(x, y).sum(), y, create_graph=create_graph)
        return y - STEP_SIZE * gradient


def uniform(rows: int, columns: int) -> Tensor:
    """Draw starts from U(-1, 1)."""
    return 2.0 * torch.rand(rows, columns) - 1.0
