"""Halting criteria: when a problem's descent has arrived."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

import attrs
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from irem_core import checks
from irem_core.descent.base import Probe
from irem_core.energies.landscape import Evaluation
from irem_core.errors import SettingError
from irem_core.problems.iterate import project
from irem_core.problems.problem import Problem
from irem_core.solving.outcome import Outcome


@attrs.frozen
class HaltingCriterion(ABC):
    """A rule that says for each problem whether it goes on.

    Like a descent it is frozen, remembers through its state alone, and decides for each problem
    apart.
    """

    @property
    def promises_arrival(self) -> bool:
        """Whether CONVERGED says that going on would hardly move the answer.

        Rules that ask less set this to False, and say what their CONVERGED means.
        """
        return True

    @abstractmethod
    def init(self, evaluation: Evaluation) -> Any:
        """Return the state before the first step, a tree that leads with problems."""

    def begin(self, evaluation: Evaluation, problem: Problem) -> Any:
        """Return the state before the first step, knowing the problems: what the loop calls.

        By default it is what `init` returns, of rules that need not know them.
        """
        return self.init(evaluation)

    @abstractmethod
    def update(
        self, before: Evaluation, after: Evaluation, state: Any
    ) -> tuple[Int[Tensor, " problems"], Any]:
        """Judge one step.

        Args:
            before: the evaluation that the step started from.
            after: the one that it led to.
            state: what `init` or the previous update returned.

        Returns:
            `(B,)` outcomes, `Outcome.RUNNING` where a problem goes on, and the next state.
        """

    def judge(
        self, before: Evaluation, after: Evaluation, state: Any, probe: Probe | None
    ) -> tuple[Int[Tensor, " problems"], Any]:
        """Judge one step, and ask the energy about it: what the loop calls.

        By default it is what `update` says, of rules that need not ask.

        Args:
            before: as in `update`.
            after: as in `update`.
            state: as in `update`.
            probe: knows the bounds of the answers, and evaluates the energy where it has a
                landscape; None where nothing is known.
        """
        return self.update(before, after, state)


def _outcomes(halted: Tensor, outcome: Outcome) -> Int[Tensor, " problems"]:
    return halted.to(torch.int64) * int(outcome)


@attrs.frozen(kw_only=True)
class FixedSteps(HaltingCriterion):
    """Stop every problem after a number of steps, with `Outcome.BUDGET_SPENT`.

    Args:
        steps: at least 1.
    """

    steps: int = attrs.field(default=80, validator=checks.count)

    def init(self, evaluation: Evaluation) -> Tensor:
        """Start with no step taken."""
        return torch.zeros_like(evaluation.energy, dtype=torch.int64)

    def update(
        self, before: Evaluation, after: Evaluation, state: Tensor
    ) -> tuple[Int[Tensor, " problems"], Tensor]:
        """Count the step."""
        taken = state + 1
        return _outcomes(taken >= self.steps, Outcome.BUDGET_SPENT), taken


@attrs.frozen(eq=False)
class Plateau:
    """State of `EnergyPlateau`: the largest change seen, and small changes in a row."""

    largest: Tensor
    quiet: Tensor


@attrs.frozen(kw_only=True)
class EnergyPlateau(HaltingCriterion):
    """Stop where the energy no longer changes: the paper's rule (Section 3.1, Algorithm 2).

    A problem has converged when its energy changed by no more than `tolerance` times the largest
    change seen so far for that problem, `patience` steps in a row.

    Args:
        tolerance: at least 0; 0 waits until the energy is the same to the bit.
        patience: steps in a row, at least 1.
    """

    promises_arrival: ClassVar[bool] = False

    tolerance: float = attrs.field(default=1e-4, validator=checks.non_negative)
    patience: int = attrs.field(default=3, validator=checks.count)

    def init(self, evaluation: Evaluation) -> Plateau:
        """Start with no change seen."""
        zeros = torch.zeros_like(evaluation.energy)
        return Plateau(zeros, zeros.to(torch.int64))

    def update(
        self, before: Evaluation, after: Evaluation, state: Plateau
    ) -> tuple[Int[Tensor, " problems"], Plateau]:
        """Compare the step's change of energy with the largest one."""
        change = (after.energy - before.energy).abs()
        largest = torch.maximum(state.largest, change)
        quiet = torch.where(change <= self.tolerance * largest, state.quiet + 1, 0)
        return _outcomes(quiet >= self.patience, Outcome.CONVERGED), Plateau(largest, quiet)


@attrs.frozen(eq=False)
class Lowest:
    """State of `Stagnation`: energies at the start and at the last new low, and steps since."""

    start: Float[Tensor, " problems"]
    lowest: Float[Tensor, " problems"]
    barren: Int[Tensor, " problems"]


@attrs.frozen(kw_only=True)
class Stagnation(HaltingCriterion):
    """Stop where the energy has found no new low for a while, with `Outcome.STALLED`.

    A descent that goes round and round above a minimum never settles, and another start serves its
    problem better than more steps. This is patience as in early stopping (Prechelt, 1998). Combine
    it with a rule for problems that arrive: `any_of(energy_plateau(), stagnation())`.

    Args:
        tolerance: which part of the fall from the start to the lowest energy so far a new low must
            add to it, at least 0.
        patience: steps in a row without one, at least 1.
    """

    promises_arrival: ClassVar[bool] = False

    tolerance: float = attrs.field(default=1e-4, validator=checks.non_negative)
    patience: int = attrs.field(default=20, validator=checks.count)

    def init(self, evaluation: Evaluation) -> Lowest:
        """Start at the lowest energy seen."""
        energy = evaluation.energy
        return Lowest(energy, energy, torch.zeros_like(energy, dtype=torch.int64))

    def update(
        self, before: Evaluation, after: Evaluation, state: Lowest
    ) -> tuple[Int[Tensor, " problems"], Lowest]:
        """Compare the energy with the lowest before it."""
        fall = state.lowest - after.energy
        fell = fall > self.tolerance * (state.start - state.lowest)
        barren = torch.where(fell, 0, state.barren + 1)
        lowest = torch.where(fell, after.energy, state.lowest)
        halted = _outcomes(barren >= self.patience, Outcome.STALLED)
        return halted, Lowest(state.start, lowest, barren)


@attrs.frozen(kw_only=True)
class GradientNorm(HaltingCriterion):
    """Stop where the Euclidean norm of the gradient, in y and z together, is small.

    Where answers are bounded it is the norm of how far a step to y - g, moved within the bounds,
    leads.

    Args:
        tolerance: largest norm that counts as converged, in units of energy per unit of answer.
    """

    promises_arrival: ClassVar[bool] = False

    tolerance: float = attrs.field(default=1e-5, validator=checks.non_negative)

    def init(self, evaluation: Evaluation) -> None:
        """Nothing to remember."""

    def update(
        self, before: Evaluation, after: Evaluation, state: None
    ) -> tuple[Int[Tensor, " problems"], None]:
        """Look at the gradient after the step, of answers without bounds."""
        return self.judge(before, after, state, None)

    def judge(
        self, before: Evaluation, after: Evaluation, state: None, probe: Probe | None
    ) -> tuple[Int[Tensor, " problems"], None]:
        """Look at the gradient after the step."""
        aim = after.iterate - after.slope
        # Where the bounds change nothing, the difference would be rounded to the digits of y.
        slope = project(None if probe is None else probe.space, aim).map(
            lambda to, wanted, at, slope: torch.where(to == wanted, slope, at - to),
            aim,
            after.iterate,
            after.slope,
        )
        return _outcomes(slope.norm() <= self.tolerance, Outcome.CONVERGED), None


@attrs.frozen
class Verified(HaltingCriterion):
    """Stop where the answer holds, with `Outcome.VERIFIED`: for problems that can be checked.

    It stops nothing else, so combine it: `any_of(verified(), energy_plateau())`.

    Args:
        required: whether problems whose answers cannot be checked are refused; if not, they are
            never stopped.

    Raises:
        SettingError: on solving, of problems whose answers cannot be checked, where that is
            required.
    """

    promises_arrival: ClassVar[bool] = False

    required: bool = attrs.field(default=True, validator=checks.true_or_false)

    def init(self, evaluation: Evaluation) -> None:
        """Know nothing of the problems, and so stop none."""

    def begin(self, evaluation: Evaluation, problem: Problem) -> Problem | None:
        """Remember the problems."""
        if problem.verify is None and not self.required:
            return None
        if problem.verify is None:
            raise SettingError(
                "The halting rule verified was asked about problems whose answers cannot be "
                "checked; take another rule, or give the task a method verify."
            )
        return problem

    def update(
        self, before: Evaluation, after: Evaluation, state: Problem | None
    ) -> tuple[Int[Tensor, " problems"], Problem | None]:
        """Check the answers after the step."""
        holds = None if state is None else state.verified(after.iterate.y)
        if holds is None:
            holds = torch.zeros_like(after.energy, dtype=torch.bool)
        return _outcomes(holds, Outcome.VERIFIED), state


@attrs.frozen(init=False)
class _Combination(HaltingCriterion):
    criteria: tuple[HaltingCriterion, ...]

    def __init__(self, *rules: HaltingCriterion, criteria: Iterable[HaltingCriterion] = ()) -> None:
        combined = (*rules, *criteria)
        if not combined or not all(isinstance(rule, HaltingCriterion) for rule in combined):
            raise SettingError(
                f"{type(self).__name__} got {combined!r}; expected at least one halting rule."
            )
        self.__attrs_init__(combined)

    @property
    def promises_arrival(self) -> bool:
        """Whether all of the rules promise it."""
        return all(rule.promises_arrival for rule in self.criteria)

    def init(self, evaluation: Evaluation) -> tuple[Any, ...]:
        """Start every rule."""
        return tuple(rule.init(evaluation) for rule in self.criteria)

    def begin(self, evaluation: Evaluation, problem: Problem) -> tuple[Any, ...]:
        """Start every rule, knowing the problems."""
        return tuple(rule.begin(evaluation, problem) for rule in self.criteria)

    def update(
        self, before: Evaluation, after: Evaluation, state: tuple[Any, ...]
    ) -> tuple[Int[Tensor, " problems"], tuple[Any, ...]]:
        """Ask every rule of answers without bounds."""
        return self.judge(before, after, state, None)

    def judge(
        self, before: Evaluation, after: Evaluation, state: tuple[Any, ...], probe: Probe | None
    ) -> tuple[Int[Tensor, " problems"], tuple[Any, ...]]:
        """Ask every rule."""
        found = [
            rule.judge(before, after, part, probe)
            for rule, part in zip(self.criteria, state, strict=True)
        ]
        verdicts = torch.stack([verdict for verdict, _ in found])
        halted = self._halts(verdicts != Outcome.RUNNING)
        return torch.where(halted, _first_of(verdicts), int(Outcome.RUNNING)), tuple(
            part for _, part in found
        )

    @staticmethod
    @abstractmethod
    def _halts(stopped: Bool[Tensor, "rules problems"]) -> Bool[Tensor, " problems"]:
        """Say which problems halt, given which of them each rule would stop."""


def _first_of(verdicts: Int[Tensor, "rules problems"]) -> Int[Tensor, " problems"]:
    """Return VERIFIED where any rule says so, else CONVERGED, else STALLED, else BUDGET_SPENT."""
    outcome = torch.full_like(verdicts[0], int(Outcome.BUDGET_SPENT))
    for said in (Outcome.STALLED, Outcome.CONVERGED, Outcome.VERIFIED):
        outcome = torch.where((verdicts == said).any(0), int(said), outcome)
    return outcome


class AnyOf(_Combination):
    """Stop a problem as soon as one rule would; CONVERGED if any of those that do says so.

    Args:
        rules: the halting rules, at least one.
    """

    @staticmethod
    def _halts(stopped: Bool[Tensor, "rules problems"]) -> Bool[Tensor, " problems"]:
        return stopped.any(0)


class AllOf(_Combination):
    """Stop a problem when all rules would at one step; CONVERGED if any of them says so.

    Args:
        rules: the halting rules, at least one.
    """

    @staticmethod
    def _halts(stopped: Bool[Tensor, "rules problems"]) -> Bool[Tensor, " problems"]:
        return stopped.all(0)


any_of = AnyOf
all_of = AllOf
