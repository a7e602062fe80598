"""Descents: what is held of problems on the way, one step of all of them, and whole descents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any, Self

import attrs
import torch
from torch import Tensor

from irem_core import checks
from irem_core.descent.base import Descent, Probe
from irem_core.energies.landscape import Evaluation, Landscape, differentiate, encoded
from irem_core.energies.precision import full_products
from irem_core.problems import graphs, trees
from irem_core.problems.iterate import Iterate, project
from irem_core.problems.layout import Layout
from irem_core.problems.problem import Problem
from irem_core.problems.space import Space
from irem_core.solving.halting import HaltingCriterion
from irem_core.solving.outcome import Outcome
from irem_core.solving.solution import Observer, Solution

# Rows that have halted are dropped from the batch once they are more than this share of it: early
# enough that few are evaluated in vain, late enough that copying stays a small part of the work.
_HALTED_SHARE = 0.1


@attrs.frozen(eq=False)
class Found:
    """What a solution reports of each problem."""

    best: Evaluation
    last: Iterate
    steps: Tensor
    evaluations: Tensor
    products: Tensor
    outcome: Tensor

    @classmethod
    def at(cls, start: Evaluation, outcome: Tensor) -> Self:
        """Return what is found at a start, which has been evaluated."""
        none = torch.zeros_like(outcome)
        bare = Evaluation(start.iterate, start.energy)
        return cls(bare, start.iterate, none, none + 1, none, outcome)

    def solution(self, layout: Layout) -> Solution:
        """Return what was found, of problems of this layout; the running ones had no more steps."""
        spent = self.outcome == Outcome.RUNNING
        return Solution(
            y=self.best.iterate.y,
            last=self.last.y,
            energy=self.best.energy,
            steps=self.steps,
            evaluations=self.evaluations,
            outcome=torch.where(spent, int(Outcome.BUDGET_SPENT), self.outcome),
            layout=layout,
            products=self.products,
            z=self.best.iterate.z,
        )


@attrs.frozen(eq=False)
class Descending:
    """The problems that are still held in the batch, some of them perhaps halted."""

    problems: Tensor
    context: Any
    current: Evaluation
    found: Found
    descent_state: Any
    halting_state: Any


def check_parts(title: str, energy: Any, descent: Any, halting: Any) -> None:
    """Check that parts are objects of their kind, and not its classes or their names.

    Raises:
        SettingError: one is not.
    """
    checks.check(checks.part_of(Landscape), title, energy=energy)
    checks.check(checks.part_of(Descent), title, descent=descent)
    checks.check(checks.part_of(HaltingCriterion), title, halting=halting)


def context_of(energy: Landscape, problem: Problem) -> Any:
    """Return the context of problems; None of no problems, which need not be encoded."""
    return encoded(energy, problem) if problem.layout.count else None


def descend(
    energy: Landscape,
    problem: Problem,
    context: Any,
    start: Iterate,
    *,
    descent: Descent,
    halting: HaltingCriterion,
    max_steps: int,
    watch: Sequence[Observer] = (),
) -> Solution:
    """Descend from one start of each problem."""
    held = begin(energy, problem, context, start, descent, halting)
    found = trees.map_leaves(copied, held.found)
    for step in range(max_steps + 1):
        running = held.found.outcome == Outcome.RUNNING
        # At the start every problem is shown; later those that have just taken a step.
        shown = running | (held.found.steps == step)
        for each in watch:
            _show(each, step, held, shown)
        active = int(running.sum())
        if step == max_steps or not active:
            break
        if active < (1 - _HALTED_SHARE) * held.problems.shape[0]:
            trees.put(found, problem.layout, held.problems, held.found)
            held = trees.select(held, held.current.iterate.layout, running.nonzero().squeeze(1))
        held = advance(energy, problem.answer, held, descent, halting)
    trees.put(found, problem.layout, held.problems, held.found)
    return found.solution(problem.layout).checked(problem)


def _show(observer: Observer, step: int, held: Descending, shown: Tensor) -> None:
    if bool(shown.all()):
        observer(step, held.problems, held.current)
        return
    chosen = shown.nonzero().squeeze(1)
    layout = held.current.iterate.layout
    if chosen.numel():
        observer(step, held.problems[chosen], trees.select(held.current, layout, chosen))


def restart(
    restarts: int,
    held: tuple[Problem, Any, Solution],
    draw: Callable[[Problem], Iterate],
    again: Callable[[Problem, Any, Iterate], Solution],
) -> None:
    """Descend again and again, and write better answers into the solution.

    Args:
        restarts: how often.
        held: problems, their context, and what was found from their first starts.
        draw: returns another start of problems.
        again: descends problems with their context from a start.
    """
    solution, layout = held[2], held[0].layout
    numbers = torch.arange(layout.count, device=solution.y.device)
    for _ in range(restarts):
        found = held[2]
        if found.verified is not None:
            left = (~found.verified).nonzero().squeeze(1)
            if not left.numel():
                return
            held = trees.select(held, held[0].layout, left)
            numbers = numbers[left]
        problem, context, found = held
        other = again(problem, context, draw(problem))
        found = found.or_better(attrs.evolve(other, restarts=torch.ones_like(other.steps)))
        held = (problem, context, found)
        trees.put(solution, layout, numbers, found)


def begin(
    energy: Landscape,
    problem: Problem,
    context: Any,
    start: Iterate,
    descent: Descent,
    halting: HaltingCriterion,
) -> Descending:
    """Evaluate the starts of problems, none of which has taken a step."""
    numbers = torch.arange(problem.layout.count, device=start.y.device)
    if not problem.layout.count:
        none = Evaluation(start, start.y.new_zeros(0), start * 0.0)
        return Descending(numbers, context, none, Found.at(none, numbers), None, None)
    current = differentiate(energy, context, start, gradient=descent.needs_gradient)
    current, finite, _ = _known(current, torch.ones_like(current.energy, dtype=torch.bool))
    outcome = torch.where(finite, int(Outcome.RUNNING), int(Outcome.NONFINITE))
    return Descending(
        problems=numbers,
        context=context,
        current=current,
        found=Found.at(current, outcome),
        descent_state=descent.init(current),
        halting_state=halting.begin(current, problem),
    )


def advance(
    energy: Landscape,
    space: Space | None,
    held: Descending,
    descent: Descent,
    halting: HaltingCriterion,
    *,
    asking: bool = True,
) -> Descending:
    """Take one step of every running problem; leave halted ones as they were.

    Args:
        energy: what is descended.
        space: of the answers, or None.
        held: the problems.
        descent: how to step.
        halting: when a problem has arrived.
        asking: whether the halting rule may evaluate the energy, as often as its numbers ask for.
    """
    before, found, layout = held.current, held.found, held.current.iterate.layout
    running = found.outcome == Outcome.RUNNING
    probe = Probe.of(energy, held.context, space, running)

    proposal, descent_state = descent.step(before, held.descent_state, probe)
    after = probe.settled(proposal)
    if after is None:
        after = differentiate(
            energy, held.context, project(space, proposal), gradient=descent.needs_gradient
        )
        probe.spent.evaluations = probe.spent.evaluations + 1
    after, finite, kink = _known(after, after.energy <= before.energy)
    asked = probe if asking else attrs.evolve(probe, landscape=None)
    verdict, halting_state = halting.judge(before, after, held.halting_state, asked)
    # Where a gradient has no value, nothing says whether the energy falls any further.
    unknown = kink & (verdict == Outcome.CONVERGED)
    verdict = torch.where(unknown, int(Outcome.STALLED), verdict)
    moved = running & finite
    current = trees.where(moved, layout, after, before)
    # Where energies are equal to the bit the later iterate has come further; one that is verified
    # is the answer whatever its energy.
    lower = moved & ((after.energy <= found.best.energy) | (verdict == Outcome.VERIFIED))
    reached = torch.where(finite, verdict, int(Outcome.NONFINITE))
    return Descending(
        problems=held.problems,
        context=held.context,
        current=current,
        found=Found(
            best=trees.where(lower, layout, Evaluation(after.iterate, after.energy), found.best),
            last=current.iterate,
            steps=found.steps + moved.to(torch.int64),
            evaluations=found.evaluations + running.to(torch.int64) * probe.spent.evaluations,
            products=found.products + running.to(torch.int64) * probe.spent.products,
            outcome=torch.where(running, reached, found.outcome),
        ),
        descent_state=descent_state,
        halting_state=halting_state,
    )


def _known(evaluation: Evaluation, below: Tensor) -> tuple[Evaluation, Tensor, Tensor]:
    """Say which problems are finite, and stand at a kink, where the gradient has no value.

    A norm has one at its minimum, where autograd divides 0 by 0. Such entries of the gradient are
    taken for 0: other rows may still have some way to go.

    Args:
        evaluation: the evaluation.
        below: `(B,)` whether the energy is no higher than it was, as beyond a cliff it might be.

    Returns:
        The evaluation, and `(B,)` for each problem whether it is finite, and whether at a kink.
    """
    finite = evaluation.energy.isfinite() & evaluation.iterate.finite()
    if evaluation.gradient is None:
        return evaluation, finite, torch.zeros_like(finite)
    smooth = evaluation.gradient.finite()
    slope = evaluation.gradient.map(lambda leaf: leaf.nan_to_num(0.0, 0.0, 0.0))
    evaluation = attrs.evolve(evaluation, gradient=slope)
    return evaluation, finite & (smooth | below), finite & below & ~smooth


@contextmanager
def solving() -> Iterator[None]:
    """Set modes so that energies are differentiated, in full precision, whatever the caller's."""
    with torch.inference_mode(False), torch.no_grad(), full_products():
        yield


def ordinary(tree: Any, *, attached: bool = False) -> Any:
    """Copy inference tensors, which autograd cannot use, and cut the rest from their graph.

    Args:
        tree: a tree of tensors.
        attached: leave the rest as they are.
    """

    def visit(leaf: Any) -> Any:
        if isinstance(leaf, Layout):
            return attrs.evolve(leaf, owner=visit(leaf.owner))
        if graphs.is_batch(leaf):
            return copy(leaf).apply(visit)
        if not isinstance(leaf, Tensor):
            return leaf
        if leaf.is_inference():
            return leaf.clone()
        return leaf if attached else leaf.detach()

    return trees.map_leaves(visit, tree)


def copied(leaf: Any) -> Any:
    """Copy a leaf of a tree, if that is a tensor."""
    return leaf.clone() if isinstance(leaf, Tensor) else leaf
