"""Spaces: what a question or an answer looks like, and how to draw a start in it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any, Self

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from irem_core import checks
from irem_core.errors import NonFiniteError, SettingError, ShapeError
from irem_core.part import settings_of
from irem_core.problems.layout import Layout


@attrs.frozen(eq=False)
class Face:
    """The part of a space's boundary on which an answer lies, as seen from there.

    Args:
        along: moves directions `(rows, ...)` to the nearest that do not leave it, as a projection.
        bend: what its bend adds to the product of an energy's Hessian with a direction; nothing
            where it is flat.
    """

    along: Callable[[Tensor], Tensor]
    bend: Callable[[Tensor], Tensor] = torch.zeros_like


Bound = float | tuple[float | None, ...] | None
"""A bound on answers: one for all entries, one for each entry of a row in their order, of which
None bounds nothing, or None."""


def _entries(value: Any, none: float) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for each in value:
            yield from _entries(each, none)
    else:
        yield None if isinstance(value, float) and value == none else value


def _bound(value: Any, none: float) -> Any:
    """Write bounds of several entries as one tuple; an infinity of one sign bounds nothing."""
    listed = value.tolist() if hasattr(value, "tolist") else value
    entries = tuple(_entries([listed], none))
    if not isinstance(listed, list | tuple):
        return entries[0]
    return None if all(each is None for each in entries) else entries


def _low(value: Any) -> Any:
    return _bound(value, -math.inf)


def _high(value: Any) -> Any:
    return _bound(value, math.inf)


def _bounds(instance: Any, attribute: Any, value: Any) -> None:
    for each in value if isinstance(value, tuple) else (value,):
        if each is not None:
            checks.finite(instance, attribute, each)


@attrs.frozen
class Space(ABC):
    """Shape and bounds of the questions or answers of a task.

    Args:
        low: smallest allowed entry, or None; or an array or a sequence in the shape of a row, or
            flat, of the smallest value of each entry, -infinity or None where there is none.
        high: largest allowed entry, likewise, infinity or None where there is none.
    """

    low: Bound = attrs.field(default=None, kw_only=True, converter=_low, validator=_bounds)
    high: Bound = attrs.field(default=None, kw_only=True, converter=_high, validator=_bounds)
    _limits: dict[Any, tuple[Tensor, Tensor]] = attrs.field(
        factory=dict, init=False, eq=False, repr=False
    )

    def __attrs_post_init__(self) -> None:
        """Reject bounds that leave no room, or are not as many as there are entries."""
        for name in ("low", "high"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != self.size:
                raise SettingError(
                    f"{type(self).__name__} got {len(value)} numbers as {name}; expected one for "
                    f"all entries, or one for each of the {self.size} of a row."
                )
        pairs = zip(self._each(self.low), self._each(self.high), strict=True)
        for entry, (low, high) in enumerate(pairs):
            if low is not None and high is not None and low >= high:
                where = f" of entry {entry}" if self._by_entry else ""
                raise SettingError(
                    f"{type(self).__name__} got low={low} and high={high}{where}; expected low "
                    "below high."
                )

    @property
    def _by_entry(self) -> bool:
        return isinstance(self.low, tuple) or isinstance(self.high, tuple)

    def _each(self, bound: Bound) -> tuple[float | None, ...]:
        if isinstance(bound, tuple):
            return bound
        return (bound,) * (self.size if self._by_entry else 1)

    def limits(self, y: Tensor) -> tuple[Any, Any]:
        """Return low and high as numbers or None; as tensors like a row of y where entries differ.

        There an entry without a bound has an infinite one.

        Args:
            y: gives the tensors' type and device.
        """
        if not self._by_entry:
            return self.low, self.high
        key = (y.dtype, y.device)
        if key in self._limits and type(y) is Tensor:
            return self._limits[key]
        with torch.inference_mode(False):  # kept for callers in other modes
            limits = (self._limit(self.low, -1, y), self._limit(self.high, 1, y))
        if type(y) is Tensor:  # and not one that stands for another while torch traces
            self._limits[key] = limits
        return limits

    def _limit(self, bound: Bound, side: int, y: Tensor) -> Tensor:
        entries = [side * math.inf if each is None else each for each in self._each(bound)]
        # By operations, since programs that are written down hold no constants in their loops.
        runs = [y.new_full((len(list(run)),), value) for value, run in groupby(entries)]
        return torch.cat(runs).view(self.shape)

    def __str__(self) -> str:
        """Write the space as its constructor, unset bounds left out."""
        fields = {name: value for name, value in settings_of(self).items() if value is not None}
        written = ", ".join(f"{name}={value}" for name, value in sorted(fields.items()))
        return f"{type(self).__name__}({written})"

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape of one row of a batch: of one problem where the space is dense."""

    @property
    def size(self) -> int:
        """The number of entries of one row."""
        return torch.Size(self.shape).numel()

    @property
    def ragged(self) -> bool:
        """Whether problems may differ in their number of rows."""
        return False

    def sized(self, shape: tuple[int, ...]) -> Self:
        """Return the same space for rows of another size, where the kind has a size.

        Args:
            shape: of one row; its last entries give height and width of matrices and images.

        Raises:
            ShapeError: this kind of space cannot have that shape.
        """
        raise ShapeError(f"{self} has one size only; expected rows of {self.shape}, not {shape}.")

    def start(
        self,
        layout: Layout,
        generator: torch.Generator,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> Float[Tensor, "rows *entries"]:
        """Draw starts from U(-1, 1), moved within the bounds (Algorithms 1 and 2)."""
        return self.project(uniform((layout.rows, *self.shape), generator, device, dtype))

    def project(self, y: Float[Tensor, "rows *entries"]) -> Float[Tensor, "rows *entries"]:
        """Move every entry within the bounds; without bounds return `y` itself."""
        low, high = self.limits(y)
        if low is None and high is None:
            return y
        return y.clamp(low, high)

    def face(
        self, y: Float[Tensor, "rows *entries"], slope: Float[Tensor, "rows *entries"]
    ) -> Face:
        """Return the part of the boundary that holds answers against a slope of their energy.

        A space with a `project` of its own has a `face` of its own too.

        Args:
            y: answers of this space.
            slope: the gradient of their energies.
        """
        held = torch.zeros_like(y, dtype=torch.bool)
        low, high = self.limits(y)
        if low is not None:
            held = held | ((y <= low) & (slope > 0))
        if high is not None:
            held = held | ((y >= high) & (slope < 0))
        return Face(lambda direction: direction.masked_fill(held, 0.0))

    def check(self, name: str, value: Any, rows: int | None = None) -> None:
        """Check that a tensor is a finite batch of this space.

        Args:
            name: what to call the tensor in an error.
            value: the candidate.
            rows: how many rows it must have, where that is known.

        Raises:
            ShapeError: not a floating-point tensor `(rows, *shape)`.
            NonFiniteError: an entry is NaN or infinite.
        """
        expected = (
            f"a floating-point tensor of shape ({', '.join(map(str, (rows or 'B', *self.shape)))})"
        )
        if not isinstance(value, Tensor):
            raise ShapeError(f"{name} is a {type(value).__name__}; expected {expected}.")
        fits = value.ndim == 1 + len(self.shape) and tuple(value.shape[1:]) == self.shape
        if not fits or not value.is_floating_point() or (rows or value.shape[0]) != value.shape[0]:
            raise ShapeError(
                f"{name} has shape {tuple(value.shape)} and type {value.dtype}; expected "
                f"{expected}."
            )
        require_finite(name, value)


def uniform(
    shape: tuple[int, ...],
    generator: torch.Generator,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "..."]:
    """Draw from U(-1, 1) with a generator that lives on `device`."""
    draw = torch.empty(shape, device=device, dtype=dtype)
    return draw.uniform_(-1.0, 1.0, generator=generator)


def normal_like(like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw standard normal numbers of a tensor's shape, type and device."""
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)


def require_finite(name: str, value: Tensor) -> None:
    """Raise where a tensor holds NaN or infinity, naming its first problem that does.

    Raises:
        NonFiniteError: an entry is not finite.
    """
    finite = value.isfinite()
    if not bool(finite.all()):
        first = int((~finite).nonzero()[0, 0]) if value.ndim else 0
        raise NonFiniteError(
            f"{name} holds NaN or infinity, first in row {first}; every entry must be finite."
        )


@attrs.frozen
class VectorSpace(Space):
    """Vectors of a fixed length: tensors `(B, length)`.

    Args:
        length: entries of one vector.
    """

    length: int = attrs.field(validator=checks.count)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape `(length,)`."""
        return (self.length,)

    def sized(self, shape: tuple[int, ...]) -> Self:
        """Return the same space with another length.

        Raises:
            ShapeError: the shape is no length.
        """
        if len(shape) != 1:
            raise ShapeError(f"A row of shape {shape} was given where one of {self} was expected.")
        return type(self)(**settings_of(self) | {"length": shape[0]})


class _Sized(Space):
    """A space whose rows end in a height and a width, which size-free energies take as given."""

    def sized(self, shape: tuple[int, ...]) -> Self:
        """Return the same space with the height and width that a shape ends in.

        Raises:
            ShapeError: the shape has another number of dimensions, or another number of channels.
        """
        if len(shape) != len(self.shape) or shape[:-2] != self.shape[:-2]:
            raise ShapeError(
                f"A row of shape {shape} was given where one of {self} was expected, whose height "
                "and width alone may differ."
            )
        return type(self)(**settings_of(self) | {"height": shape[-2], "width": shape[-1]})


@attrs.frozen
class MatrixSpace(_Sized):
    """Matrices of a fixed size: tensors `(B, height, width)`.

    Args:
        height: number of rows of one matrix.
        width: number of its columns.
    """

    height: int = attrs.field(validator=checks.count)
    width: int = attrs.field(validator=checks.count)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape `(height, width)`."""
        return (self.height, self.width)


@attrs.frozen
class ImageSpace(_Sized):
    """Images of one size: tensors `(B, channels, height, width)`, of brightness around [0, 1].

    Args:
        channels: 1 for grey images, 3 for colour.
        height: number of pixels in a column.
        width: number of pixels in a row.
    """

    channels: int = attrs.field(validator=checks.count)
    height: int = attrs.field(validator=checks.count)
    width: int = attrs.field(validator=checks.count)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape `(channels, height, width)`."""
        return (self.channels, self.height, self.width)


@attrs.frozen
class RaggedSpace(Space):
    """Answers of `(rows, channels)` whose problems differ in their number of rows.

    Args:
        channels: values of one row.
    """

    channels: int = attrs.field(default=1, validator=checks.count)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape `(channels,)` of one row."""
        return (self.channels,)

    @property
    def ragged(self) -> bool:
        """True."""
        return True


@attrs.frozen
class EdgeSpace(RaggedSpace):
    """Values on the edges of graphs: ragged tensors `(edges, channels)`.

    Args:
        channels: values of one edge.
        complete: whether graphs are complete, with self loops, and their edges in the order of the
            entries of a matrix (`graphs.complete`). It only says so: parts that need it check.
    """

    complete: bool = attrs.field(
        default=False, kw_only=True, validator=attrs.validators.instance_of(bool)
    )


def require_dense(owner: str, **spaces: Space) -> None:
    """Raise a SettingError, which names the owner, where answers of a space differ in size."""
    for name, space in spaces.items():
        checks.check(checks.part_of(Space), owner, **{name: space})
        if space.ragged:
            raise SettingError(
                f"{owner} got {name}={space!r}; expected vectors or matrices of one size, since "
                "its layers have a fixed number of inputs."
            )


def require_edges(owner: str, **spaces: Space) -> None:
    """Raise a SettingError, which names the owner, where a space is not of values on edges."""
    for name, space in spaces.items():
        if not isinstance(space, EdgeSpace):
            raise SettingError(
                f"{owner} got {name}={space!r}; expected an EdgeSpace, since it reads values on "
                "the edges of graphs."
            )
