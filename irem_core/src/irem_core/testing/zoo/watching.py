"""Whether what halting rules say is true: descend on, and see how far the answer moves."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor

from irem_core.descent import Descent
from irem_core.descent.base import Probe
from irem_core.energies.base import EnergyFn
from irem_core.energies.landscape import Evaluation
from irem_core.problems.problem import Problem
from irem_core.solving.halting import HaltingCriterion
from irem_core.solving.minimization import minimize
from irem_core.solving.outcome import Outcome
from irem_core.testing.zoo.known import KnownProblem


@attrs.frozen(eq=False, kw_only=True)
class Watched:
    """What a rule said of a batch of descents, and what came of it.

    Args:
        outcome: `(B,)` how each problem would have halted.
        steps: `(B,)` after how many steps.
        evaluations: `(B,)` and after how many evaluations of the energy, the rule's own included.
        answer: `(B, n)` the answers, the lowest-energy iterates.
        moved: `(B,)` how far an entry of the answer moved at most, in the steps after.
    """

    outcome: Int[Tensor, " problems"]
    steps: Int[Tensor, " problems"]
    evaluations: Int[Tensor, " problems"]
    answer: Float[Tensor, "problems entries"]
    moved: Float[Tensor, " problems"]

    def false(
        self, *, relative: float = 1e-3, absolute: float = 1e-6, times: float = 10.0
    ) -> Tensor:
        """Say which are called CONVERGED though their answer then moved by more than was allowed.

        Args:
            relative: the share of an answer's largest entry that it may move.
            absolute: what it may move in any case.
            times: by how many times as much an answer that has converged may move.
        """
        allowed = absolute + relative * self.answer.abs().amax(1)
        return (self.outcome == Outcome.CONVERGED) & (self.moved > times * allowed)


@attrs.frozen(kw_only=True)
class _Asking(HaltingCriterion):
    """Asks rules of each step, notes what each says first, and goes on until that is judged.

    Args:
        rules: the halting rules.
        steps: for how many steps they are asked.
        onward: how many steps are taken after a CONVERGED.
        count: how many problems there are.
    """

    rules: tuple[HaltingCriterion, ...]
    steps: int
    onward: int
    count: int
    outcome: Tensor = attrs.field(init=False, eq=False)
    halted: Tensor = attrs.field(init=False, eq=False)
    evaluations: Tensor = attrs.field(init=False, eq=False)
    own: Tensor = attrs.field(init=False, eq=False)
    spent: Tensor = attrs.field(init=False, eq=False)

    @outcome.default
    @own.default
    @halted.default
    @evaluations.default
    def _of_rules(self) -> Tensor:
        return torch.zeros(len(self.rules), self.count, dtype=torch.int64)

    @spent.default
    def _of_problems(self) -> Tensor:
        return torch.zeros(self.count, dtype=torch.int64)

    def counted(self, energy: EnergyFn) -> EnergyFn:
        """Return a copy of an energy that counts the evaluations of each problem, named by x."""
        copied = copy(energy)

        def counting(context: Any, y: Tensor) -> Tensor:
            self.spent[context] += 1
            return energy.energy(context, y)

        setattr(copied, "energy", counting)  # noqa: B010 (of this copy alone)
        return copied

    def init(self, evaluation: Evaluation) -> Any:
        """Start all rules."""
        problems = torch.arange(self.count)
        return problems, problems * 0, tuple(rule.init(evaluation) for rule in self.rules)

    def update(
        self, before: Evaluation, after: Evaluation, state: Any
    ) -> tuple[Int[Tensor, " problems"], Any]:
        """Ask of answers without bounds."""
        return self.judge(before, after, state, None)

    def judge(
        self, before: Evaluation, after: Evaluation, state: Any, probe: Probe | None
    ) -> tuple[Int[Tensor, " problems"], Any]:
        """Ask every rule that has not spoken, for so many steps."""
        problems, taken, states = state[0], state[1] + 1, []
        for place, (rule, its) in enumerate(zip(self.rules, state[2], strict=True)):
            silent = self.outcome[place, problems] == Outcome.RUNNING
            asked = silent & (taken <= self.steps)
            spent = self.spent.clone()
            said, its = rule.judge(before, after, its, _among(probe, asked))
            # What a rule evaluates itself counts for it alone.
            self.own[place] += self.spent - spent
            self.spent.copy_(spent)
            states.append(its)
            for notes, value in (
                (self.outcome, said),
                (self.halted, taken),
                (self.evaluations, (spent + self.own[place])[problems]),
            ):
                notes[place, problems] = torch.where(asked, value, notes[place, problems])
        outcome, halted = self.outcome[:, problems], self.halted[:, problems]
        onward = torch.where(outcome == Outcome.CONVERGED, halted + self.onward, 0).amax(0)
        asked = (outcome == Outcome.RUNNING).any(0) & (taken < self.steps)
        over = ~asked & (taken >= onward)
        return over.to(torch.int64) * int(Outcome.BUDGET_SPENT), (problems, taken, tuple(states))


def _among(probe: Probe | None, asked: Tensor) -> Probe | None:
    """Return a probe of which only some problems ask."""
    if probe is None:
        return None
    return attrs.evolve(probe, running=asked if probe.running is None else asked & probe.running)


def watch(
    known: KnownProblem,
    descent: Descent,
    rules: Sequence[HaltingCriterion],
    *,
    count: int = 4,
    steps: int = 400,
    onward: int = 200,
    spread: float = 0.3,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> list[Watched]:
    """Descend a problem from several starts, ask rules on the way, and go on whatever they say.

    Args:
        known: the problem.
        descent: how to step; one that follows gradients.
        rules: the halting rules, each asked of the same steps.
        count: how many starts.
        steps: for how many steps the rules are asked.
        onward: how many steps are taken after each CONVERGED to see how far the answer moves.
        spread: of the starts, see `KnownProblem.batch`.
        seed: of the starts.
        dtype: of starts and answers.

    Returns:
        What each rule said, BUDGET_SPENT where it said nothing.
    """
    problem, start = known.batch(count, spread=spread, seed=seed, dtype=dtype)
    asking = _Asking(rules=tuple(rules), steps=steps, onward=onward, count=count)
    kept = _Answers()
    solution = minimize(
        asking.counted(known.energy),
        Problem(torch.arange(count), problem.answer),
        start=start,
        descent=descent,
        halting=asking,
        max_steps=steps + onward,
        observer=kept,
    )
    answers, each = torch.stack(kept.answers), torch.arange(count)
    numbers = torch.arange(len(answers))[:, None]
    found = []
    for outcome, halted, evaluations in zip(
        asking.outcome, asking.halted, asking.evaluations, strict=True
    ):
        answer = answers[halted, each]
        soon = (numbers >= halted) & (numbers <= halted + onward)
        silent = outcome == Outcome.RUNNING
        found.append(
            Watched(
                outcome=torch.where(silent, solution.outcome, outcome),
                steps=halted,
                evaluations=evaluations,
                answer=answer,
                moved=(answers - answer).abs().amax(2).where(soon, 0).amax(0),
            )
        )
    return found


class _Answers:
    """An observer that keeps the answers after each step, the lowest-energy iterates."""

    def __init__(self) -> None:
        self.answers: list[Tensor] = []
        self._energy = torch.empty(0)

    def __call__(self, step: int, problems: Tensor, evaluation: Evaluation) -> None:
        y, energy = evaluation.iterate.y, evaluation.energy
        if not self.answers:
            self.answers, self._energy = [y], energy
            return
        lower = energy <= self._energy[problems]
        self._energy = self._energy.index_copy(0, problems[lower], energy[lower])
        self.answers.append(self.answers[-1].index_copy(0, problems[lower], y[lower]))


def steepness(known: KnownProblem) -> float:
    """Return the largest curvature at the source's start and minimisers, for steps of fixed size.

    Where there is no curvature, as of norms, it is 10.
    """
    points = torch.tensor([known.start, *known.minimisers], dtype=torch.float64)

    def value(y: Tensor) -> Tensor:
        return known.energy.energy(None, y[None])[0]

    bends = [torch.autograd.functional.hessian(value, y) for y in points]
    found = [torch.linalg.eigvalsh(each).abs().amax() for each in bends if each.isfinite().all()]
    return max([float(each) for each in found if each > 1e-8] or [10.0])
