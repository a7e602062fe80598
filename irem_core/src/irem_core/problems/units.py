"""Standard units: numbers of mean 0 and spread 1 in place of the user's."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Any, cast

import attrs
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from irem_core.problems.factor_graphs import ENTRY
from irem_core.problems.factored import FactorSpace
from irem_core.problems.space import Bound, Space


class Units(nn.Module):
    """The mean and spread of a space's entries, and the way to standard units and back.

    What never varied has a spread of 0: in standard units it is 0 whatever it is now, and back in
    the user's it is the constant that it was. The mean is in double precision where single does not
    tell the user's numbers apart, and then they are too; standard ones have the type of `scale`.

    Args:
        shape: that they are shared in, which broadcasts against rows.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        """Begin with mean 0 and spread 1."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    @classmethod
    def for_space(cls, space: Space) -> Units:
        """Share entry by entry in vectors, over all entries of matrices, by channel in images.

        Features of entries and of factors have their own, kind by kind.
        """
        if isinstance(space, FactorSpace):
            return PartUnits(space)
        shared = {1: space.shape, 2: (1, 1), 3: (*space.shape[:1], 1, 1)}
        return cls(shared[len(space.shape)])

    def set(
        self, mean: NDArray[np.float64], scale: NDArray[np.float64], *, fine: bool = False
    ) -> None:
        """Take over what was measured, the mean in double precision where it is `fine`."""
        self._widen(torch.float64 if fine else self.mean.dtype)
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.copy_(torch.from_numpy(scale))

    def standard(self, value: Any, dtype: torch.dtype | None = None) -> Any:
        """Return values `(...)` of the user in standard units, `(...)` too.

        Args:
            value: in the user's.
            dtype: of what is returned; that of `scale`, which what was learned has, if None.
        """
        return ((value - self.mean) * self._inverse()).to(dtype or self.scale.dtype)

    def plain(self, value: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return standard values in the user's units."""
        return value * self.scale + self.mean

    def slope(self, gradient: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return a gradient in standard units as one in the user's."""
        return gradient * self._inverse()

    def bounds(self, space: Space) -> Space:
        """Return a space of the user's with its bounds in standard units.

        What never varied has none there, where it is 0 in any case.
        """
        if space.low is None and space.high is None:
            return space
        return attrs.evolve(space, low=self._bound(space, 0), high=self._bound(space, 1))

    def _bound(self, space: Space, side: int) -> Bound:
        mean, scale = self.mean.double(), self.scale.double()
        limit = space.limits(mean)[side]
        if limit is None:
            return None
        unbounded = torch.inf if side else -torch.inf
        moved = torch.where(scale > 0, (limit - mean) / scale, unbounded)
        return tuple(moved.expand(space.shape).flatten().tolist())

    def _inverse(self) -> Tensor:
        return torch.where(self.scale > 0, 1 / self.scale, 0.0)

    def _widen(self, dtype: torch.dtype) -> None:
        self.mean = self.mean.to(dtype)

    def _load_from_state_dict(self, state: Any, prefix: str, *others: Any) -> None:
        if f"{prefix}mean" in state:
            self._widen(state[f"{prefix}mean"].dtype)
        super()._load_from_state_dict(state, prefix, *others)


class PartUnits(Units):
    """The units of factor graphs: those of the features of entries, and of each kind of factor.

    Args:
        space: which kinds there are.
    """

    def __init__(self, space: FactorSpace) -> None:
        """Begin with mean 0 and spread 1."""
        super().__init__(space.shape)
        self._kinds = [kind for kind, width in space.kinds if width]
        self._of_factors = nn.ModuleList(Units((width,)) for _, width in space.kinds if width)

    def kinds(self) -> dict[str, Units]:
        """Return the units of each kind of factors that has features."""
        return dict(zip(self._kinds, cast(Iterable[Units], self._of_factors), strict=True))

    def standard(self, value: Any, dtype: torch.dtype | None = None) -> Any:
        """Return a batch of factor graphs whose features are in standard units."""
        batch = copy(value)
        batch[ENTRY].x = super().standard(value[ENTRY].x, dtype)
        for kind, units in self.kinds().items():
            if kind in value.node_types:
                batch[kind].x = units.standard(value[kind].x, dtype)
        return batch
