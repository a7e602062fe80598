"""A task whose energy is written down, so that it is solved without training."""

from __future__ import annotations

from torch import Tensor

from irem_core import EnergyFn
from irem_example.smooth import Smooth


class Roughness(EnergyFn):
    """E(x, y) is the squared distance of y to x plus the squared differences of its neighbours."""

    def energy(self, context: Tensor, y: Tensor) -> Tensor:
        """Return the energies `(B,)`; the context is x itself."""
        return (y - context).square().sum(1) + y.diff(dim=1).square().sum(1)


class WrittenSmooth(Smooth):
    """The task `smooth` with its energy written down: solve it as it is, nothing to train.

    Args:
        size: entries of x and of y.
    """

    def energy(self) -> Roughness:
        """Return the energy; the answers that it is lowest at are exact."""
        return Roughness.for_task(self)
