"""What a network that learned baselines are made of does, whatever the spaces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from irem_core import Problem, ShapeError


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


def require_kind(values: Tensor, weight: Tensor) -> None:
    """Raise a ShapeError unless questions have the type of the weights and are where these are."""
    given, wanted = (values.dtype, values.device), (weight.dtype, weight.device)
    if given != wanted:
        raise ShapeError(
            f"x is {given[0]} on {given[1]} and the weights are {wanted[0]} on {wanted[1]}; "
            "convert one of them with .to(...)."
        )
