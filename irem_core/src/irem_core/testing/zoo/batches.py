"""Batches whose problems have a minimiser each: dense, ragged and with a scratchpad."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from irem_core.energies.base import EnergyFn
from irem_core.energies.scratchpad import ScratchpadEnergy
from irem_core.problems.iterate import Iterate
from irem_core.problems.problem import Problem


class Quadratic(EnergyFn):
    """E = |y - x|^2 / 2: curvature 1 and its minimum at x."""

    def energy(self, context: Any, y: Tensor) -> Float[Tensor, " problems"]:
        """Add up half the squares."""
        energy: Tensor = (y - context).square().flatten(1).sum(1) / 2
        return energy


class Bowl(EnergyFn):
    """E = sum c (y - m)^2 / 2, where x holds each problem's curvatures c and minimiser m."""

    def energy(
        self, context: dict[str, Tensor], y: Float[Tensor, "problems entries"]
    ) -> Float[Tensor, " problems"]:
        """Add up the entries."""
        return (context["curvature"] * (y - context["center"]).square()).sum(1) / 2


class DoubleWell(EnergyFn):
    """E = sum (y^2 - x^2)^2 / (8 x^2): two minima an entry, at -x and x, of curvature 1."""

    def energy(
        self, context: Any, y: Float[Tensor, "problems entries"]
    ) -> Float[Tensor, " problems"]:
        """Add up the entries."""
        wells: Tensor = (y.square() - context.square()).square() / (8 * context.square())
        return wells.sum(1)


class EdgeQuadratic(EnergyFn):
    """E = sum over a graph's edges of c |y - x|^2 / 2, where c shrinks as edges are more."""

    def encode(self, problem: Problem) -> dict[str, Any]:
        """Count the edges."""
        layout = problem.layout
        return {"x": problem.x, "curvature": 1 / layout.entries(problem.x[:, 0]), "layout": layout}

    def energy(
        self, context: dict[str, Any], y: Float[Tensor, "rows entries"]
    ) -> Float[Tensor, " problems"]:
        """Add up each graph's edges."""
        squares: Tensor = context["layout"].sum((y - context["x"]).square())
        energy: Tensor = (0.5 + context["curvature"]) * squares / 2
        return energy


class ScratchpadQuadratic(ScratchpadEnergy):
    """E = |y - (z + x) / 2|^2 / 2 + 3 |z - x|^2 / 8: y reaches x only where z does.

    The second derivatives are 1 in y and z, and -1/2 between them.

    Args:
        scratchpad: its width, that of y.
    """

    def __init__(self, scratchpad: int = 3) -> None:
        super().__init__()
        self.scratchpad = scratchpad

    def energy(
        self,
        context: Any,
        y: Float[Tensor, "problems entries"],
        z: Float[Tensor, "problems entries"],
    ) -> Float[Tensor, " problems"]:
        """Add up both parts."""
        along_y = (y - (z + context) / 2).square().sum(1)
        energy: Tensor = along_y / 2 + 3 * (z - context).square().sum(1) / 8
        return energy


@attrs.frozen(eq=False, kw_only=True)
class KnownBatch:
    """A batch of small problems in float64, with a start and a minimiser each.

    Args:
        energy: the energy.
        x: the questions, a tensor or a dict of some.
        start: y to start from.
        wells: the minimisers, up to sign if `mirror`.
        z: the scratchpad to start from, or None.
        rows: the answer rows of each problem, where answers are ragged.
        mirror: whether the negative of each entry of a minimiser is as good.
    """

    energy: EnergyFn | ScratchpadEnergy
    x: Any
    start: Tensor
    wells: Tensor
    z: Tensor | None = None
    rows: Sequence[int] | None = None
    mirror: bool = False

    @property
    def count(self) -> int:
        """The number of problems."""
        return len(self.rows or self.start)

    def arguments(self, dtype: torch.dtype = torch.float64) -> dict[str, Any]:
        """Return energy, x and start of the whole batch for `minimize`."""
        owner = None
        if self.rows is not None:
            owner = torch.tensor([n for n, rows in enumerate(self.rows) for _ in range(rows)])
        x = _converted(self.x, lambda leaf: leaf.to(dtype))
        problem = Problem(x, owner=owner)
        z = None if self.z is None else self.z.to(dtype)
        return {
            "energy": self.energy,
            "x": problem,
            "start": Iterate(self.start.to(dtype), problem.layout, z),
        }

    def single(self, index: int) -> KnownBatch:
        """Return one of the problems, cut out by plain slices."""
        here = slice(index, index + 1)
        if self.rows is not None:
            first = sum(self.rows[:index])
            here = slice(first, first + self.rows[index])
        return attrs.evolve(
            self,
            x=_converted(self.x, lambda leaf: leaf[here]),
            start=self.start[here],
            wells=self.wells[here],
            z=None if self.z is None else self.z[here],
            rows=None if self.rows is None else self.rows[index : index + 1],
        )

    def distance(self, y: Tensor) -> float:
        """Return how far answers are from the minimisers, in the worst entry."""
        reached = y.abs() if self.mirror else y
        return float((reached - self.wells).abs().max())


def _converted(x: Any, function: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(x, dict):
        return {name: function(leaf) for name, leaf in x.items()}
    return function(x)


def _uniform(*shape: int, low: float = -1.0, high: float = 1.0, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(shape, generator=generator, dtype=torch.float64)
    return low + (high - low) * drawn


def _batches() -> dict[str, KnownBatch]:
    start, wells = _uniform(4, 3), _uniform(4, 3, seed=1)
    bent = {"center": wells, "curvature": _uniform(4, 3, low=0.7, high=2.0, seed=2)}
    apart = _uniform(4, 3, low=0.8, high=1.2, seed=1)
    edges = _uniform(7, 2, seed=1)
    return {
        "quadratic": KnownBatch(energy=Quadratic(), x=wells, start=start, wells=wells),
        "bowl": KnownBatch(energy=Bowl(), x=bent, start=start, wells=wells),
        "double-well": KnownBatch(
            energy=DoubleWell(), x=apart, start=start, wells=apart, mirror=True
        ),
        "ragged": KnownBatch(
            energy=EdgeQuadratic(), x=edges, start=_uniform(7, 2), wells=edges, rows=(1, 3, 1, 2)
        ),
        "scratchpad": KnownBatch(
            energy=ScratchpadQuadratic(),
            x=wells,
            start=start,
            wells=wells,
            z=_uniform(4, 3, seed=3),
        ),
    }


BATCHES = _batches()
"""Batches by what is special about them."""
