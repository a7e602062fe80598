"""The spaces of questions made of parts, factor graphs, and of answers about their entries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

from irem_core import checks
from irem_core.errors import SettingError, ShapeError
from irem_core.problems import factor_graphs
from irem_core.problems.factor_graphs import ENTRY, ROLE
from irem_core.problems.space import RaggedSpace, Space


@attrs.frozen
class EntrySpace(RaggedSpace):
    """Values of the entries of factor graphs: ragged tensors `(rows, channels)`.

    Args:
        channels: values of one entry.
    """


def _pairs(value: Any) -> Any:
    """Write a mapping as pairs, so that a space is a plain value."""
    pairs = value.items() if isinstance(value, Mapping) else value
    return tuple((name, tuple(each) if isinstance(each, list) else each) for name, each in pairs)


@attrs.frozen
class FactorSpace(Space):
    """Factor graphs (see `factor_graphs`): what their entries and factors hold, whatever the size.

    Args:
        features: of an entry, at least 1.
        kinds: of factors, by name the features that one has, 0 if none.
        roles: of the entries of a kind, by its name; kinds that are not named have one role,
            `factor_graphs.ROLE`.

    Raises:
        SettingError: there is no kind, a name is no word, or roles are of no kind.
    """

    features: int = attrs.field(validator=checks.count)
    kinds: tuple[tuple[str, int], ...] = attrs.field(converter=_pairs)
    roles: tuple[tuple[str, tuple[str, ...]], ...] = attrs.field(converter=_pairs, default=())

    def __attrs_post_init__(self) -> None:
        """Check names and widths."""
        Space.__attrs_post_init__(self)
        known, roles = dict(self.kinds), dict(self.roles)
        names = [*known, *(role for each in roles.values() for role in each)]
        words = all(isinstance(name, str) and name.isidentifier() for name in names)
        fits = known and words and ENTRY not in known and roles.keys() <= known.keys()
        if not (fits and all(roles.values())):
            raise SettingError(
                f"FactorSpace got kinds={known} and roles={roles}; expected at least one kind, "
                f"names that are words, none of them {ENTRY!r}, and some roles of such kinds."
            )
        for width in known.values():
            checks.check(checks.count_or_zero, "FactorSpace", kinds=width)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape `(features,)` of one entry."""
        return (self.features,)

    @property
    def ragged(self) -> bool:
        """True: problems differ in their number of entries."""
        return True

    def roles_of(self, kind: str) -> tuple[str, ...]:
        """Return the roles that entries have in factors of a kind."""
        return dict(self.roles).get(kind, (ROLE,))

    def links(self) -> Iterator[tuple[str, str]]:
        """Yield every kind with every role of its entries."""
        for kind, _ in self.kinds:
            for role in self.roles_of(kind):
                yield kind, role

    def check_features(self, title: str, x: Any, weight: Tensor | None = None) -> None:
        """Check that x is a batch of factor graphs of these kinds, with features of these widths.

        Args:
            title: who is asked, named in errors.
            x: what it was given.
            weight: whose type and device the features must have; None for any.

        Raises:
            ShapeError: x is anything else.
        """
        if not factor_graphs.is_one(x):
            raise ShapeError(
                f"{title} got x of type {type(x).__name__}; expected a batch of factor graphs, "
                "such as factor_graphs.build or torch-geometric's Batch.from_data_list makes of "
                f"HeteroData with nodes of the type {ENTRY!r}."
            )
        widths = {ENTRY: self.features, **dict(self.kinds)}
        for kind in x.node_types:
            if kind not in widths:
                raise ShapeError(
                    f"{title} got factors of the kind {kind!r}; it knows "
                    f"{', '.join(map(repr, dict(self.kinds)))} alone: kinds are learned in "
                    "training, so train it on problems that have this one."
                )
            _check_features(title, x[kind], kind, widths[kind], weight)

    def check_graphs(self, title: str, x: Any, weight: Tensor | None = None) -> None:
        """Check features (see `check_features`), and that all is linked, by links that are known.

        Args:
            title: who is asked, named in errors.
            x: what it was given.
            weight: as for `check_features`.

        Raises:
            ShapeError: x is no such batch, or something is linked to nothing or twice.
        """
        self.check_features(title, x, weight)
        known = {(kind, role, ENTRY) for kind, role in self.links()}
        for key in x.edge_types:
            if tuple(key) not in known:
                raise ShapeError(
                    f"{title} got links of {key}; it knows {', '.join(map(str, sorted(known)))} "
                    "alone: kinds of factors and roles are learned in training."
                )
        _check_links(title, x)


def _check_features(title: str, store: Any, kind: str, width: int, weight: Tensor | None) -> None:
    values = store.get("x")
    rows = int(store.ptr[-1])
    given = (rows, 0) if values is None else tuple(values.shape)
    if given != (rows, width):
        raise ShapeError(
            f"{title} got {kind!r} nodes with features x of shape {given}; expected "
            f"({rows}, {width})."
        )
    if weight is None or values is None:
        return
    if (values.dtype, values.device) != (weight.dtype, weight.device):
        raise ShapeError(
            f"{title} got features of {values.dtype} on {values.device} and has weights of "
            f"{weight.dtype} on {weight.device}; convert one of them with .to(...)."
        )


def _check_links(title: str, x: Any) -> None:
    linked = {kind: torch.zeros_like(x[kind].batch, dtype=torch.bool) for kind in x.node_types}
    for key in x.edge_types:
        for kind, places in zip((key[0], key[2]), x[key].edge_index, strict=True):
            linked[kind][places] = True
    for kind, found in linked.items():
        if not bool(found.all()):
            first = int((~found).nonzero()[0, 0])
            problem = int(x[kind].batch[first])
            number = first - int(x[kind].ptr[problem])
            why = (
                "belongs to no factor, so nothing says what it is"
                if kind == ENTRY
                else "joins no entries, so it says nothing"
            )
            raise ShapeError(
                f"{title} got a problem {problem} whose {kind} {number} {why}; leave it out."
            )
    for kind in dict.fromkeys(key[0] for key in x.edge_types):
        _check_once(title, x, kind)


def _check_once(title: str, x: Any, kind: str) -> None:
    """Check that no factor of a kind names an entry twice, in whatever roles."""
    links = torch.cat([x[key].edge_index for key in x.edge_types if key[0] == kind], 1)
    rows = x[ENTRY].batch.shape[0]
    keys = (links[0] * rows + links[1]).sort().values
    twice = (keys.diff() == 0).nonzero()
    if twice.numel():
        key = int(keys[twice[0, 0]])
        factor, entry = key // rows, key % rows
        problem = int(x[ENTRY].batch[entry])
        raise ShapeError(
            f"{title} got a problem {problem} whose {kind} {factor - int(x[kind].ptr[problem])} "
            f"names the entry {entry - int(x[ENTRY].ptr[problem])} twice; name it once."
        )
