"""Energies that add up: learned ones and written ones, each with its weight."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import attrs
import torch
from jaxtyping import Float
from torch import Tensor, nn

from irem_core import checks
from irem_core.energy import Landscape
from irem_core.errors import SettingError
from irem_core.iterate import Iterate
from irem_core.precision import wide
from irem_core.problem import Problem


class WeightedEnergies(Landscape):
    """E(x, y) = sum_k w_k E_k(x, y): `learned + 0.5 * penalty` makes one.

    So a constraint can be imposed when solving that training never saw, by an energy that is high
    where the answer breaks it. Which gives way, the constraint or the answer, is up to the weights:
    learned energies have no unit, so compare the sizes of both where a candidate is wrong.

    The first energy draws the starts. Each with a scratchpad has a share of its own in z.

    Args:
        energies: at least one.
        weights: of each; 1 for all if None. A negative one turns an energy upside down.

    Raises:
        SettingError: there is no energy, or not a finite weight for each.
    """

    def __init__(
        self, energies: Sequence[Landscape] = (), weights: Sequence[float] | None = None
    ) -> None:
        """Take the energies over, with their spaces."""
        super().__init__()
        factors = (1.0,) * len(energies) if weights is None else tuple(weights)
        if not energies or len(factors) != len(energies):
            raise SettingError(
                f"WeightedEnergies got {len(energies)} energies and {len(factors)} weights; "
                "expected at least one energy, and a weight for each."
            )
        for energy, factor in zip(energies, factors, strict=True):
            checks.check(checks.part_of(Landscape), "WeightedEnergies", energies=energy)
            checks.check(checks.finite, "WeightedEnergies", weights=factor)
        self.energies = nn.ModuleList(energies)
        self.weights = factors
        self.question = _first(getattr(each, "question", None) for each in energies)
        self.answer = _first(each.answer for each in energies)
        self.scratchpad = sum(each.scratchpad for each in energies)
        self.exacting = any(each.exacting for each in energies)
        self.size_free = all(each.size_free for each in energies)

    def encode(self, problem: Problem) -> tuple[Any, ...]:
        """Return the contexts of all energies."""
        return tuple(energy.encode(problem) for _, energy in self.terms())

    def value(self, context: tuple[Any, ...], iterate: Iterate) -> Float[Tensor, " problems"]:
        """Return the weighted sum of the energies at the iterate."""
        parts = zip(self.terms(), context, self._scratch(iterate), strict=True)
        values = [
            weight * wide(energy.value(part, attrs.evolve(iterate, z=z)))
            for (weight, energy), part, z in parts
        ]
        return torch.stack(values).sum(0)

    def _scratch(self, iterate: Iterate) -> list[Tensor | None]:
        """Give each energy its own share of z."""
        if iterate.z is None:
            return [None] * len(self.weights)
        shares = iterate.z.split([energy.scratchpad for _, energy in self.terms()], 1)
        return [share if share.shape[1] else None for share in shares]

    def start(self, problem: Problem, generator: torch.Generator) -> Iterate:
        """Start where the first energy does, with a scratchpad as wide as those of all."""
        _, first = self.terms()[0]
        start = first.start(problem, generator)
        return self.with_scratchpad(attrs.evolve(start, z=None), generator)

    def terms(self) -> list[tuple[float, Landscape]]:
        """List the energies with their weights."""
        energies = cast(Iterable[Landscape], self.energies)
        return list(zip(self.weights, energies, strict=True))


def _first(values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def combined(terms: Sequence[tuple[float, Landscape]]) -> WeightedEnergies:
    """Return the weighted sum of energies, those that are such sums taken apart.

    Raises:
        SettingError: a weight is not finite.
    """
    flat: list[tuple[float, Landscape]] = []
    for weight, energy in terms:
        checks.check(checks.finite, "An energy", weight=weight)
        inner = energy.terms() if isinstance(energy, WeightedEnergies) else [(1.0, energy)]
        flat += [(weight * factor, each) for factor, each in inner]
    weights, energies = zip(*flat, strict=True)
    return WeightedEnergies(energies, weights)
