"""Iterates: a candidate solution y and, with a scratchpad, its memory z, as one vector space.

Descents are written on iterates, `iterate - step_size * gradient`, so that they serve dense and
ragged answers, with a scratchpad or without, in one form.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from irem_core.problems.layout import Layout
from irem_core.problems.space import Space

Scalar = float | Tensor


@attrs.frozen(eq=False)
class Iterate:
    """A batch of candidates, and equally a batch of gradients or directions.

    Args:
        y: `(B, ...)` or `(rows, ...)` the candidate solutions.
        layout: whose rows these are.
        z: `(B, width)` the scratchpad, or None.
    """

    y: Float[Tensor, "rows *entries"]
    layout: Layout
    z: Float[Tensor, "problems width"] | None = None

    def map(self, function: Callable[..., Tensor], *others: Iterate) -> Iterate:
        """Apply a function to y, and to z where there is one, of this iterate and others."""
        y = function(self.y, *(other.y for other in others))
        if self.z is None:
            return Iterate(y, self.layout)
        return Iterate(y, self.layout, function(self.z, *(other.z for other in others)))

    def __add__(self, other: Iterate) -> Iterate:
        """Add entry by entry."""
        return self.map(torch.add, other)

    def __sub__(self, other: Iterate) -> Iterate:
        """Subtract entry by entry."""
        return self.map(torch.sub, other)

    def __mul__(self, scale: Scalar) -> Iterate:
        """Scale by one number, or by one number per problem, `(B,)`."""
        if not isinstance(scale, Tensor):
            return self.map(lambda leaf: leaf * scale)
        y = self.y * self.layout.spread(scale, self.y)
        z = None if self.z is None else self.z * Layout(self.layout.count).spread(scale, self.z)
        return Iterate(y, self.layout, z)

    __rmul__ = __mul__

    def _reduce(
        self, over_rows: Callable[[Layout, Tensor], Tensor], join: Callable[..., Tensor]
    ) -> Tensor:
        reduced = over_rows(self.layout, self.y)
        if self.z is None:
            return reduced
        return join(reduced, over_rows(Layout(self.layout.count), self.z))

    def dot(self, other: Iterate) -> Float[Tensor, " problems"]:
        """Return each problem's inner product with another iterate, z included."""
        return self.map(torch.mul, other)._reduce(Layout.sum, torch.add)

    def norm(self) -> Float[Tensor, " problems"]:
        """Return each problem's Euclidean norm, z included."""
        return self.dot(self).sqrt()

    def amax(self) -> Float[Tensor, " problems"]:
        """Return each problem's largest entry in magnitude, z included."""
        return self.map(torch.abs)._reduce(Layout.amax, torch.maximum)

    def finite(self) -> Bool[Tensor, " problems"]:
        """Say for each problem whether all of its entries are finite."""
        # x - x is 0, or else NaN: two passes over memory, where isfinite makes five.
        return (self - self)._reduce(Layout.sum, torch.add) == 0

    def detach(self) -> Iterate:
        """Cut the iterate from the autograd graph."""
        return self.map(Tensor.detach)

    def clone(self) -> Iterate:
        """Copy the tensors."""
        return self.map(Tensor.clone)


def project(space: Space | None, iterate: Iterate) -> Iterate:
    """Move an iterate's y within the bounds of its space, where it has any."""
    return iterate if space is None else attrs.evolve(iterate, y=space.project(iterate.y))
