"""What can be asked of an energy beside where its descent ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from irem_core import checks
from irem_core.energies.landscape import differentiate
from irem_core.errors import SettingError
from irem_core.part import several
from irem_core.problems.space import normal_like
from irem_core.solvers.objective import Lesson, Objective

# Expected errors below this count as it, in standard units.
_FLOOR = 1e-4
# Answers so near to a bound lie on it, but for rounding in single precision.
_EDGE = 1e-6
_CORRUPTIONS = ("noise", "entries", "descent")


def _levels(instance: Any, attribute: Any, value: Sequence[float]) -> None:
    if not value:
        raise SettingError(
            f"{type(instance).__name__} got no {attribute.name}; expected at least one."
        )
    for each in value:
        checks.positive(instance, attribute, each)


class _Direct(Objective):
    """An objective that asks nothing of where a descent arrives."""

    @property
    def descends(self) -> bool:
        """Nothing is descended."""
        return False


@attrs.frozen(kw_only=True)
class Denoising(_Direct):
    """The gradient at an answer with noise points along the noise, at several levels.

    With noise e of level s, a standard normal number an entry, the loss is the mean of
    `(s dE/dy(x, y* + s e) - e)^2`, s drawn from the levels for each problem. With one level its
    minimum is E = -log p + const, p the density of answers with that noise (denoising score
    matching, Vincent, Neural Computation 2011): so descent of noisy candidates leads to where right
    answers lie, each of several rather than their mean.

    Args:
        levels: of the noise, in the units of answers, above 0.
    """

    levels: tuple[float, ...] = attrs.field(
        default=(0.1, 0.3, 1.0), converter=several, validator=_levels
    )

    def loss(self, lesson: Lesson, generator: torch.Generator) -> Float[Tensor, ""]:
        """Return the mean squared error of the gradients (see `Objective.loss`)."""
        target, layout = lesson.target, lesson.problem.layout
        known = torch.tensor(self.levels, device=target.device, dtype=target.dtype)
        drawn = torch.randint(
            len(known), (layout.count,), generator=generator, device=target.device
        )
        level = layout.spread(known[drawn], target)
        noise = normal_like(target, generator)
        at = attrs.evolve(lesson.start, y=target + level * noise)
        found = differentiate(lesson.energy, lesson.context, at, create_graph=True)
        return layout.mean((level * found.slope.y - noise).square()).mean()


@attrs.frozen(kw_only=True)
class Contrastive(Objective):
    """The energy of an answer is below that of corrupted ones.

    The loss is the cross-entropy of the right one of each two, log(1 + exp((E(y*) - E(y)) / t)),
    averaged over the corruptions.

    Of answers with noise, and of corrupted ones with as much, the minimum is E = log q - log p, the
    densities q of the corrupted and p of the right ones (noise-contrastive estimation, Gutmann and
    Hyvarinen, 2010). Where nearly all entries are those of others, q is the product of the entries'
    own densities, so that the energy says how entries hang together and nothing of each alone:
    energies of parts that share entries then add up without counting those several times.

    Args:
        against: what answers are compared with: "noise" added to them, "entries" of which some are
            those of other answers of the batch, and where the "descent" of training arrived, as far
            as that is wrong.
        noise: its level, in the units of answers.
        share: of the entries, of each answer, that are others'; a row at a time.
        tolerance: the root of the mean squared error from which on the end of a descent is wrong.
        temperature: t, the difference of energies that counts.
        blur: the highest level of noise that is added to both of each two, at least 0, drawn from 0
            on for each problem: what the energy is like between answers is learned by it.
    """

    against: tuple[str, ...] = attrs.field(
        default=("noise", "entries", "descent"), converter=several
    )
    noise: float = attrs.field(default=0.3, validator=checks.positive)
    share: float = attrs.field(default=0.2, validator=checks.proper_fraction)
    tolerance: float = attrs.field(default=0.1, validator=checks.positive)
    temperature: float = attrs.field(default=1.0, validator=checks.positive)
    blur: float = attrs.field(default=0.0, validator=checks.non_negative)

    def __attrs_post_init__(self) -> None:
        """Check the corruptions."""
        for each in self.against or ("",):
            checks.check(checks.one_of(*_CORRUPTIONS), "Contrastive", against=each)

    @property
    def descends(self) -> bool:
        """Whether it compares with where a descent arrived."""
        return "descent" in self.against

    def loss(self, lesson: Lesson, generator: torch.Generator) -> Float[Tensor, ""]:
        """Return the cross-entropy (see `Objective.loss`)."""
        right = lesson.energies(self._blurred(lesson.target, lesson, generator), lesson.start)
        losses = []
        for corruption in self.against:
            wrong, counts = self._corrupted(corruption, lesson, generator)
            wrong = self._blurred(wrong, lesson, generator)
            excess = (right - lesson.energies(wrong, lesson.start)) / self.temperature
            losses.append((functional.softplus(excess) * counts).mean())
        return torch.stack(losses).mean()

    def _blurred(self, y: Tensor, lesson: Lesson, generator: torch.Generator) -> Tensor:
        if not self.blur:
            return y
        problem = lesson.problem
        level = torch.rand(problem.layout.count, generator=generator, device=y.device)
        noise = self.blur * problem.layout.spread(level.to(y.dtype), y) * normal_like(y, generator)
        return y + noise if problem.answer is None else problem.answer.project(y + noise)

    def _corrupted(
        self, corruption: str, lesson: Lesson, generator: torch.Generator
    ) -> tuple[Tensor, Float[Tensor, " problems"]]:
        """Return corrupted answers, and which problems' count."""
        target = lesson.target
        all_count = torch.ones(lesson.problem.layout.count, device=target.device)
        if corruption == "noise":
            return target + self.noise * normal_like(target, generator), all_count
        if corruption == "entries":
            others = torch.randperm(len(target), generator=generator, device=target.device)
            chosen = torch.rand(target.shape, generator=generator, device=target.device)
            return torch.where(chosen < self.share, target[others], target), all_count
        arrived = lesson.arrived()
        return arrived.y, (lesson.errors(arrived) > self.tolerance**2).to(target.dtype)


@attrs.frozen(kw_only=True)
class Calibrated(Objective):
    """2 E / n is the squared error to be expected of an entry, where a descent arrives.

    With p = 2 E / n and e the mean squared error, the loss is the mean of e / p + log p, which is
    least where p is the mean of e over all that look alike. Energies below 0 count as 0.
    """

    @property
    def calibrates(self) -> bool:
        """It does."""
        return True

    def loss(self, lesson: Lesson, generator: torch.Generator) -> Float[Tensor, ""]:
        """Return the loss on the energies alone, not on where they lead (see `Objective.loss`)."""
        arrived, layout = lesson.arrived(), lesson.problem.layout
        energy = lesson.energies(arrived.y, arrived)
        expected = (2 * energy / layout.entries(lesson.target)).clamp(min=0) + _FLOOR
        return ((lesson.errors(arrived) + _FLOOR) / expected + expected.log()).mean()


@attrs.frozen(kw_only=True)
class Regression(_Direct):
    """What an energy proposes by itself is the answer: a network's loss, without a descent.

    Of answers on a bound of their space it is only known that they would be there or beyond, so
    that proposals beyond are not wrong (see `EnsembleEnergy`).
    """

    def loss(self, lesson: Lesson, generator: torch.Generator) -> Float[Tensor, ""]:
        """Return the mean squared error of the proposals (see `Objective.loss`)."""
        proposals = lesson.energy.proposals(lesson.problem)
        if proposals is None:
            raise _lacks("regression", lesson, "proposes answers before a descent, as ensemble")
        target, answer = lesson.target, lesson.problem.answer
        errors = proposals - target.flatten(1)
        low, high = (None, None) if answer is None else answer.limits(target)
        if low is not None:
            errors = torch.where((target <= low + _EDGE).flatten(1), errors.clamp(min=0), errors)
        if high is not None:
            errors = torch.where((target >= high - _EDGE).flatten(1), errors.clamp(max=0), errors)
        return errors.square().mean()


@attrs.frozen(kw_only=True)
class Grounded(_Direct):
    """Right answers have the energy 0, so that energies of different problems can be compared.

    Only the level of the energies learns, which moves no minimum: the loss is the mean of
    `(E(x, y*) / n)^2` for n entries.
    """

    def loss(self, lesson: Lesson, generator: torch.Generator) -> Float[Tensor, ""]:
        """Return the loss, whose gradient reaches the level alone (see `Objective.loss`)."""
        level = lesson.energy.level_of(lesson.problem)
        if level is None:
            raise _lacks("grounded", lesson, "has a level of its own, as factor")
        with torch.no_grad():
            height = lesson.energies(lesson.target, lesson.start) + level
        return ((height - level) / lesson.problem.layout.entries(lesson.target)).square().mean()


def _lacks(objective: str, lesson: Lesson, what: str) -> SettingError:
    return SettingError(
        f"The objective {objective!r} got {type(lesson.energy).__name__}; expected an energy that "
        f"{what} does. Train it by another objective, such as descent."
    )
