"""What networks that answer step by step share: every output is shown and kept."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import ClassVar

import attrs
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from irem_baselines.answering import Answering, Request
from irem_core import (
    Evaluation,
    Iterate,
    Observer,
    Outcome,
    Problem,
    Recorder,
    SettingError,
    Solution,
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


class Iterated(Answering):
    """A network that answers step by step. An author writes `outputs`, and sets `steps`.

    A problem whose output turns non-finite keeps its last finite one; the others go on.
    """

    first: ClassVar[int] = 1
    """The step of the first output: 0 where that is a start, 1 where it took a step."""
    steps: int
    """How many steps are trained."""

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

    def loss(
        self, problem: Problem, target: Tensor, generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Return the mean squared error of the answers after `steps` steps.

        Args:
            problem: questions `(B, ...)`.
            target: `(B, ...)` or `(rows, ...)` their answers.
            generator: the only source of randomness.
        """
        outputs = self.outputs(problem, None, generator)
        last = next(islice(outputs, self.steps - self.first, None))
        return functional.mse_loss(last.y, target)

    def respond(self, problem: Problem, request: Request) -> Solution:
        """Take `max_steps` steps, at least one where there is no start.

        The observer is called after every output, and after the start where there is one; the
        evaluations that it is shown have NaN in place of an energy. "y" records all outputs, of
        dense answers alone. A start is for networks that read their own answers; others ignore it.

        Raises:
            SettingError: `max_steps` or `record` is out of range.
            ShapeError: x or the start does not have a shape that the network takes.
            NonFiniteError: x or the start holds NaN or infinity.
        """
        title = type(self).__name__
        checks.check(checks.count_or_zero, title, max_steps=request.max_steps)
        recorder = _recorder(title, request.record, problem)
        watch = [each for each in (recorder, request.observer) if each is not None]
        if request.start is not None and self.answer is not None:
            self.answer.check("start", request.start, problem.layout.rows)
        outputs = self.outputs(problem, request.start, request.generator)
        steps = range(self.first, max(request.max_steps, self.first) + 1)
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
