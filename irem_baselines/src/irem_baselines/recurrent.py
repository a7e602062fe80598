"""The recurrent baseline: an LSTM that sees the same question at every step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from irem_baselines.iterated import Iterated, Output
from irem_baselines.networks import make_network, paper_preset, paper_width, width_of
from irem_core import Preset, Problem, Space, checks, default_energy


def paper(question: Space, answer: Space) -> Preset:
    """Return the settings of the paper (Appendix C, Tables 8 and 12) for answers of a space."""
    return paper_preset(answer, {"width": paper_width(answer, dense=196), "steps": 5})


def matched(question: Space, answer: Space) -> Preset:
    """Return the paper's settings with as many weights as the paper's energy has."""
    return paper_preset(answer, {"width": "matched", "steps": 5})


class Recurrent(Iterated):
    """A layer and ReLU, an LSTM, and a linear read-out (Table 12).

    On edges a GINE layer, an LSTM that all nodes share, and a GINE layer and a linear read-out of
    the LSTM's state at every step (Table 8). The loss is on the last output alone.

    Args:
        question: space of x; its entries are flattened, or are values on edges.
        answer: space of y, with values on edges where x has.
        width: of all layers; "paper" is 196, or 128 on edges; "matched" has as many weights, as
            nearly as can be, as the paper's energy for the same spaces (196 have about half).
        steps: of the LSTM in training.

    Raises:
        SettingError: one space alone is that of edges, or a number is below 1.
    """

    presets: ClassVar = {"paper": paper, "matched": matched}

    def __init__(
        self, question: Space, answer: Space, *, width: int | str = "paper", steps: int = 5
    ) -> None:
        """Make the layers with torch's default initialisation."""
        super().__init__()
        units = width_of(
            "Recurrent",
            width,
            paper=lambda: paper_width(answer, dense=196),
            matched=lambda: _matched_width(question, answer),
        )
        checks.check(checks.count, "Recurrent", steps=steps)
        self.question = question
        self.answer = answer
        self.steps = steps
        # On edges the second layer reads the LSTM's state.
        self.network = make_network(
            "Recurrent", question, answer, width=units, depth=2 if answer.ragged else 1
        )
        self.cell = nn.LSTMCell(units, units)

    def outputs(
        self, problem: Problem, start: Tensor | None, generator: torch.Generator
    ) -> Iterator[Output]:
        """Yield the answers of step 1, 2, ...; there is no start."""
        reading = self.network.read(problem)
        features = self.network.layer(0, reading, None)
        state = None
        while True:
            state = self.cell(features, state)
            hidden = state[0]
            for place in range(1, self.network.depth):
                hidden = self.network.layer(place, reading, hidden)
            yield Output(self.network.decode(reading, hidden))


def _matched_width(question: Space, answer: Space) -> int:
    """Return the width whose number of weights comes closest to that of the paper's energy."""
    # Nothing is drawn or stored on the meta device.
    with torch.device("meta"):
        wanted = _weights(default_energy(answer)(question, answer))
        low, high = 1, 2
        while _weights(Recurrent(question, answer, width=high)) < wanted:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            fits = _weights(Recurrent(question, answer, width=middle)) <= wanted
            low, high = (middle, high) if fits else (low, middle)
        return min(
            (low, high),
            key=lambda width: abs(_weights(Recurrent(question, answer, width=width)) - wanted),
        )


def _weights(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())
