"""What solvers without an energy share: one `solve`, and what it is asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from irem_core import (
    Descent,
    Differentiation,
    HaltingCriterion,
    Iterate,
    Observer,
    Problem,
    SettingError,
    Solution,
    Solver,
)

_STEPS = 80


@attrs.frozen(kw_only=True, eq=False)
class Request:
    """What a solve is asked for beside its questions (see `Solver.solve`).

    Args:
        max_steps: how many steps to take.
        start: `(B, ...)` or `(rows, ...)` where to start, or None.
        generator: the only source of randomness.
        record: what to keep of every step.
        observer: called after every step, or None.
    """

    max_steps: int
    start: Tensor | None
    generator: torch.Generator
    record: Sequence[str]
    observer: Observer | None


class Answering(Solver):
    """A solver without an energy. An author writes `loss` and `respond`."""

    @abstractmethod
    def respond(self, problem: Problem, request: Request) -> Solution:
        """Answer a batch of questions; no gradients are kept.

        Raises:
            SettingError: something is asked for that the solver cannot give.
            ShapeError: x or the start does not have a shape that the solver takes.
            NonFiniteError: x or the start holds NaN or infinity.
        """

    def solve(
        self,
        x: Any,
        *,
        max_steps: int | None = None,
        descent: Descent | None = None,
        halting: HaltingCriterion | None = None,
        start: Tensor | Iterate | None = None,
        restarts: int | None = None,
        generator: torch.Generator | None = None,
        record: Sequence[str] = (),
        observer: Observer | None = None,
        differentiable: Differentiation | None = None,
    ) -> Solution:
        """Answer a batch of questions (see `Solver.solve`, and `respond` for what is refused).

        Networks that answer step by step take 80 steps where nothing is said, as published.
        `descent` and `halting` are without effect, since there is no energy; in one shot, so is all
        else but x.

        Raises:
            SettingError: answers are to be differentiable, there are restarts, or `respond` says
                so.
        """
        if restarts:
            raise SettingError(
                f"{type(self).__name__} does not start again from elsewhere; leave restarts out."
            )
        if differentiable is not None:
            raise SettingError(
                f"{type(self).__name__} descends no energy whose answers could be differentiated; "
                "leave differentiable out."
            )
        problem = self.problem(x)
        if generator is None:
            generator = torch.Generator(problem.device).manual_seed(0)
        request = Request(
            max_steps=_STEPS if max_steps is None else max_steps,
            start=start.y if isinstance(start, Iterate) else start,
            generator=generator,
            record=record,
            observer=observer,
        )
        with torch.no_grad():
            return self.respond(problem, request)
