"""Batches of problems with known minimisers, for descents and backpropagation rules to walk on.

Curvatures lie between 0.3 and 1.5, so steps of 0.1 to 1 suit gradient descents. Minimisers lie in
[0, 1], and each start is the corner of that box which is farthest from its minimiser, so a descent
that moves between corners can do its work too.
"""

from __future__ import annotations

from typing import Any

import attrs
import torch
from jaxtyping import Float
from torch import Tensor, nn

from irem_core.energies.base import EnergyFn
from irem_core.energies.landscape import Landscape
from irem_core.energies.scratchpad import ScratchpadEnergy
from irem_core.problems import trees
from irem_core.problems.iterate import Iterate
from irem_core.problems.layout import Layout
from irem_core.problems.problem import Problem
from irem_core.problems.space import EdgeSpace, Space, VectorSpace
from irem_core.testing.support import indices, seeded_generator

_ENTRIES = 3


class Bowl(EnergyFn):
    """E = sum c (y - weight m)^2 / 2, where x holds each entry's curvature c and minimiser m."""

    def __init__(self) -> None:
        """Start with a weight of 1, for losses to reach."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones((), dtype=torch.float64))

    def encode(self, problem: Problem) -> dict[str, Any]:
        """Place the minimisers."""
        center = self.weight * problem.x["center"]
        return {"center": center, "curvature": problem.x["curvature"], "layout": problem.layout}

    def energy(
        self, context: dict[str, Any], y: Float[Tensor, "rows entries"]
    ) -> Float[Tensor, " problems"]:
        """Add up each problem's entries."""
        layout: Layout = context["layout"]
        return layout.sum(context["curvature"] * (y - context["center"]).square()) / 2

    def residuals(
        self, context: dict[str, Any], y: Float[Tensor, "rows entries"]
    ) -> Float[Tensor, "rows entries"]:
        """Return what squares add up to the energy."""
        residuals: Tensor = (context["curvature"] / 2).sqrt() * (y - context["center"])
        return residuals


class ScratchpadBowl(ScratchpadEnergy):
    """E = sum c (y - (z + m) / 2)^2 / 2 + 3 (z - m)^2 / 8: y reaches m only where z does."""

    scratchpad = _ENTRIES

    def __init__(self) -> None:
        """Start with a weight of 1, for losses to reach."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones((), dtype=torch.float64))

    def encode(self, problem: Problem) -> dict[str, Any]:
        """Place the minimisers."""
        return {**problem.x, "center": self.weight * problem.x["center"]}

    def energy(
        self,
        context: dict[str, Any],
        y: Float[Tensor, "problems entries"],
        z: Float[Tensor, "problems entries"],
    ) -> Float[Tensor, " problems"]:
        """Add up each problem's entries."""
        center = context["center"]
        along_y = context["curvature"] * (y - (z + center) / 2).square() / 2
        energy: Tensor = (along_y + 3 * (z - center).square() / 8).sum(1)
        return energy

    def residuals(
        self,
        context: dict[str, Any],
        y: Float[Tensor, "problems entries"],
        z: Float[Tensor, "problems entries"],
    ) -> Float[Tensor, "problems residuals"]:
        """Return what squares add up to the energy."""
        center = context["center"]
        along_y = (context["curvature"] / 2).sqrt() * (y - (z + center) / 2)
        return torch.cat([along_y, 0.375**0.5 * (z - center)], 1)


@attrs.frozen(eq=False, kw_only=True)
class Terrain:
    """An energy with a batch of problems and their starts.

    Args:
        name: what kind of problems these are, for messages.
        energy: the energy, whose `weight` a loss can reach.
        problem: the questions.
        start: the iterates to start from.
    """

    name: str
    energy: Landscape
    problem: Problem
    start: Iterate

    @property
    def count(self) -> int:
        """The number of problems."""
        return self.problem.layout.count

    def part(self, *chosen: int) -> Terrain:
        """Return some of the problems, named in ascending order."""
        layout = self.problem.layout
        problem, start = trees.select((self.problem, self.start), layout, indices(layout, *chosen))
        return attrs.evolve(self, problem=problem, start=start)


_DENSE, _RAGGED = Layout(4), Layout.of_owner(torch.tensor([0, 1, 1, 1, 2, 3, 3]))
_BOX = VectorSpace(_ENTRIES, low=0.0, high=1.0)
_MADE: dict[str, tuple[type[Bowl] | type[ScratchpadBowl], Layout, Space]] = {
    "dense": (Bowl, _DENSE, VectorSpace(_ENTRIES)),
    "bounded": (Bowl, _DENSE, _BOX),
    "ragged": (Bowl, _RAGGED, EdgeSpace(_ENTRIES)),
    "scratchpad": (ScratchpadBowl, _DENSE, _BOX),
}
KINDS = tuple(_MADE)
"""The kinds of problems to walk on."""


def make(kind: str) -> Terrain:
    """Make a batch of problems of a kind, in float64."""
    title, layout, space = _MADE[kind]
    energy, generator, shape = title(), seeded_generator(0), (layout.rows, _ENTRIES)
    center = torch.rand(shape, generator=generator, dtype=torch.float64)
    curvature = 0.4 + 0.6 * torch.rand(shape, generator=generator, dtype=torch.float64)
    start = Iterate(1 - center.round(), layout)
    start = energy.with_scratchpad(start, generator)
    problem = Problem({"center": center, "curvature": curvature}, space, layout)
    return Terrain(name=kind, energy=energy, problem=problem, start=start)
