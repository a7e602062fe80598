"""The feedforward baseline: one network, one shot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from irem_core import (
    Descent,
    HaltingCriterion,
    Iterate,
    Observer,
    Preset,
    Problem,
    SettingError,
    Solution,
    Solver,
    Space,
)


def paper(answer: Space) -> Preset:
    """Return the settings of the paper (Appendix C), the same for answers of any space."""
    return Preset(
        source="Du et al., ICML 2022, Appendix C",
        solver={"width": 512, "depth": 3},
        training={"iterations": 10_000, "batch_size": 128, "learning_rate": 1e-4},
    )


class Feedforward(Solver):
    """A multilayer perceptron from x to y, with ReLU (Table 11).

    Args:
        question: space of x; its entries are flattened.
        answer: space of y.
        width: units of each hidden layer; the paper has 512.
        depth: number of hidden layers; the paper has 3.

    Raises:
        SettingError: a space is ragged, or a number is below 1.
    """

    presets: ClassVar[dict[str, Callable[[Space], Preset]]] = {"paper": paper}

    def __init__(self, question: Space, answer: Space, *, width: int = 512, depth: int = 3) -> None:
        """Make the layers with torch's default initialisation."""
        super().__init__()
        if question.ragged or answer.ragged:
            raise SettingError(
                f"Feedforward got question={question!r} and answer={answer!r}; expected vectors or "
                "matrices of one size."
            )
        for name, value in (("width", width), ("depth", depth)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise SettingError(
                    f"Feedforward got {name}={value!r}; expected a whole number of at least 1."
                )
        self.question = question
        self.answer = answer
        widths = [question.size, *[width] * depth]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.network = nn.Sequential(*layers, nn.Linear(width, answer.size))

    def _answers(self, problem: Problem) -> Float[Tensor, "problems *entries"]:
        assert self.question is not None
        assert self.answer is not None
        self.question.check("x", problem.x, problem.layout.count)
        flat: Tensor = self.network(problem.x.flatten(1))
        return self.answer.project(flat.unflatten(1, self.answer.shape))

    def loss(
        self, problem: Problem, target: Tensor, generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Return the mean squared error of the answers.

        Args:
            problem: questions `(B, ...)`.
            target: `(B, ...)` their answers.
            generator: not used; the loss is not random.
        """
        return functional.mse_loss(self._answers(problem), target)

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
            ShapeError: x does not have the shape of the question space.
            NonFiniteError: x holds NaN or infinity.
        """
        problem = x if isinstance(x, Problem) else Problem(x, self.answer)
        with torch.no_grad():
            return Solution.answered(self._answers(problem), problem.layout)
