"""The feedforward baseline: one network, one shot."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from irem_baselines.networks import make_network, paper_preset, paper_width, width_of
from irem_baselines.one_shot import OneShot
from irem_core import Preset, Problem, Space


def paper(question: Space, answer: Space) -> Preset:
    """Return the settings of the paper (Appendix C) for answers of a space."""
    return paper_preset(answer, {"width": paper_width(answer), "depth": 3})


class Feedforward(OneShot):
    """A network from x to y: linear layers with ReLU (Table 11), or GINE layers on edges (Table 7).

    Args:
        question: space of x; its entries are flattened, or are values on edges.
        answer: space of y, with values on edges where x has.
        width: features of each hidden layer; "paper" is 512, or 128 on edges.
        depth: number of hidden layers; the paper has 3.

    Raises:
        SettingError: one space alone is that of edges, or a number is below 1.
    """

    presets: ClassVar = {"paper": paper}

    def __init__(
        self, question: Space, answer: Space, *, width: int | str = "paper", depth: int = 3
    ) -> None:
        """Make the layers with torch's default initialisation."""
        super().__init__()
        units = width_of("Feedforward", width, paper=lambda: paper_width(answer))
        self.question = question
        self.answer = answer
        self.network = make_network("Feedforward", question, answer, width=units, depth=depth)

    def answers(self, problem: Problem) -> Float[Tensor, "rows *entries"]:
        """Return the answers `(B, ...)` or `(rows, ...)` of a batch of questions.

        Raises:
            ShapeError: x does not have the shape of the question space.
            NonFiniteError: x holds NaN or infinity.
        """
        assert self.answer is not None
        reading = self.network.read(problem)
        return self.answer.project(self.network.decode(reading, self.network.body(reading)))
