"""What networks that answer in one shot share: their loss, and a solution without steps."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from irem_baselines.answering import Answering, Request
from irem_core import Problem, Solution


class OneShot(Answering):
    """A network that maps questions to answers. An author writes `answers`."""

    @abstractmethod
    def answers(self, problem: Problem) -> Float[Tensor, "problems *entries"]:
        """Return the answers `(B, ...)` of a batch of questions.

        Raises:
            ShapeError: x does not have a shape that the network takes.
            NonFiniteError: x holds NaN or infinity.
        """

    def loss(
        self, problem: Problem, target: Tensor, generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Return the mean squared error of the answers.

        Args:
            problem: questions `(B, ...)`.
            target: `(B, ...)` their answers.
            generator: not used; the loss is not random.
        """
        return functional.mse_loss(self.answers(problem), target)

    def respond(self, problem: Problem, request: Request) -> Solution:
        """Answer in one shot, no problems without asking; nothing else can be asked for."""
        space = problem.answer or self.answer
        if space is not None and not problem.layout.count:
            none = torch.zeros(0, *space.shape, dtype=problem.dtype, device=problem.device)
            return Solution.answered(none, problem.layout)
        return Solution.answered(self.answers(problem), problem.layout)
