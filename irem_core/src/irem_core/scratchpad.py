"""The scratchpad extension: energies E(x, y, z) with a memory z that descends beside y.

Appendix B: the answer is the y of arg min over y and z (Eq. 8), both descend the same energy, each
by its own gradient (Eq. 9), the loss is on y alone (Eq. 10), and z is replayed with y (Algorithm
3).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from irem_core.energy import Landscape
from irem_core.iterate import Iterate
from irem_core.problem import Problem
from irem_core.space import uniform


class ScratchpadEnergy(Landscape):
    """An energy E(x, y, z). An author writes `energy` and sets `scratchpad`, the width of z."""

    scratchpad: int = 512

    @abstractmethod
    def energy(
        self, context: Any, y: Tensor, z: Float[Tensor, "problems width"]
    ) -> Float[Tensor, " problems"]:
        """Return the energy of each problem; pure, as `EnergyFn.energy` is.

        Args:
            context: what `encode` returned, by default x.
            y: `(B, ...)`, or `(rows, ...)` where answers are ragged.
            z: `(B, scratchpad)`.

        Returns:
            `(B,)` energies.
        """

    def value(self, context: Any, iterate: Iterate) -> Float[Tensor, " problems"]:
        """Return `energy` at the iterate's y and z."""
        z = iterate.z
        if z is None:
            z = iterate.y.new_zeros(iterate.layout.count, self.scratchpad)
        return self.energy(context, iterate.y, z)

    def start(self, problem: Problem, generator: torch.Generator) -> Iterate:
        """Draw y, then z, from U(-1, 1) (Algorithm 3).

        Raises:
            ShapeError: the problem's answer space is not known.
        """
        return self.with_scratchpad(super().start(problem, generator), generator)

    def with_scratchpad(self, iterate: Iterate, generator: torch.Generator) -> Iterate:
        """Give an iterate without z one that is drawn from U(-1, 1)."""
        y = iterate.y
        shape = (iterate.layout.count, self.scratchpad)
        return Iterate(y, iterate.layout, uniform(shape, generator, y.device, y.dtype))
