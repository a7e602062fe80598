"""The feedforward baseline: one network, one shot."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from irem_baselines.one_shot import OneShot, require_counts
from irem_core import Preset, Problem, SettingError, Space


def paper(answer: Space) -> Preset:
    """Return the settings of the paper (Appendix C), the same for answers of any space."""
    return Preset(
        source="Du et al., ICML 2022, Appendix C",
        solver={"width": 512, "depth": 3},
        training={"iterations": 10_000, "batch_size": 128, "learning_rate": 1e-4},
    )


class Feedforward(OneShot):
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
        require_counts("Feedforward", width=width, depth=depth)
        self.question = question
        self.answer = answer
        widths = [question.size, *[width] * depth]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.network = nn.Sequential(*layers, nn.Linear(width, answer.size))

    def answers(self, problem: Problem) -> Float[Tensor, "problems *entries"]:
        """Return the answers `(B, ...)` of a batch of questions.

        Raises:
            ShapeError: x does not have the shape of the question space.
            NonFiniteError: x holds NaN or infinity.
        """
        assert self.question is not None
        assert self.answer is not None
        self.question.check("x", problem.x, problem.layout.count)
        flat: Tensor = self.network(problem.x.flatten(1))
        return self.answer.project(flat.unflatten(1, self.answer.shape))
