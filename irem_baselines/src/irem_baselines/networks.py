"""The networks that learned baselines are made of, so that each is written once for all spaces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from irem_core import Preset, Problem, SettingError, ShapeError, Space, checks

SOURCE = "Du et al., ICML 2022, Appendices C and D"


def paper_preset(answer: Space, solver: Mapping[str, Any]) -> Preset:
    """Return the training of the paper's baselines (Appendix C) with a solver's settings."""
    training = {
        "iterations": 10_000,
        "batch_size": 64 if answer.ragged else 128,
        "learning_rate": 1e-4,
    }
    return Preset(source=SOURCE, solver=solver, training=training)


def paper_width(answer: Space, *, dense: int = 512) -> int:
    """Return the width of a table's layers: 128 on edges (Tables 7-9), else `dense`."""
    return 128 if answer.ragged else dense


def check_width(owner: str, width: int | str, *names: str) -> None:
    """Raise a SettingError unless a width is a whole number of at least 1 or one of the names."""
    named = isinstance(width, str)
    checks.check(checks.one_of(*names) if named else checks.count, owner, width=width)


class Network(nn.Module, ABC):
    """Layers that read questions, and perhaps candidates, and write answers, all of one space.

    A solve calls `read` once, then layer after layer, then `decode`. Features lead with problems,
    or with nodes where questions are graphs.
    """

    depth: int
    """The number of layers."""

    @abstractmethod
    def read(self, problem: Problem) -> Any:
        """Return all that layers need of the questions.

        Raises:
            ShapeError: x does not have the shape of the question space, or not the weights' type.
            NonFiniteError: x holds NaN or infinity.
        """

    @abstractmethod
    def layer(
        self, place: int, reading: Any, features: Tensor | None, y: Tensor | None = None
    ) -> Float[Tensor, "items width"]:
        """Apply one layer.

        Args:
            place: which, from 0.
            reading: what `read` returned.
            features: what the layer before returned; None for the first.
            y: `(B, ...)` or `(rows, ...)` the candidates, where the network reads them.
        """

    @abstractmethod
    def decode(self, reading: Any, features: Float[Tensor, "items width"]) -> Tensor:
        """Return the answers `(B, ...)` or `(rows, ...)`, by a linear layer."""

    @abstractmethod
    def pool(
        self, reading: Any, features: Float[Tensor, "items width"]
    ) -> Float[Tensor, "problems width"]:
        """Return the features of each problem as a whole."""

    def body(self, reading: Any, y: Tensor | None = None) -> Float[Tensor, "items width"]:
        """Apply all layers, one after the other."""
        features = self.layer(0, reading, None, y)
        for place in range(1, self.depth):
            features = self.layer(place, reading, features, y)
        return features


def make_network(
    owner: str,
    question: Space,
    answer: Space,
    *,
    width: int,
    depth: int,
    reads_answer: bool = False,
) -> Network:
    """Make the network for spaces: linear layers with ReLU, or GINE layers on edges.

    Args:
        owner: the solver that is built, named in errors.
        question: space of x.
        answer: space of y.
        width: of features.
        depth: number of layers.
        reads_answer: whether candidates are read beside questions.

    Raises:
        SettingError: the spaces do not go together, or a number is out of range.
    """
    checks.check(checks.part_of(Space), owner, question=question, answer=answer)
    checks.check(checks.count, owner, depth=depth)
    if question.ragged != answer.ragged:
        raise SettingError(
            f"{owner} got question={question!r} and answer={answer!r}; expected both to be values "
            "on edges, or neither."
        )
    if not answer.ragged:
        return DenseNetwork(question, answer, width=width, depth=depth, reads_answer=reads_answer)
    if reads_answer and width % 2:
        raise SettingError(
            f"{owner} got width={width}; expected an even number, half for x and half for y."
        )
    # Here, since torch-geometric takes seconds to import.
    from irem_baselines.edge_network import EdgeNetwork

    return EdgeNetwork(question, answer, width=width, depth=depth, reads_answer=reads_answer)


def require_kind(values: Tensor, weight: Tensor) -> None:
    """Raise a ShapeError unless questions have the type of the weights and are where these are."""
    given, wanted = (values.dtype, values.device), (weight.dtype, weight.device)
    if given != wanted:
        raise ShapeError(
            f"x is {given[0]} on {given[1]} and the weights are {wanted[0]} on {wanted[1]}; "
            "convert one of them with .to(...)."
        )


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
