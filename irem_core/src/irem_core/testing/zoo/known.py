"""What is known of a test problem, and batches of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from irem_core.energies.base import EnergyFn
from irem_core.problems.problem import Problem
from irem_core.problems.space import VectorSpace, uniform


class FunctionEnergy(EnergyFn):
    """An energy of y alone, E(x, y) = f(y), that says nothing of x.

    Args:
        function: returns `(B,)` of `(B, n)`.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def energy(
        self, context: Any, y: Float[Tensor, "problems entries"]
    ) -> Float[Tensor, " problems"]:
        """Call the function."""
        return self.function(y)


class SquaresEnergy(EnergyFn):
    """An energy that is the sum of squares of residuals, E(x, y) = |r(y)|^2."""

    @abstractmethod
    def residuals(
        self, context: Any, y: Float[Tensor, "problems entries"]
    ) -> Float[Tensor, "problems residuals"]:
        """Return what is squared and added up."""

    def energy(
        self, context: Any, y: Float[Tensor, "problems entries"]
    ) -> Float[Tensor, " problems"]:
        """Add up the squares."""
        return self.residuals(context, y).square().sum(1)


class ResidualsEnergy(SquaresEnergy):
    """A sum of squares of residuals of y alone.

    Args:
        function: returns `(B, m)` of `(B, n)`.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def residuals(
        self, context: Any, y: Float[Tensor, "problems entries"]
    ) -> Float[Tensor, "problems residuals"]:
        """Call the function."""
        return self.function(y)


@attrs.frozen(eq=False, kw_only=True)
class KnownProblem:
    """A published test problem and what is known of it.

    Args:
        name: as in `ZOO`.
        energy: its energy, which says nothing of x.
        start: `n` numbers, the start that the source gives.
        minimum: the lowest energy.
        minimisers: where the energy is lowest, as far as the source lists them.
        source: who published it.
        low: least value of every entry; None where there is none.
        high: greatest value of every entry.
        smooth: whether the energy has a gradient everywhere.
        local: whether there are minima, or ends of valleys at infinity, above the lowest.
    """

    name: str
    energy: EnergyFn
    start: tuple[float, ...]
    minimum: float
    minimisers: tuple[tuple[float, ...], ...]
    source: str
    low: float | None = None
    high: float | None = None
    smooth: bool = True
    local: bool = False

    @property
    def space(self) -> VectorSpace:
        """The space of the answers."""
        return VectorSpace(len(self.start), low=self.low, high=self.high)

    def batch(
        self,
        count: int = 1,
        *,
        spread: float = 0.1,
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
    ) -> tuple[Problem, Float[Tensor, "problems entries"]]:
        """Return the problem so many times, with a start each: the source's and others around it.

        Args:
            count: how many, at least 1; the first has the source's own start.
            spread: how far other starts lie from it at most, as a share of 1 or, where it is
                larger, of the entry.
            seed: of these.
            dtype: of starts and answers.

        Returns:
            The problem, for `minimize`, and the starts `(count, n)`.
        """
        center = torch.tensor(self.start, dtype=torch.float64)
        generator = torch.Generator().manual_seed(seed)
        drawn = uniform((count, len(center)), generator, dtype=torch.float64)
        drawn[:1] = 0
        start = center + spread * center.abs().clamp(min=1) * drawn
        problem = Problem(torch.zeros(count, 1, dtype=dtype), self.space)
        return problem, self.space.project(start).to(dtype)

    def distance(self, y: Float[Tensor, "problems entries"]) -> Float[Tensor, " problems"]:
        """Return how far answers are from the nearest minimiser, in their worst entry.

        Args:
            y: `(B, n)` answers.
        """
        known = torch.tensor(self.minimisers, dtype=y.dtype, device=y.device)
        return (y[:, None] - known).abs().amax(2).amin(1)
