"""The paper's energy for vectors and matrices: a multilayer perceptron (Table 10)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from irem_core import checks
from irem_core.energies.base import EnergyFn
from irem_core.energies.landscape import Landscape
from irem_core.energies.precision import ReadOut
from irem_core.energies.scratchpad import ScratchpadEnergy
from irem_core.problems.problem import Problem
from irem_core.problems.space import Space, require_dense


class Perceptron(Landscape):
    """Layers on [candidate, x], the first of which is kept in two parts.

    W [y, x] + b = W_y y + (W_x x + b), and the bracket does not change while y descends, so
    `encode` computes it once. The last layer has one output, the energy, unless told otherwise.
    """

    def __init__(
        self,
        question: Space,
        answer: Space,
        *,
        scratchpad: int,
        width: int,
        depth: int,
        outputs: int = 1,
    ) -> None:
        """Make the layers."""
        super().__init__()
        title = type(self).__name__
        checks.check(checks.count, title, width=width, depth=depth)
        require_dense(title, question=question, answer=answer)
        self.question = question
        self.answer = answer
        inputs = [answer.size + scratchpad, question.size]
        # Drawn as the one layer that it is, whose initial scale depends on all of its inputs.
        first = nn.Linear(sum(inputs), width)
        candidate, asked = first.weight.detach().split(inputs, 1)
        self.candidate_weight = nn.Parameter(candidate.clone())
        self.question_weight = nn.Parameter(asked.clone())
        self.bias = first.bias
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.head = ReadOut(width, outputs)

    def encode(self, problem: Problem) -> Float[Tensor, "problems width"]:
        """Return the question's share of the first layer, its bias included."""
        return functional.linear(problem.x.flatten(1), self.question_weight, self.bias)

    def outputs(
        self, context: Float[Tensor, "problems width"], candidate: Float[Tensor, "problems inputs"]
    ) -> Float[Tensor, "problems outputs"]:
        """Return what the last layer says of flat candidates."""
        # The question's share rides along as the bias of the product, at no cost of its own.
        features = functional.silu(torch.addmm(context, candidate, self.candidate_weight.T))
        for layer in self.hidden:
            features = functional.silu(layer(features))
        outputs: Tensor = self.head(features)
        return outputs


class MLPEnergy(Perceptron, EnergyFn):
    """E(x, y): linear layers with Swish on [y, x], then a linear one to a number (Table 10).

    Args:
        question: space of x; its entries are flattened.
        answer: space of y; its entries are flattened.
        width: units of each hidden layer; the paper has 512.
        depth: number of hidden layers; the paper has 3.

    Raises:
        SettingError: a space is ragged, or a number is out of range.
    """

    def __init__(self, question: Space, answer: Space, *, width: int = 512, depth: int = 3) -> None:
        """Make the layers with torch's default initialisation."""
        super().__init__(question, answer, scratchpad=0, width=width, depth=depth)

    def energy(
        self, context: Float[Tensor, "problems width"], y: Float[Tensor, "problems *entries"]
    ) -> Float[Tensor, " problems"]:
        """Return the energies `(B,)`; the context is the question's share of the first layer."""
        return self.outputs(context, y.flatten(1)).squeeze(-1)


class ScratchpadMLPEnergy(Perceptron, ScratchpadEnergy):
    """E(x, y, z): the same layers on [y, z, x] (Appendix B).

    Args:
        question: space of x; its entries are flattened.
        answer: space of y; its entries are flattened.
        scratchpad: width of z.
        width: units of each hidden layer.
        depth: number of hidden layers.

    Raises:
        SettingError: a space is ragged, or a number is out of range.
    """

    def __init__(
        self,
        question: Space,
        answer: Space,
        *,
        scratchpad: int = 512,
        width: int = 512,
        depth: int = 3,
    ) -> None:
        """Make the layers with torch's default initialisation."""
        checks.check(checks.count, type(self).__name__, scratchpad=scratchpad)
        super().__init__(question, answer, scratchpad=scratchpad, width=width, depth=depth)
        self.scratchpad = scratchpad

    def energy(
        self,
        context: Float[Tensor, "problems width"],
        y: Float[Tensor, "problems *entries"],
        z: Float[Tensor, "problems scratchpad"],
    ) -> Float[Tensor, " problems"]:
        """Return the energies `(B,)`; the context is the question's share of the first layer."""
        return self.outputs(context, torch.cat([y.flatten(1), z], 1)).squeeze(-1)
