"""Particles: several candidates of each problem, those of low energy the more often kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor

from irem_core import checks
from irem_core.energies.landscape import Evaluation, Landscape
from irem_core.problems import trees
from irem_core.problems.iterate import Iterate, project
from irem_core.problems.layout import Layout
from irem_core.problems.problem import Problem
from irem_core.problems.space import normal_like
from irem_core.solving.descending import descend
from irem_core.solving.outcome import ARRIVED
from irem_core.solving.solution import Observer, Solution

# What going on may move of an answer that had arrived, as `Settled` has it.
_RELATIVE, _ABSOLUTE = 1e-3, 1e-6


@attrs.frozen(kw_only=True)
class Resampling:
    """How particles are drawn anew between rounds of descent.

    After a round each of a problem's particles is kept about as often as exp(-E / temperature) has
    it (systematic resampling, Kitagawa, J. Comput. Graph. Stat. 1996), so that those of low energy
    are copied and those of high energy die out; then noise tells copies apart. It falls to none
    along the rounds. The lowest that was met goes on as it is.

    Args:
        rounds: how often, at least 1.
        steps: the most steps of each round, at least 1.
        temperature: the difference of energies that counts, above 0; if None, the standard
            deviation of the energies of a problem's particles, since learned energies have no unit.
        noise: standard deviation of the noise after the first round, in units of answers, at least
            0.
    """

    rounds: int = attrs.field(default=8, validator=checks.count)
    steps: int = attrs.field(default=10, validator=checks.count)
    temperature: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(checks.positive)
    )
    noise: float = attrs.field(default=0.3, validator=checks.non_negative)

    def draw(
        self, energy: Float[Tensor, "problems particles"], generator: torch.Generator
    ) -> Int[Tensor, "problems particles"]:
        """Return which particles are kept, in their order; energies that are no number never are.

        Args:
            energy: of each particle.
            generator: the only source of randomness.
        """
        finite = energy.isfinite()
        known = torch.where(finite, energy, torch.inf)
        least = torch.where(finite, energy, torch.finfo(energy.dtype).max).amin(1, keepdim=True)
        unit: Any = self.temperature
        if unit is None:
            mean = torch.where(finite, energy, least).mean(1, keepdim=True)
            square = torch.where(finite, energy - mean, 0).square().mean(1, keepdim=True)
            unit = square.sqrt().clamp(min=torch.finfo(energy.dtype).tiny)
        weight = torch.where(finite.any(1, keepdim=True), (-(known - least) / unit).exp(), 1.0)
        share = weight.double().cumsum(1)
        count = energy.shape[1]
        offset = torch.rand(
            len(energy), 1, generator=generator, dtype=share.dtype, device=share.device
        )
        places = (torch.arange(count, device=share.device) + offset) / count * share[:, -1:]
        return torch.searchsorted(share, places, right=True).clamp(max=count - 1)


def swarm(
    energy: Landscape,
    problem: Problem,
    context: Any,
    start: Iterate,
    *,
    particles: int,
    resampling: Resampling,
    generator: torch.Generator,
    max_steps: int,
    watch: Sequence[Observer] = (),
    **parts: Any,
) -> Solution:
    """Descend particles of each problem, the first of them from its start (see `minimize`).

    The rounds are over before the steps are; what is left of these is a last descent. Problems one
    of whose particles is verified take no further round.

    Args:
        energy: what to descend.
        problem: the questions.
        context: what the energy encodes of them.
        start: of the first particles; the others start at random.
        particles: how many each problem has, at least 2.
        resampling: what happens between rounds.
        generator: where starts, copies and noise come from.
        max_steps: the most steps of each particle.
        watch: observers of the first particles, before they are drawn anew.
        parts: how to descend.
    """
    left = torch.arange(problem.layout.count, device=start.y.device)
    many, contexts = _copied((problem, context), problem.layout, left, particles)
    iterate = energy.start(many, generator)
    trees.put(iterate, many.layout, left * particles, start)
    rounds = min(resampling.rounds, max(max_steps // resampling.steps - 1, 0))
    steps = [*(resampling.steps,) * rounds, max_steps - rounds * resampling.steps]
    first = [_first_of(each, particles) for each in watch]
    found = descend(energy, many, contexts, iterate, **parts, max_steps=steps[0], watch=first)
    taken = torch.zeros_like(found.steps)
    best = _lowest(found, particles, taken)
    for number in range(1, rounds + 1):
        again = torch.ones_like(left, dtype=torch.bool)
        if best.verified is not None:
            again = ~best.verified[left]
        if not bool(again.any()):
            break
        drawn = resampling.draw(_energies(found).view(-1, particles), generator)
        places = (again.nonzero() * particles + drawn[again]).flatten()
        left, taken = left[again], (taken + found.steps)[places]
        iterate, many, contexts = trees.select(
            (Iterate(found.y, found.layout, found.z), many, contexts), found.layout, places
        )
        y, noise = iterate.y, resampling.noise * (1 - number / rounds)
        moved = attrs.evolve(iterate, y=y + noise * normal_like(y, generator))
        iterate = project(many.answer, moved)
        # The lowest goes on as it is, so that it is descended for as long as the halting rule asks.
        known = trees.select(best, best.layout, left)
        elite = torch.arange(len(left), device=left.device) * particles
        trees.put(iterate, many.layout, elite, Iterate(known.y, known.layout, known.z))
        taken[elite] = known.steps
        found = descend(energy, many, contexts, iterate, **parts, max_steps=steps[number])
        trees.put(best, best.layout, left, _further(known, _lowest(found, particles, taken)))
    return best


def _further(known: Solution, later: Solution) -> Solution:
    """Return the better of two solutions, of equal ones the later.

    What had arrived still has where going on hardly moved it: a descent that begins at a minimum
    has no moves to tell so by, and stalls.
    """
    layout, chosen = known.layout, later.or_better(known)
    moved, size = layout.amax((chosen.y - known.y).abs()), layout.amax(known.y.abs())
    arrived = torch.isin(known.outcome, torch.tensor(ARRIVED, device=known.outcome.device))
    still = arrived & (moved <= _ABSOLUTE + _RELATIVE * size)
    return attrs.evolve(chosen, outcome=torch.where(still, known.outcome, chosen.outcome))


def _copied(tree: Any, layout: Layout, problems: Tensor, particles: int) -> Any:
    """Return a tree of problems with each as often as it has particles."""
    return trees.select(tree, layout, problems.repeat_interleave(particles))


def _energies(found: Solution) -> Tensor:
    return cast(Tensor, found.energy)


def _lowest(found: Solution, particles: int, taken: Int[Tensor, " particles"]) -> Solution:
    """Return of each problem the particle that is verified, else that of the lowest energy.

    Args:
        found: of all particles.
        particles: of each problem.
        taken: the steps that each had taken before.
    """
    rank = _energies(found).nan_to_num(torch.inf)
    if found.verified is not None:
        rank = torch.where(found.verified, -torch.inf, rank)
    lowest = rank.view(-1, particles).argmin(1)
    numbers = torch.arange(len(lowest), device=lowest.device) * particles
    chosen = trees.select(found, found.layout, numbers + lowest)
    before = taken[numbers + lowest]
    return attrs.evolve(
        chosen,
        steps=chosen.steps + before,
        evaluations=found.evaluations.view(-1, particles).sum(1),
        products=None if found.products is None else found.products.view(-1, particles).sum(1),
        restarts=torch.zeros_like(chosen.steps),
    )


def _first_of(observer: Observer, particles: int) -> Observer:
    """Return an observer of particles that tells one of problems of their first ones."""

    def show(step: int, numbers: Tensor, evaluation: Evaluation) -> None:
        first = (numbers % particles == 0).nonzero().squeeze(1)
        if first.numel():
            told = trees.select(evaluation, evaluation.iterate.layout, first)
            observer(step, numbers[first] // particles, told)

    return show
