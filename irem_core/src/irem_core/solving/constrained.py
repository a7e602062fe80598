"""Minimisation under general constraints, each problem with prices and a penalty of its own."""

from __future__ import annotations

from typing import Any, cast

import attrs
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from irem_core import checks
from irem_core.descent.base import Descent
from irem_core.energies.landscape import Landscape, differentiate
from irem_core.errors import SettingError
from irem_core.problems import trees
from irem_core.problems.iterate import Iterate
from irem_core.problems.problem import Problem
from irem_core.solving.descending import (
    check_parts,
    context_of,
    copied,
    descend,
    ordinary,
    solving,
)
from irem_core.solving.differentiation import (
    Differentiation,
    Unrolled,
    check_differentiable,
    differentiated,
)
from irem_core.solving.halting import HaltingCriterion
from irem_core.solving.in_units import InStandardUnits
from irem_core.solving.lagrangian import (
    AugmentedLagrangian,
    Constraint,
    Constraints,
    Lagrangian,
    Priced,
    Tied,
    cure,
    first_prices,
    kept,
)
from irem_core.solving.minimization import (
    attached_problem,
    by_itself,
    first_iterate,
    prepared,
)
from irem_core.solving.outcome import Outcome
from irem_core.solving.settled import Settled
from irem_core.solving.solution import Solution, total

# A round that leaves more than this share of what was broken raises the penalty for the next.
_ENOUGH = 0.25
_GROWTH = 10.0
# Where so many times in a row a raised penalty leaves nearly all of it, no answer is near that
# meets the constraints.
_HARDLY = 0.9
_VAIN = 3


@attrs.frozen(eq=False, kw_only=True)
class ConstrainedSolution(Solution):
    """The answers to a batch of B problems under constraints.

    Args:
        violation: `(B,)` by how much the constraint that is broken most is, in its own units.
        multipliers: `(B, k)` what the energy would fall by, per unit, if a constraint were looser:
            those of `equal` first, then those of `at_most`, which are 0 where they do not hold the
            answer and never negative.
        penalty: `(B,)` by how much a multiplier changed in the last round per unit of violation.
        rounds: `(B,)` how often the energy was descended, each time at other multipliers.
    """

    violation: Float[Tensor, " problems"]
    multipliers: Float[Tensor, "problems constraints"]
    penalty: Float[Tensor, " problems"]
    rounds: Int[Tensor, " problems"]


@attrs.frozen(eq=False)
class _Held:
    """The problems that have not ended, between two rounds.

    Args:
        problems: their numbers.
        problem: their questions.
        priced: the context of the next round.
        iterate: where it starts.
        found: what is known of them.
        gap: how far the last round left constraints from holding, or prices from 0.
        vain: rounds in a row that hardly made the violation smaller.
    """

    problems: Tensor
    problem: Problem
    priced: Priced
    iterate: Iterate
    found: ConstrainedSolution
    gap: Tensor
    vain: Tensor


class Constrained:
    """An energy to be minimised where functions of question and answer are 0, or at most 0.

    The augmented Lagrangian method: each round descends the energy plus a price for each
    constraint, from where the last one ended, and then sets the prices anew. Every problem has
    prices and a penalty of its own, whose first value does not depend on the units of energy and
    constraints, and ends by itself. Bounds, and other spaces of answers, are kept to throughout;
    constraints up to the tolerance.

    Args:
        energy: an `EnergyFn` or a `ScratchpadEnergy`.
        equal: maps x and y to `(B, k)`, or `(B,)`: what is to be 0.
        at_most: likewise what is to be at most 0.
        tolerance: by how much an answer may break a constraint, in the units of that constraint,
            above 0.
        relative: the share of the answer that may be left to go (see `Settled`), at least 0.

    Raises:
        SettingError: there is no constraint, or a setting is out of range.
    """

    def __init__(
        self,
        energy: Landscape,
        *,
        equal: Constraint | None = None,
        at_most: Constraint | None = None,
        tolerance: float = 1e-4,
        relative: float = 1e-3,
    ) -> None:
        """Check the arguments."""
        checks.check(checks.part_of(Landscape), "constrained", energy=energy)
        checks.check(checks.positive, "constrained", tolerance=tolerance)
        self.energy = energy
        self.constraints = Constraints(equal=equal, at_most=at_most)
        self.tolerance = tolerance
        self.arrival = Settled(relative=relative)

    @by_itself
    def minimize(
        self,
        x: Any,
        *,
        descent: Descent,
        halting: HaltingCriterion | None = None,
        max_steps: int = 1000,
        max_rounds: int = 30,
        start: Tensor | Iterate | None = None,
        generator: torch.Generator | None = None,
        differentiable: Differentiation | None = None,
    ) -> ConstrainedSolution:
        """Descend the energy of each problem under its constraints.

        A problem has converged where its constraints hold up to the tolerance, its last descent
        converged, and the last round moved its answer no more. It is INFEASIBLE where ever higher
        penalties break the constraints hardly less.

        Args:
            x: questions `(B, ...)`, or a `Problem`.
            descent: how to step.
            halting: when a round's descent has arrived; `Settled(relative=relative)` by default.
            max_steps: the most steps of a round, at least 0.
            max_rounds: the most rounds, at least 1.
            start: as in `minimize`; it may break the constraints.
            generator: where random starts come from; seed 0 if None.
            differentiable: as in `minimize`, by `Implicit`: the gradient of an answer is that of
                the conditions of Karush, Kuhn and Tucker, and the multipliers carry one too.

        Returns:
            The answer of each problem and its own energy, with what it leaves of the constraints
            broken and what they cost. Steps, evaluations and products are of all rounds.

        Raises:
            SettingError: a part is none, an argument is out of range, or answers cannot be
                differentiated.
            ShapeError: x, the start, the energy or a constraint has the wrong shape.
            NonFiniteError: x or the start holds NaN or infinity.
            EnergyError: the energy, or every constraint, does not depend on y.
        """
        checks.check(checks.count_or_zero, "minimize", max_steps=max_steps)
        checks.check(checks.count, "minimize", max_rounds=max_rounds)
        if differentiable is not None:
            _check_rule(differentiable, descent)
        halting = halting or self.arrival
        check_parts("minimize", self.energy, descent, halting)
        if self.energy.units is not None:
            inside = InStandardUnits.of(self.energy, x, self.energy.units)
            found = self._inside(inside).minimize(
                inside.problem,
                descent=descent,
                halting=halting,
                max_steps=max_steps,
                max_rounds=max_rounds,
                start=inside.conversion.standard(start),
                generator=generator,
                differentiable=differentiable,
            )
            return cast(ConstrainedSolution, inside.conversion.solution(found))
        with solving():
            problem, generator = prepared(self.energy, x, generator)
            begin = first_iterate(self.energy, problem, start, generator)
            found = self._rounds(problem, begin, descent, halting, max_steps, max_rounds)
        if differentiable is None or not torch.is_grad_enabled():
            return found
        return self._attached(differentiable, x, found)

    def _inside(self, inside: InStandardUnits) -> Constrained:
        """Return the same of answers in standard units."""
        given = self.constraints

        def rewritten(function: Constraint | None) -> Constraint | None:
            if function is None:
                return None
            return lambda x, y: function(x, inside.conversion.units.plain(y))

        return Constrained(
            inside.energy,
            equal=rewritten(given.equal),
            at_most=rewritten(given.at_most),
            tolerance=self.tolerance,
            relative=self.arrival.relative,
        )

    def _rounds(
        self,
        problem: Problem,
        start: Iterate,
        descent: Descent,
        halting: HaltingCriterion,
        max_steps: int,
        max_rounds: int,
    ) -> ConstrainedSolution:
        """Descend, set prices and descend again until every problem has ended."""
        context = context_of(self.energy, problem)
        held = self._begin(problem, context, start)
        found = trees.map_leaves(copied, held.found)
        for left in reversed(range(max_rounds if problem.layout.count else 0)):
            held = self._round(held, descent, halting, max_steps)
            trees.put(found, problem.layout, held.problems, held.found)
            running = (held.found.outcome == Outcome.RUNNING).nonzero().squeeze(1)
            if not running.numel():
                break
            if left:
                held = trees.select(held, held.problem.layout, running)
        spent = found.outcome == Outcome.RUNNING
        outcome = torch.where(spent, int(Outcome.BUDGET_SPENT), found.outcome)
        # The energy itself, which the rounds know with prices alone.
        at = Iterate(found.y, problem.layout, found.z)
        energy = found.energy
        if problem.layout.count:
            energy = differentiate(self.energy, context, at, gradient=False).energy
        evaluations = found.evaluations + 1
        found = attrs.evolve(found, outcome=outcome, energy=energy, evaluations=evaluations)
        return found.checked(problem)

    def _begin(self, problem: Problem, context: Any, start: Iterate) -> _Held:
        layout = problem.layout
        numbers = torch.arange(layout.count, device=start.y.device)
        if layout.count:
            priced = first_prices(self.energy, self.constraints, problem, context, start)
        else:
            priced = Priced(None, problem.x, start.y.new_zeros(0, 0), start.y.new_zeros(0))
        none, unknown = torch.zeros_like(numbers), torch.full_like(priced.penalty, torch.inf)
        found = ConstrainedSolution(
            y=start.y,
            last=start.y,
            z=start.z,
            energy=unknown,
            steps=none,
            # The slope that the first penalty is set by.
            evaluations=none + 1,
            products=none,
            outcome=none + int(Outcome.RUNNING),
            layout=layout,
            violation=unknown,
            multipliers=priced.prices,
            penalty=priced.penalty,
            rounds=none,
        )
        return _Held(numbers, problem, priced, start, found, unknown, none)

    def _round(
        self, held: _Held, descent: Descent, halting: HaltingCriterion, max_steps: int
    ) -> _Held:
        """Descend from where the last round ended, and set the prices anew."""
        problem, priced, layout = held.problem, held.priced, held.problem.layout
        lagrangian = AugmentedLagrangian(self.energy, self.constraints)
        parts: dict[str, Any] = {"descent": descent, "halting": halting, "max_steps": max_steps}
        inner = descend(lagrangian, problem, priced, held.iterate, **parts)
        # With a penalty that is too weak the energy may have no minimum.
        lost = inner.outcome == Outcome.NONFINITE
        reached = Iterate(inner.y, layout, inner.z)
        iterate = trees.where(lost, layout, held.iterate, reached)
        values, equalities = self.constraints.values(problem.x, iterate)
        penalty = priced.penalty[:, None]
        prices = kept(priced.prices + penalty * values, equalities)
        prices = torch.where(lost[:, None], priced.prices, prices)
        gap = ((prices - priced.prices) / penalty).abs().amax(1)
        gap = torch.where(lost, torch.inf, gap)
        violation = kept(values, equalities).abs().amax(1)

        converged = _arrived(inner)
        slow = gap > (_ENOUGH * held.gap).clamp(min=self.tolerance)
        grown = torch.where(lost | (converged & slow), _GROWTH, 1.0) * priced.penalty
        hardly = converged & slow & (violation > _HARDLY * held.found.violation)
        # What a step too short to count would mend is not out of reach.
        step, _, _ = cure(self.constraints, problem.x, iterate)
        far = ~(step.amax() <= self._allowed(iterate))
        vain = torch.where(hardly & far & (violation > self.tolerance), held.vain + 1, 0)
        found = attrs.evolve(
            held.found,
            y=iterate.y,
            last=inner.last,
            z=iterate.z,
            steps=held.found.steps + inner.steps,
            evaluations=held.found.evaluations + inner.evaluations,
            products=total([held.found.products, inner.products]),
            outcome=self._outcome(inner, held.iterate, iterate, gap, vain),
            violation=violation,
            multipliers=prices,
            penalty=priced.penalty,
            rounds=held.found.rounds + 1,
        )
        priced = attrs.evolve(priced, prices=prices, penalty=grown)
        return _Held(held.problems, problem, priced, iterate, found, gap, vain)

    def _outcome(
        self, inner: Solution, before: Iterate, after: Iterate, gap: Tensor, vain: Tensor
    ) -> Int[Tensor, " problems"]:
        """Say which problems have ended with a round, and how."""
        # Where no price changed, another round would be the same again.
        settled = ((after - before).amax() <= self._allowed(after)) | (gap == 0)
        arrived = _arrived(inner) | (inner.outcome == Outcome.STALLED)
        ended = arrived & settled & (gap <= self.tolerance)
        outcome = torch.where(ended, inner.outcome, int(Outcome.RUNNING))
        outcome = torch.where(vain >= _VAIN, int(Outcome.INFEASIBLE), outcome)
        hopeless = (inner.outcome == Outcome.NONFINITE) & (inner.steps == 0)
        return torch.where(hopeless, int(Outcome.NONFINITE), outcome)

    def _allowed(self, iterate: Iterate) -> Float[Tensor, " problems"]:
        return self.arrival.absolute + self.arrival.relative * iterate.amax()

    def _attached(
        self, rule: Differentiation, x: Any, found: ConstrainedSolution
    ) -> ConstrainedSolution:
        """Attach answers and multipliers, which together satisfy the conditions of a minimum."""
        given = attached_problem(self.energy, x)
        context, columns = context_of(self.energy, given), found.multipliers.shape[1]
        with solving():
            _, equalities = self.constraints.values(
                ordinary(given).x, Iterate(found.y, found.layout, found.z)
            )
            active = found.multipliers > 0
            active[:, :equalities] = True
            scratch = [each for each in (found.z, found.multipliers) if each is not None]
            together = attrs.evolve(found, z=torch.cat(scratch, 1))
            lagrangian = Lagrangian(self.energy, self.constraints, columns)
            tied = Tied(context, given.x, active)
            done = differentiated(rule, lagrangian, tied, given.answer, together)
        assert isinstance(done, ConstrainedSolution) and done.z is not None
        z, multipliers = done.z.split([self.energy.scratchpad, columns], 1)
        return attrs.evolve(done, z=None if found.z is None else z, multipliers=multipliers)


def _arrived(inner: Solution) -> Bool[Tensor, " problems"]:
    return (inner.outcome == Outcome.CONVERGED) | (inner.outcome == Outcome.VERIFIED)


def _check_rule(rule: Any, descent: Descent) -> None:
    check_differentiable(rule, descent)
    if isinstance(rule, Unrolled):
        raise SettingError(
            "Unrolled differentiates steps down the energy, which lead out of the constraints; "
            "differentiate answers under constraints by Implicit()."
        )


constrained = Constrained
