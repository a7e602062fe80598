"""What networks that answer in one shot share: their loss, and a solve without steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from irem_core import (
    Descent,
    HaltingCriterion,
    Iterate,
    Observer,
    Problem,
    Solution,
    Solver,
)


class OneShot(Solver):
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

    def solve(
        self,
        x: Any,
        *,
        max_steps: int = 1,
        descent: Descent | None = None,
        halting: HaltingCriterion | None = None,
        start: Tensor | Iterate | None = None,
        generator: torch.Generator | None = None,
        record: Sequence[str] = (),
        observer: Observer | None = None,
    ) -> Solution:
        """Answer in one shot: all arguments but x are without effect (see `Solver.solve`).

        Raises:
            ShapeError: x does not have a shape that the network takes.
            NonFiniteError: x holds NaN or infinity.
        """
        problem = x if isinstance(x, Problem) else Problem(x, self.answer)
        with torch.no_grad():
            return Solution.answered(self.answers(problem), problem.layout)
