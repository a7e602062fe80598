"""The network of baselines on vectors, matrices and images: linear layers with ReLU."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from irem_baselines.network import Network, require_kind
from irem_core import Problem, Space


class DenseNetwork(Network):
    """Linear layers with ReLU on x, or on [y, x], flattened (Tables 11-13).

    Args:
        question: space of x.
        answer: space of y.
        width: units of each hidden layer.
        depth: number of hidden layers.
        reads_answer: whether y is read too.
    """

    def __init__(
        self, question: Space, answer: Space, *, width: int, depth: int, reads_answer: bool
    ) -> None:
        """Make the layers with torch's default initialisation."""
        super().__init__()
        self.question = question
        self.answer = answer
        self.depth = depth
        self.first = nn.Linear(question.size + reads_answer * answer.size, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.head = nn.Linear(width, answer.size)

    def read(self, problem: Problem) -> Float[Tensor, "problems width"]:
        """Return the question's share of the first layer, which stays the same while y changes."""
        self.question.check("x", problem.x, problem.layout.count)
        require_kind(problem.x, self.first.weight)
        on_question = self.first.weight[:, -self.question.size :]
        return functional.linear(problem.x.flatten(1), on_question, self.first.bias)

    def layer(
        self,
        place: int,
        reading: Float[Tensor, "problems width"],
        features: Tensor | None,
        y: Tensor | None = None,
    ) -> Float[Tensor, "problems width"]:
        """Apply one linear layer and ReLU; y is for the first alone."""
        if place:
            hidden: Tensor = self.hidden[place - 1](features)
            return hidden.relu()
        if y is not None:
            reading = torch.addmm(reading, y.flatten(1), self.first.weight[:, : self.answer.size].T)
        return reading.relu()

    def decode(self, reading: Any, features: Float[Tensor, "problems width"]) -> Tensor:
        """Return the answers `(B, ...)`."""
        answers: Tensor = self.head(features).unflatten(1, self.answer.shape)
        return answers

    def pool(
        self, reading: Any, features: Float[Tensor, "problems width"]
    ) -> Float[Tensor, "problems width"]:
        """Return the features, which are those of problems."""
        return features
