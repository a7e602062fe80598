"""Spaces whose entries hang together: simplices, balls, affine spaces, and products of spaces."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import attrs
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from irem_core import checks
from irem_core.errors import SettingError
from irem_core.problems.space import Face, Space, VectorSpace, require_dense

Rows = Float[Tensor, "rows entries"]

# How far from the surface of a ball, as a share of its radius, an answer still lies on it.
_SURFACE = 1e-5


def _without_bounds(space: Space) -> None:
    """Refuse bounds beside the structure: the nearest point of both is another than that of each.

    Raises:
        SettingError: there are bounds.
    """
    if space.low is not None or space.high is not None:
        raise SettingError(
            f"{type(space).__name__} got low={space.low} and high={space.high}; expected no bounds "
            "beside its own structure."
        )


@attrs.frozen
class SimplexSpace(VectorSpace):
    """Shares of a whole: vectors `(B, length)` of entries of at least 0 that add up to `total`.

    Args:
        length: entries of one vector.
        total: what they add up to, above 0.
    """

    total: float = attrs.field(default=1.0, kw_only=True, validator=checks.positive)

    def __attrs_post_init__(self) -> None:
        """Refuse bounds."""
        _without_bounds(self)

    def project(self, y: Rows) -> Rows:
        """Return the nearest point of the simplex, by sorting (Held, Wolfe and Crowder, 1974)."""
        falling = y.sort(-1, descending=True).values
        excess = falling.cumsum(-1) - self.total
        ranks = torch.arange(1, self.length + 1, device=y.device, dtype=y.dtype)
        kept = (falling * ranks > excess).sum(-1, keepdim=True).clamp(min=1)
        return (y - excess.gather(-1, kept - 1) / kept).clamp(min=0)

    def face(self, y: Rows, slope: Rows) -> Face:
        """Return the face of the shares that are not held at 0 (see `Space.face`)."""
        # Projecting gives entries that are held a share of the rounding of the total.
        inside = y > torch.finfo(y.dtype).eps * self.total
        level = (slope * inside).sum(-1, keepdim=True) / inside.sum(-1, keepdim=True)
        free = inside | (slope < level)
        count = free.sum(-1, keepdim=True)

        def along(direction: Tensor) -> Tensor:
            kept = direction * free
            return kept - free * kept.sum(-1, keepdim=True) / count

        return Face(along)


@attrs.frozen
class BallSpace(VectorSpace):
    """Vectors `(B, length)` within a Euclidean distance of a point.

    Args:
        length: entries of one vector.
        radius: the largest distance, above 0.
        center: every entry of the point.
    """

    radius: float = attrs.field(default=1.0, kw_only=True, validator=checks.positive)
    center: float = attrs.field(default=0.0, kw_only=True, validator=checks.finite)

    def __attrs_post_init__(self) -> None:
        """Refuse bounds."""
        _without_bounds(self)

    def project(self, y: Rows) -> Rows:
        """Return the nearest point of the ball."""
        offset = y - self.center
        # Divided by the largest entry, whose square may not overflow.
        largest = offset.abs().amax(-1, keepdim=True).clamp(min=self.radius)
        length = torch.linalg.vector_norm(offset / largest, dim=-1, keepdim=True) * largest
        return torch.where(length > self.radius, self.center + offset * (self.radius / length), y)

    def face(self, y: Rows, slope: Rows) -> Face:
        """Return the surface where a slope holds answers on it, with its bend."""
        offset = y - self.center
        length = torch.linalg.vector_norm(offset, dim=-1, keepdim=True)
        inward = (slope * offset).sum(-1, keepdim=True) < 0
        held = inward & (length >= (1 - _SURFACE) * self.radius)
        normal = torch.where(held, offset / length, 0.0)
        pressed = -(normal * slope).sum(-1)

        def along(direction: Tensor) -> Tensor:
            return direction - normal * (normal * direction).sum(-1, keepdim=True)

        # A straight step along a sphere leaves it, and the energy would have to rise to come back.
        return Face(along, lambda direction: along(direction) * (pressed / self.radius)[:, None])


def _numbers(value: Any) -> Any:
    """Write an array, or lists of numbers, as tuples, so that a space is a plain value."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"AffineSpace got {checks.shown(value)[:60]}; expected numbers, in rows of one length."
        ) from error
    rows = array.tolist()
    return tuple(map(tuple, rows)) if array.ndim == 2 else tuple(np.atleast_1d(rows).tolist())


@functools.lru_cache(maxsize=64)
def _factored(
    matrix: tuple[tuple[float, ...], ...], values: tuple[float, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return an orthonormal basis `(rank, length)` of the rows, and the shortest solution."""
    a, b = np.array(matrix), np.array(values)
    left, sizes, right = np.linalg.svd(a, full_matrices=False)
    rank = int((sizes > sizes.max(initial=0.0) * max(a.shape) * np.finfo(np.float64).eps).sum())
    basis = right[:rank]
    return basis, basis.T @ ((left[:, :rank].T @ b) / sizes[:rank])


@attrs.frozen
class AffineSpace(Space):
    """Vectors `(B, length)` that solve the linear equations A y = b.

    The projection is orthogonal, by a factorisation of A that is made once.

    Args:
        matrix: A, as many rows as equations, each of `length` numbers.
        values: b, one number an equation.

    Raises:
        SettingError: the numbers do not fit together, or no y solves the equations.
    """

    matrix: tuple[tuple[float, ...], ...] = attrs.field(converter=_numbers)
    values: tuple[float, ...] = attrs.field(converter=_numbers)

    def __attrs_post_init__(self) -> None:
        """Check the equations, and that they have a solution."""
        _without_bounds(self)
        a, b = np.array(self.matrix), np.array(self.values)
        fits = a.ndim == 2 and a.size > 0 and b.shape == a.shape[:1]
        if not (fits and np.isfinite(a).all() and np.isfinite(b).all()):
            raise SettingError(
                f"AffineSpace got matrix={checks.shown(self.matrix)[:60]} and "
                f"values={checks.shown(self.values)[:60]}; expected finite numbers, a row and a "
                "value for each equation."
            )
        _, solution = _factored(self.matrix, self.values)
        left = np.abs(a @ solution - b).max()
        if left > 1e-9 * max(1.0, np.abs(b).max()):
            raise SettingError(
                f"AffineSpace got equations that no y solves: the nearest leaves {left:.1e} of a "
                "value; take out those that contradict others."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape `(length,)`."""
        return (len(self.matrix[0]),)

    def _parts(self, like: Tensor) -> tuple[Tensor, Tensor]:
        basis, solution = _factored(self.matrix, self.values)
        return torch.as_tensor(basis).to(like), torch.as_tensor(solution).to(like)

    def project(self, y: Rows) -> Rows:
        """Return the nearest solution of the equations."""
        basis, solution = self._parts(y)
        offset = y - solution
        return solution + offset - (offset @ basis.mT) @ basis

    def face(self, y: Rows, slope: Rows) -> Face:
        """Return the space itself, which holds answers everywhere (see `Space.face`)."""
        basis, _ = self._parts(y)
        return Face(lambda direction: direction - (direction @ basis.mT) @ basis)


@attrs.frozen(init=False)
class ProductSpace(Space):
    """Vectors `(B, length)` made of answers of several spaces, one after the other.

    Args:
        parts: the spaces, at least one, none of them ragged; the rows of each are flattened.

    Raises:
        SettingError: there is no space, or one is ragged.
    """

    spaces: tuple[Space, ...]

    def __init__(
        self,
        *parts: Space,
        spaces: Iterable[Space] = (),
        low: float | None = None,
        high: float | None = None,
    ) -> None:
        together = (*parts, *spaces)
        if not together:
            raise SettingError("ProductSpace got no space; expected at least one.")
        for space in together:
            require_dense("ProductSpace", spaces=space)
        self.__attrs_init__(together, low=low, high=high)
        _without_bounds(self)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape `(length,)`, the sizes of all parts together."""
        return (sum(space.size for space in self.spaces),)

    def split(self, y: Rows) -> list[Tensor]:
        """Return the answers `(B, ...)` of each part."""
        pieces = y.split([space.size for space in self.spaces], -1)
        return [
            piece.reshape(-1, *space.shape)
            for piece, space in zip(pieces, self.spaces, strict=True)
        ]

    def project(self, y: Rows) -> Rows:
        """Return the nearest point of each part."""
        pieces = zip(self.spaces, self.split(y), strict=True)
        return self._joined(space.project(piece) for space, piece in pieces)

    def face(self, y: Rows, slope: Rows) -> Face:
        """Return the faces of all parts together (see `Space.face`)."""
        pieces = zip(self.spaces, self.split(y), self.split(slope), strict=True)
        faces = [space.face(piece, downhill) for space, piece, downhill in pieces]

        def along(direction: Tensor) -> Tensor:
            return self._joined(
                face.along(piece) for face, piece in zip(faces, self.split(direction), strict=True)
            )

        def bend(direction: Tensor) -> Tensor:
            return self._joined(
                face.bend(piece) for face, piece in zip(faces, self.split(direction), strict=True)
            )

        return Face(along, bend)

    def _joined(self, pieces: Iterable[Tensor]) -> Tensor:
        return torch.cat([piece.flatten(1) for piece in pieces], -1)
