"""Energies as authors write them and users hold them: to be compiled, weighted and added."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any, cast

import attrs
import torch
from jaxtyping import Float
from torch import Tensor, nn

from irem_core import checks
from irem_core.energies.landscape import Landscape
from irem_core.energies.precision import wide
from irem_core.errors import SettingError
from irem_core.problems.iterate import Iterate
from irem_core.problems.problem import Problem
from irem_core.problems.units import Units


class Energy(Landscape):
    """What any energy can do, with a scratchpad or without.

    Authors derive from `EnergyFn` or `ScratchpadEnergy` instead.
    """

    def compile(self, **options: Any) -> None:
        """Have torch compile the energy and its gradient when they are first needed.

        Everything that descends the energy, or trains it, then does so by fused operations, which
        give the same numbers up to rounding. The first evaluation of each shape takes tens of
        seconds, and on CPUs needs a C++ compiler.

        Args:
            options: of `torch.compile`, such as its backend. `mode="reduce-overhead"` captures CUDA
                graphs on GPUs, in training on answers that are not ragged.

        Raises:
            CompileError: when the energy is first evaluated, if torch cannot compile it.
        """
        # The one import of a room that stands on this one: whoever compiles nothing does without.
        from irem_core.compiling.compilation import Programs

        self.programs = Programs(options)

    def __add__(self, other: Landscape) -> WeightedEnergies:
        """Return the sum of two energies, itself an energy."""
        return self._combined((1.0, self), (1.0, other))

    def __radd__(self, other: Any) -> Landscape:
        """Begin a `sum` of energies."""
        return self if other == 0 else NotImplemented

    def __mul__(self, weight: float) -> WeightedEnergies:
        """Return a multiple of an energy, itself an energy."""
        return self._combined((weight, self))

    __rmul__ = __mul__

    def _combined(self, *terms: tuple[float, Landscape]) -> WeightedEnergies:
        if not all(isinstance(w, Real) and isinstance(e, Landscape) for w, e in terms):
            return NotImplemented  # type: ignore[no-any-return]
        return combined(terms)


class EnergyFn(Energy):
    """An energy E(x, y): low where y solves x. An author writes `energy`, and nothing else."""

    @abstractmethod
    def energy(self, context: Any, y: Tensor) -> Float[Tensor, " problems"]:
        """Return the energy of each problem.

        A pure function: it changes neither y nor any state, treats problems independently of one
        another, and reads no tensor on the host.

        Args:
            context: what `encode` returned, by default x.
            y: `(B, ...)`, or `(rows, ...)` where answers are ragged.

        Returns:
            `(B,)` energies.
        """

    def residuals(self, context: Any, y: Tensor) -> Tensor | None:
        """Return residuals r of each problem, where the energy is sum_j r_j^2, but for a constant.

        To write it is optional: `levenberg-marquardt` then descends the energy. The constant may
        depend on the question and on weights, but not on y.

        Args:
            context: what `encode` returned.
            y: as `energy` takes it.

        Returns:
            `(B, ...)`, or `(rows, ...)` where answers are ragged; None, as by default, where the
            energy is no such sum.
        """
        return None

    def value(self, context: Any, iterate: Iterate) -> Float[Tensor, " problems"]:
        """Return `energy` at the iterate's y."""
        return self.energy(context, iterate.y)

    def misfits(self, context: Any, iterate: Iterate) -> Tensor | None:
        """Return `residuals` at the iterate's y."""
        return self.residuals(context, iterate.y)


class WeightedEnergies(Energy):
    """E(x, y) = sum_k w_k E_k(x, y): `learned + 0.5 * penalty` makes one.

    So a constraint can be imposed when solving that training never saw, by an energy that is high
    where the answer breaks it. Which gives way, the constraint or the answer, is up to the weights:
    learned energies have no unit, so compare the sizes of both where a candidate is wrong.

    As a text it is "weighted(energies=(mlp(width=64), elementwise()), weights=(1, 0.5))". Trained,
    all of its energies are.

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

    @property
    def units(self) -> Units | None:
        """Those of the first energy that has some."""
        return cast(Units | None, _first(energy.units for _, energy in self.terms()))

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

    def misfits(self, context: tuple[Any, ...], iterate: Iterate) -> Tensor | None:
        """Return those of all energies side by side; None where one has none."""
        parts = zip(self.terms(), context, self._scratch(iterate), strict=True)
        found = []
        for (weight, energy), part, z in parts:
            residuals = energy.misfits(part, attrs.evolve(iterate, z=z))
            if residuals is None or weight < 0:
                return None
            found.append(weight**0.5 * wide(residuals).flatten(1))
        return torch.cat(found, 1)

    def _scratch(self, iterate: Iterate) -> list[Tensor | None]:
        """Give each energy its own share of z."""
        if iterate.z is None:
            return [None] * len(self.weights)
        shares = iterate.z.split([energy.scratchpad for _, energy in self.terms()], 1)
        return [share if share.shape[1] else None for share in shares]

    def start(self, problem: Problem, generator: torch.Generator) -> Iterate:
        """Start where the first energy does, with a scratchpad as wide as those of all."""
        _, energy = self.terms()[0]
        return self._wider(energy.start(problem, generator), generator)

    def first_start(self, problem: Problem, generator: torch.Generator) -> Iterate:
        """Begin solving where the first energy does, with a scratchpad likewise."""
        _, energy = self.terms()[0]
        return self._wider(energy.first_start(problem, generator), generator)

    def _wider(self, start: Iterate, generator: torch.Generator) -> Iterate:
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
