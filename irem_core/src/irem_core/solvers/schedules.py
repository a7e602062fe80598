"""Schedules: at which levels of noise an annealed energy is trained and descended.

At a level of noise s candidates are a y + s e, y a right answer, e standard normal and
a = sqrt(1 - s^2).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import attrs

from irem_core import checks
from irem_core.errors import SettingError
from irem_core.part import several

# The share of an answer that the published schedule keeps from one level to the next, at least.
_KEPT = 1e-3


@attrs.frozen(kw_only=True)
class NoiseSchedule(ABC):
    """The levels of noise of an annealed energy. An author writes `noise`."""

    @property
    @abstractmethod
    def noise(self) -> tuple[float, ...]:
        """The noise s of each level, from sharp to smooth: ascending, within (0, 1)."""

    @property
    def signal(self) -> tuple[float, ...]:
        """What answers are multiplied by at each level, a = sqrt(1 - s^2)."""
        return tuple(math.sqrt(1 - each**2) for each in self.noise)

    @property
    def angles(self) -> tuple[float, ...]:
        """The levels as angles, from 0 to pi / 2, whose sines they are."""
        return tuple(math.asin(each) for each in self.noise)

    @property
    def moves(self) -> tuple[float, ...]:
        """The natural length of a step at each level, in units of its gradient.

        Where the gradient is the noise e, such a step takes away what the next level is to be free
        of, (1 - a^2 / a'^2) / s, a' the signal of the next sharper level; at the sharpest all of
        it.
        """
        sharper = (1.0, *self.signal)
        levels = zip(self.signal, sharper, self.noise, strict=False)
        return tuple((1 - (own / next_) ** 2) / noise for own, next_, noise in levels)


@attrs.frozen(kw_only=True)
class CosineSchedule(NoiseSchedule):
    """Levels spread evenly between none and nearly all noise (Nichol and Dhariwal, ICML 2021).

    Answers are multiplied at level k of K by a_k = cos((k / K + o) / (1 + o) pi / 2) / a_0.

    Args:
        levels: K, at least 1; published with 10 (IRED, Du et al., ICML 2024).
        offset: o, above 0, which keeps the sharpest level from having hardly any noise.
    """

    levels: int = attrs.field(default=10, validator=checks.count)
    offset: float = attrs.field(default=0.008, validator=checks.positive)

    @property
    def noise(self) -> tuple[float, ...]:
        """The noise of each level (see `NoiseSchedule.noise`)."""
        found, before, kept = [], 1.0, 1.0
        for level in range(1, self.levels + 1):
            now = self._power(level / self.levels)
            kept *= max(now / before, _KEPT)
            before = now
            found.append(math.sqrt(1 - kept))
        return tuple(found)

    def _power(self, share: float) -> float:
        angles = [(each + self.offset) / (1 + self.offset) * math.pi / 2 for each in (share, 0.0)]
        return (math.cos(angles[0]) / math.cos(angles[1])) ** 2


def _ascending(instance: Any, attribute: Any, value: Sequence[float]) -> None:
    for each in value:
        checks.proper_fraction(instance, attribute, each)
    if not value or any(low >= high for low, high in pairwise(value)):
        raise SettingError(
            f"{type(instance).__name__} got {attribute.name}={tuple(value)}; expected at least one "
            "level, each noisier than the one before."
        )


@attrs.frozen(kw_only=True)
class NoiseLevels(NoiseSchedule):
    """Levels one by one.

    Args:
        noise: of each, above 0 and below 1, ascending.

    Raises:
        SettingError: there is none, or they are not so.
    """

    noise: tuple[float, ...] = attrs.field(converter=several, validator=_ascending)
