"""The scratchpad extension: energies E(x, y, z) with a memory z that descends beside y.

Appendix B: the answer is the y of arg min over y and z (Eq. 8), both descend the same energy, each
by its own gradient (Eq. 9), the loss is on y alone (Eq. 10), and z is replayed with y (Algorithm
3).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from jaxtyping import Float
from torch import Tensor

from irem_core.energies.base import Energy
from irem_core.problems.iterate import Iterate


class ScratchpadEnergy(Energy):
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

    def residuals(self, context: Any, y: Tensor, z: Tensor) -> Tensor | None:
        """Return residuals whose squares add up to the energy (see `EnergyFn.residuals`)."""
        return None

    def value(self, context: Any, iterate: Iterate) -> Float[Tensor, " problems"]:
        """Return `energy` at the iterate's y and z."""
        return self.energy(context, iterate.y, self._z(iterate))

    def misfits(self, context: Any, iterate: Iterate) -> Tensor | None:
        """Return `residuals` at the iterate's y and z."""
        return self.residuals(context, iterate.y, self._z(iterate))

    def _z(self, iterate: Iterate) -> Tensor:
        if iterate.z is None:
            return iterate.y.new_zeros(iterate.layout.count, self.scratchpad)
        return iterate.z
