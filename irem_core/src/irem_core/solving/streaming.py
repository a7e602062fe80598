"""Solving streams of problems at a bounded memory: the batch is refilled as problems halt."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import attrs
import torch
from torch import Tensor

from irem_core import checks
from irem_core.descent.base import Descent
from irem_core.distributed import derive
from irem_core.energies.in_units import standardized
from irem_core.energies.landscape import Landscape, check_problem, encoded
from irem_core.problems import trees
from irem_core.problems.problem import Problem
from irem_core.problems.units import Units
from irem_core.solving import descending
from irem_core.solving.descending import Descending, Found, check_parts
from irem_core.solving.halting import HaltingCriterion
from irem_core.solving.in_units import Conversion, InStandardUnits
from irem_core.solving.outcome import Outcome
from irem_core.solving.settled import Settled
from irem_core.solving.solution import Solution

# The batch is refilled once so large a share of it is free: often enough that few rows are idle,
# seldom enough that putting batches together stays a small part of the work.
_FREE_SHARE = 0.1
# Solutions are returned in order. While one waits for a slow problem, others pile up behind it, and
# beyond so many times the capacity nothing more is begun.
_PILE = 8


def starts_of(number: int, seed: int, device: torch.device) -> torch.Generator:
    """Return what random starts of one batch of a stream come from."""
    return torch.Generator(device).manual_seed(derive(seed, "stream", number))


def minimize_many(
    energy: Landscape,
    problems: Iterable[Any],
    *,
    descent: Descent,
    halting: HaltingCriterion | None = None,
    max_steps: int = 1000,
    capacity: int = 1024,
    seed: int = 0,
) -> Iterator[Solution]:
    """Solve one batch of questions after the other, and refill what is solved at a time.

    Problems that halt make room for others, so that a batch does not wait for its slowest. Answers
    are those of `minimize` for each batch, but for the rounding of products of other sizes.

    Args:
        energy: as in `minimize`.
        problems: batches x as in `minimize`, drawn only as there is room for them.
        descent: how to step.
        halting: when a problem has arrived; where little is left to go by default (`Settled`).
        max_steps: the most steps any problem takes, at least 0.
        capacity: how many problems are descended at a time; a larger batch is taken alone.
        seed: of random starts, which depend on the place of a batch in the stream alone.

    Returns:
        An iterator over the solutions of the batches, in their order.

    Raises:
        SettingError: a part is none, or `max_steps` or `capacity` is out of range.
        ShapeError: in iterating, as `minimize` does.
        NonFiniteError: likewise.
        EnergyError: likewise.
    """
    checks.check(checks.count_or_zero, "minimize_many", max_steps=max_steps)
    checks.check(checks.count, "minimize_many", capacity=capacity)
    halting = Settled() if halting is None else halting
    check_parts("minimize_many", energy, descent, halting)
    if energy.units is not None:
        return _in_units(
            energy, energy.units, problems, (descent, halting, max_steps, capacity, seed)
        )
    return _solved(_Stream(energy, descent, halting, max_steps, capacity, seed), iter(problems))


def _in_units(
    energy: Landscape, units: Units, problems: Iterable[Any], settings: tuple[Any, ...]
) -> Iterator[Solution]:
    waiting: deque[Conversion] = deque()

    def inside() -> Iterator[Problem]:
        for x in problems:
            rewritten = InStandardUnits.of(energy, x, units)
            waiting.append(rewritten.conversion)
            yield rewritten.problem

    stream = _Stream(standardized(energy, units), *settings)
    for solution in _solved(stream, inside()):
        yield waiting.popleft().solution(solution)


def _solved(stream: _Stream, source: Iterator[Any]) -> Iterator[Solution]:
    arrivals = map(stream.prepared, source)
    waiting = next(arrivals, None)
    while True:
        while waiting is not None and stream.takes(waiting):
            stream.begin(waiting)
            waiting = next(arrivals, None)
        stepped = stream.step()
        yield from stream.finished()
        if not stepped and waiting is None:
            return


@attrs.frozen(eq=False)
class _Arrival:
    """A batch that is not begun yet.

    Args:
        problem: the questions.
        kind: what problems of one batch have in common.
    """

    problem: Problem
    kind: Any


@attrs.define(eq=False)
class _Batch:
    """A batch of the stream whose solution is not returned yet.

    Args:
        first: the number of its first problem in the stream.
        problem: the questions.
        found: what is known of the answers.
        left: how many of its problems are still descended.
    """

    first: int
    problem: Problem
    found: Found
    left: int


class _Stream:
    """The problems that are descended, and the batches that they belong to."""

    def __init__(
        self,
        energy: Landscape,
        descent: Descent,
        halting: HaltingCriterion,
        max_steps: int,
        capacity: int,
        seed: int,
    ) -> None:
        self.energy = energy
        self.descent = descent
        self.halting = halting
        self.max_steps = max_steps
        self.capacity = capacity
        self.seed = seed
        self.batches: deque[_Batch] = deque()
        self.begun = self.count = 0
        self.kind: Any = None
        self.problem: Problem | None = None
        self.held: Descending | None = None

    @property
    def size(self) -> int:
        """How many problems are held."""
        return 0 if self.problem is None else self.problem.layout.count

    def prepared(self, x: Any) -> _Arrival:
        """Wrap a batch as a problem that this stream can take."""
        with descending.solving():
            problem = descending.ordinary(self.energy.problem(x))
            return _Arrival(problem, _kind(problem))

    def takes(self, arrival: _Arrival) -> bool:
        """Say whether it is time to begin a batch, and whether it fits beside what is held."""
        if not self.size:
            return True
        free = self.capacity - self.size
        piled = sum(each.problem.layout.count for each in self.batches)
        return (
            free >= max(_FREE_SHARE * self.capacity, arrival.problem.layout.count)
            and piled < _PILE * self.capacity
            and arrival.kind == self.kind
        )

    def begin(self, arrival: _Arrival) -> None:
        """Begin a batch."""
        problem, self.kind = arrival.problem, arrival.kind
        count = problem.layout.count
        with descending.solving():
            check_problem(self.energy, problem)
            start = self.energy.first_start(
                problem, starts_of(self.begun, self.seed, problem.device)
            )
            self.begun += 1
            context = descending.context_of(self.energy, problem)
            held = descending.begin(
                self.energy, problem, context, start, self.descent, self.halting
            )
            found = trees.map_leaves(descending.copied, held.found)
            self.batches.append(_Batch(self.count, problem, found, count))
            if not count:
                return
            self._hold(problem, attrs.evolve(held, problems=held.problems + self.count))
            self.count += count
            self._stop_where_spent()

    def _hold(self, problem: Problem, held: Descending) -> None:
        """Put a batch behind what is held."""
        if self.problem is not None and self.held is not None:
            mine = (self.problem, attrs.evolve(self.held, context=None))
            theirs = (problem, attrs.evolve(held, context=None))
            (problem, held), _ = trees.join(mine, self.problem.layout, theirs, problem.layout)
            # Contexts may hold what all of their problems share, and are made anew.
            held = attrs.evolve(held, context=encoded(self.energy, problem))
        self.problem, self.held = problem, held

    def step(self) -> bool:
        """Take a step of all problems that are held, and say whether there are any."""
        if self.problem is None or self.held is None:
            return False
        with descending.solving():
            if bool((self.held.found.outcome == Outcome.RUNNING).any()):
                self.held = descending.advance(
                    self.energy, self.problem.answer, self.held, self.descent, self.halting
                )
                self._stop_where_spent()
            self._let_go()
        return True

    def finished(self) -> Iterator[Solution]:
        """Yield the solutions of the batches that are done, up to the first that is not."""
        while self.batches and not self.batches[0].left:
            batch = self.batches.popleft()
            yield batch.found.solution(batch.problem.layout).checked(batch.problem)

    def _stop_where_spent(self) -> None:
        assert self.held is not None
        found = self.held.found
        spent = (found.outcome == Outcome.RUNNING) & (found.steps >= self.max_steps)
        outcome = torch.where(spent, int(Outcome.BUDGET_SPENT), found.outcome)
        self.held = attrs.evolve(self.held, found=attrs.evolve(found, outcome=outcome))

    def _let_go(self) -> None:
        """Drop what has halted once that is a share of what is held, and keep what was found."""
        assert self.problem is not None
        assert self.held is not None
        layout, running = self.problem.layout, self.held.found.outcome == Outcome.RUNNING
        active = int(running.sum())
        if active and active > (1 - _FREE_SHARE) * layout.count:
            return
        self._keep((~running).nonzero().squeeze(1))
        if not active:
            self.problem = self.held = None
            return
        kept = running.nonzero().squeeze(1)
        self.problem, self.held = trees.select((self.problem, self.held), layout, kept)

    def _keep(self, halted: Tensor) -> None:
        """Write what was found of the halted ones into the batches that they belong to."""
        assert self.problem is not None
        assert self.held is not None
        numbers = self.held.problems[halted]
        # Problems are held in the order of their numbers, so those of a batch follow one another.
        ascending = numbers.tolist()
        for batch in self.batches:
            own = batch.problem.layout
            begin = bisect_left(ascending, batch.first)
            end = bisect_left(ascending, batch.first + own.count)
            if begin == end:
                continue
            part = trees.select(self.held.found, self.problem.layout, halted[begin:end])
            trees.put(batch.found, own, numbers[begin:end] - batch.first, part)
            batch.left -= end - begin


def _kind(problem: Problem) -> Any:
    """Return what problems must have in common to be put into one batch."""
    held = trees.columns(problem, problem.layout)
    answer = problem.answer
    return (
        [(each.values.shape[1:], each.values.dtype) for each in held],
        None if answer is None else (answer.ragged, answer.shape),
        problem.verify,
    )
