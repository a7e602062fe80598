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
from irem_core.energies.base import EnergyFn
from irem_core.energies.landscape import Evaluation
from irem_core.problems.iterate import Iterate
from irem_core.solving.halting import FixedSteps, HaltingCriterion
from irem_core.solving.minimization import minimize
from irem_core.solving.outcome import Outcome
from irem_core.testing.zoo.known import KnownProblem


@attrs.frozen(eq=False, kw_only=True)
class Watched:
    """What a rule said of a batch of descents, and what came of it.

    Args:
        outcome: `(B,)` how each problem would have halted.
        steps: `(B,)` after how many steps.
        evaluations: `(B,)` and after how many evaluations of the energy.
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


class _Counter:
    """Counts the calls of an energy's `energy`, of a copy that is otherwise the same."""

    def __init__(self, energy: EnergyFn) -> None:
        self.calls = 0
        self.energy = copy(energy)

        def counted(context: Any, y: Tensor) -> Tensor:
            self.calls += 1
            return energy.energy(context, y)

        setattr(self.energy, "energy", counted)  # noqa: B010 (of this copy alone)


class _Verdicts:
    """Asks one rule after each step, and notes what it says first of each problem."""

    def __init__(self, rule: HaltingCriterion, known: KnownProblem, first: Evaluation) -> None:
        count = first.energy.shape[0]
        self.rule, self.space = rule, known.space
        self.state = rule.init(first)
        self.outcome = torch.zeros(count, dtype=torch.int64)
        self.steps = torch.zeros_like(self.outcome)
        self.evaluations = torch.zeros_like(self.outcome)

    def ask(self, before: Evaluation, after: Evaluation, step: int, calls: int) -> None:
        said, self.state = self.rule.judge(before, after, self.state, self.space)
        new = (self.outcome == Outcome.RUNNING) & (said != Outcome.RUNNING)
        self.outcome = torch.where(new, said, self.outcome)
        running = self.outcome == Outcome.RUNNING
        self.steps = torch.where(new | running, step, self.steps)
        self.evaluations = torch.where(new | running, calls, self.evaluations)


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
        onward: how many steps are taken after each answer to see how far it moves.
        spread: of the starts, see `KnownProblem.batch`.
        seed: of the starts.
        dtype: of starts and answers.

    Returns:
        What each rule said, BUDGET_SPENT where it said nothing.
    """
    problem, start = known.batch(count, spread=spread, seed=seed, dtype=dtype)
    counter = _Counter(known.energy)
    watching = _Watching(rules, known, counter, steps)
    fixed = FixedSteps(steps=steps + onward)
    minimize(
        counter.energy,
        problem,
        start=start,
        descent=descent,
        halting=fixed,
        max_steps=fixed.steps,
        observer=watching,
    )
    answers = torch.stack(watching.answers)
    return [_judged(each, answers, onward) for each in watching.verdicts]


class _Watching:
    """An observer that asks rules of every step, and keeps the answer after each."""

    def __init__(
        self, rules: Sequence[HaltingCriterion], known: KnownProblem, counter: _Counter, steps: int
    ) -> None:
        self._rules, self._known = rules, known
        self._counter, self._steps = counter, steps
        self._current: Evaluation | None = None
        self._lowest: Tensor | None = None
        self.verdicts: list[_Verdicts] = []
        self.answers: list[Tensor] = []

    def __call__(self, step: int, problems: Tensor, evaluation: Evaluation) -> None:
        before = self._current
        if before is None or self._lowest is None:
            self._current, self._lowest = evaluation, evaluation.energy
            self.answers.append(evaluation.iterate.y)
            self.verdicts = [_Verdicts(each, self._known, evaluation) for each in self._rules]
            return
        after = self._current = _filled(before, problems, evaluation)
        if step <= self._steps:
            for each in self.verdicts:
                each.ask(before, after, step, self._counter.calls)
        lower = after.energy <= self._lowest
        self._lowest = torch.minimum(self._lowest, after.energy)
        self.answers.append(torch.where(lower[:, None], after.iterate.y, self.answers[-1]))


def _filled(known: Evaluation, problems: Tensor, newer: Evaluation) -> Evaluation:
    """Put what is known of some problems into what was known of all."""

    def put(old: Tensor, new: Tensor) -> Tensor:
        return old.index_copy(0, problems, new)

    iterate = Iterate(put(known.iterate.y, newer.iterate.y), known.iterate.layout)
    slope = None
    if known.gradient is not None and newer.gradient is not None:
        slope = Iterate(put(known.gradient.y, newer.gradient.y), known.iterate.layout)
    return Evaluation(iterate, put(known.energy, newer.energy), slope)


def _judged(
    verdicts: _Verdicts, answers: Float[Tensor, "steps problems entries"], onward: int
) -> Watched:
    problems = torch.arange(answers.shape[1])
    answer = answers[verdicts.steps.clamp(max=len(answers) - 1), problems]
    numbers = torch.arange(len(answers))[:, None]
    soon = (numbers >= verdicts.steps) & (numbers <= verdicts.steps + onward)
    moved = (answers - answer).abs().amax(2).where(soon, 0).amax(0)
    spent = verdicts.outcome == Outcome.RUNNING
    return Watched(
        outcome=torch.where(spent, int(Outcome.BUDGET_SPENT), verdicts.outcome),
        steps=verdicts.steps,
        evaluations=verdicts.evaluations,
        answer=answer,
        moved=moved,
    )


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
