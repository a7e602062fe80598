"""What networks that answer step by step share: a solve that shows and keeps every output."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from irem_core import (
    Descent,
    Evaluation,
    HaltingCriterion,
    Iterate,
    Observer,
    Outcome,
    Problem,
    Recorder,
    SettingError,
    Solution,
    Solver,
    checks,
)


@attrs.frozen(eq=False)
class Output:
    """One step of a network.

    Args:
        y: `(B, ...)` or `(rows, ...)` its answers.
        weight: `(B,)` in [0, 1], how far the solution moves from what it was to these answers;
            None for all the way.
    """

    y: Float[Tensor, "rows *entries"]
    weight: Float[Tensor, " problems"] | None = None


class Iterated(Solver):
    """A network that answers step by step. An author writes `loss` and `outputs`.

    A problem whose output turns non-finite keeps its last finite one; the others go on.
    """

    first: ClassVar[int] = 1
    """The step of the first output: 0 where that is a start, 1 where it took a step."""

    @abstractmethod
    def outputs(
        self, problem: Problem, start: Tensor | None, generator: torch.Generator
    ) -> Iterator[Output]:
        """Yield output after output, without end.

        Args:
            problem: the questions.
            start: `(B, ...)` or `(rows, ...)` where to start, or None.
            generator: the only source of randomness.

        Raises:
            ShapeError: x does not have a shape that the network takes.
            NonFiniteError: x holds NaN or infinity.
        """

    def solve(
        self,
        x: Any,
        *,
        max_steps: int = 80,
        descent: Descent | None = None,
        halting: HaltingCriterion | None = None,
        start: Tensor | Iterate | None = None,
        generator: torch.Generator | None = None,
        record: Sequence[str] = (),
        observer: Observer | None = None,
    ) -> Solution:
        """Take `max_steps` steps (see `Solver.solve`), at least one where there is no start.

        `descent` and `halting` are without effect, since there is no energy; the evaluations that
        the observer is shown have NaN in its place.

        Args:
            x: questions `(B, ...)`, or a `Problem`.
            max_steps: how many steps to take.
            descent: not used.
            halting: not used.
            start: where to start, for networks that read their own answers; else not used.
            generator: where random starts come from; seed 0 if None.
            record: "y" to keep all outputs, of dense answers alone.
            observer: called after every output, and after the start where there is one.

        Raises:
            SettingError: `max_steps` or `record` is out of range.
            ShapeError: x or the start does not have a shape that the network takes.
            NonFiniteError: x or the start holds NaN or infinity.
        """
        title = type(self).__name__
        checks.check(checks.count_or_zero, title, max_steps=max_steps)
        problem = x if isinstance(x, Problem) else Problem(x, self.answer)
        recorder = _recorder(title, record, problem)
        watch = [each for each in (recorder, observer) if each is not None]
        if generator is None:
            generator = torch.Generator(problem.device).manual_seed(0)
        given = start.y if isinstance(start, Iterate) else start
        if given is not None and self.answer is not None:
            self.answer.check("start", given, problem.layout.rows)
        with torch.no_grad():
            outputs = self.outputs(problem, given, generator)
            steps = range(self.first, max(max_steps, self.first) + 1)
            solution = self._run(problem, outputs, steps, watch)
        return solution if recorder is None else attrs.evolve(solution, trace=recorder.trace())

    def _run(
        self, problem: Problem, outputs: Iterator[Output], steps: range, watch: list[Observer]
    ) -> Solution:
        layout = problem.layout
        everyone = torch.arange(layout.count, device=problem.device)
        nothing = torch.full((layout.count,), torch.nan, device=problem.device)
        taken = torch.full_like(nothing, steps[0], dtype=torch.float64)
        last = answer = next(outputs).y
        finite = layout.all(last.isfinite())
        for step in steps:
            if step > steps[0]:
                output = next(outputs)
                finite = finite & layout.all(output.y.isfinite())
                last = torch.where(layout.spread(finite, last), output.y, last)
                weight = finite.to(last.dtype)
                if output.weight is None:
                    answer = last
                else:
                    weight = torch.where(finite, output.weight, weight)
                    answer = torch.lerp(answer, last, layout.spread(weight, last))
                taken = torch.lerp(taken, torch.full_like(taken, step), weight.double())
            shown = Evaluation(Iterate(self._within_bounds(last), layout), nothing)
            for each in watch:
                each(step, everyone, shown)
        outcome = torch.where(finite, int(Outcome.ANSWERED), int(Outcome.NONFINITE))
        return Solution(
            y=self._within_bounds(answer),
            last=self._within_bounds(last),
            energy=None,
            steps=taken.round().to(torch.int64),
            evaluations=torch.full_like(outcome, steps[-1]),
            outcome=outcome,
            layout=layout,
        )

    def _within_bounds(self, y: Tensor) -> Tensor:
        return y if self.answer is None else self.answer.project(y)


def _recorder(title: str, record: Sequence[str], problem: Problem) -> Recorder | None:
    names = (record,) if isinstance(record, str) else tuple(record)
    if not names:
        return None
    if set(names) != {"y"} or problem.layout.owner is not None:
        raise SettingError(
            f"{title} got record={record!r}; expected 'y', and dense answers, since it has no "
            "energy; pass an observer to keep outputs on edges."
        )
    return Recorder("y")
