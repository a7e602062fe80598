"""A solver that descends the user's own cost from where a learned one proposes to begin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from irem_core import checks
from irem_core.descent import LBFGS
from irem_core.descent.base import Descent
from irem_core.energies.landscape import Landscape
from irem_core.pairs.cost import EXACT, Cost, cost_of, minimized
from irem_core.pairs.standardized import Standardized
from irem_core.problems.iterate import Iterate
from irem_core.problems.problem import Problem
from irem_core.problems.units import Units
from irem_core.solvers.base import Solver, place_of
from irem_core.solving.differentiation import Differentiation
from irem_core.solving.halting import HaltingCriterion
from irem_core.solving.solution import Observer, Solution


class WarmStart(Solver):
    """Answers are minima of a known cost, descended from proposals of a learned solver.

    Energies, steps and evaluations of its solutions are of the cost, which is descended in double
    precision and in the standard units of the answers, and whose halting ends it. Answers are in
    double precision too.

    Args:
        solver: learns to propose.
        cost: "module:name" of a function (x, y) -> (B,) in the user's units, the function, or an
            `EnergyFn`.
        descent: how the cost is descended.
        halting: when an answer has arrived.
        max_steps: the most steps down the cost.

    Raises:
        SettingError: there is no such cost, or a setting is out of range.
    """

    max_steps: int

    def __init__(
        self,
        solver: Solver,
        *,
        cost: Cost,
        descent: Descent = LBFGS(),  # noqa: B008 (frozen)
        halting: HaltingCriterion = EXACT,
        max_steps: int = 1000,
    ) -> None:
        """Find the cost."""
        super().__init__()
        checks.check(checks.part_of(Solver), "WarmStart", solver=solver)
        checks.check(checks.part_of(Descent), "WarmStart", descent=descent)
        checks.check(checks.part_of(HaltingCriterion), "WarmStart", halting=halting)
        checks.check(checks.count_or_zero, "WarmStart", max_steps=max_steps)
        self.solver = solver
        # Not among the weights: it is the user's, is found by its name, and learns nothing.
        self._cost = [cost_of(cost)]
        self.descent = descent
        self.halting = halting
        self.max_steps = max_steps
        self.question = solver.question
        self.answer = solver.answer

    @property
    def compiled(self) -> bool:  # type: ignore[override]
        """Whether `compile` was called."""
        return self.solver.compiled

    def compile(self, **options: Any) -> None:
        """Have torch compile the proposing solver (see `Solver.compile`)."""
        self.solver.compile(**options)

    @property
    def autocasts(self) -> bool:  # type: ignore[override]
        """Whether `autocast` was called."""
        return self.solver.autocasts

    def autocast(self, wanted: bool = True) -> None:
        """Have the proposing solver multiply in bfloat16 (see `Solver.autocast`)."""
        self.solver.autocast(wanted)

    @property
    def energy(self) -> Landscape:
        """The cost."""
        return self._cost[0]

    @property
    def units(self) -> Units | None:
        """The standard units of the answers, in which the cost is descended."""
        return self.solver.answer_units if isinstance(self.solver, Standardized) else None

    def loss(
        self, problem: Problem, target: Tensor, generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Return the loss of the proposing solver."""
        return self.solver.loss(problem, target, generator)

    def error(self, problem: Problem, target: Tensor, generator: torch.Generator) -> float:
        """Return the error of the proposing solver."""
        return self.solver.error(problem, target, generator)

    def calibrate(self, problem: Problem, target: Tensor, generator: torch.Generator) -> None:
        """Calibrate the proposing solver."""
        self.solver.calibrate(problem, target, generator)

    def propose(
        self, problem: Problem, generator: torch.Generator | None, *, again: bool = False
    ) -> Tensor:
        """Return what the learned solver answers, where descents of the cost begin.

        Args:
            problem: the questions.
            generator: where its random starts come from.
            again: whether to start as it does again, rather than for the first time.
        """
        _, dtype = place_of(self.solver)
        asked = Problem(problem.x.to(dtype), problem.answer, problem.layout)
        start = None
        if again and generator is not None:
            start = self.solver.draw_start(asked, generator)
        with torch.no_grad():
            return self.solver.solve(asked, generator=generator, start=start).y.detach()

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
        """Descend the cost from proposals (see `Solver.solve`); restarts begin at other ones.

        Raises:
            EnergyError: the cost cannot take numbers of double precision.
        """
        restarts = restarts or 0
        checks.check(checks.count_or_zero, "solve", restarts=restarts)
        problem = x if isinstance(x, Problem) else Problem(x, self.answer)
        if generator is None:
            generator = torch.Generator(problem.device).manual_seed(0)
        options: dict[str, Any] = {
            "descent": descent,
            "halting": halting,
            "max_steps": self.max_steps if max_steps is None else max_steps,
            "differentiable": differentiable,
        }
        if start is None:
            start = self.propose(problem, generator)
        first = self._descended(problem, start, record=record, observer=observer, **options)
        found = attrs.evolve(first, restarts=torch.zeros_like(first.steps))
        for _ in range(restarts):
            proposed = self.propose(problem, generator, again=True)
            again = self._descended(problem, proposed, **options)
            again = attrs.evolve(again, restarts=torch.ones_like(again.steps))
            found = found.or_better(again)
        return attrs.evolve(found, trace=first.trace)

    def _descended(
        self,
        problem: Problem,
        start: Tensor | Iterate,
        *,
        descent: Descent | None = None,
        halting: HaltingCriterion | None = None,
        **options: Any,
    ) -> Solution:
        return minimized(
            self.energy,
            Problem(problem.x, problem.answer or self.answer, problem.layout),
            start,
            units=self.units,
            descent=descent or self.descent,
            halting=halting or self.halting,
            **options,
        )

    def draw_start(self, x: Any, generator: torch.Generator) -> Iterate | None:
        """Draw what restarts of the proposing solver begin at."""
        return self.solver.draw_start(x, generator)

    def training_state(self) -> dict[str, Tensor]:
        """Return what the proposing solver carries."""
        return self.solver.training_state()

    def restore_training_state(self, state: dict[str, Tensor]) -> None:
        """Give it back to the proposing solver."""
        self.solver.restore_training_state(state)
