"""A solver as a layer of a network."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from irem_core import checks
from irem_core.solvers.base import Solver
from irem_core.solvers.implicit import Implicit
from irem_core.solving.differentiation import Differentiation
from irem_core.solving.solution import Solution


class SolverLayer(nn.Module):
    """A module whose output is a solver's answer, with its derivatives.

    Gradients reach the input, the weights of the solver's energy and whatever its `encode` reads;
    answers that did not converge pass on none. Within `torch.no_grad` it only solves.

    Args:
        solver: an `IREM`, or another solver that descends an energy.
        differentiable: how answers are differentiated; `Implicit()` if None.
        options: of the solver's `solve`, such as `max_steps` and `halting`.

    Attributes:
        solution: the whole solution of the last input, or None; it says what converged.

    Raises:
        SettingError: there is no solver, or no such rule.
    """

    def __init__(
        self, solver: Solver, *, differentiable: Differentiation | None = None, **options: Any
    ) -> None:
        """Take the solver over, as a submodule."""
        super().__init__()
        rule = Implicit() if differentiable is None else differentiable
        checks.check(checks.part_of(Solver), "SolverLayer", solver=solver)
        checks.check(checks.part_of(Differentiation), "SolverLayer", differentiable=rule)
        self.solver = solver
        self.differentiable = rule
        self.options = options
        self.solution: Solution | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the last solution: its graph can be neither copied nor pickled."""
        return {**self.__dict__, "solution": None}

    def forward(self, x: Any) -> Tensor:
        """Return the answers to questions `(B, ...)`, or to those of a `Problem`."""
        self.solution = self.solver.solve(x, differentiable=self.differentiable, **self.options)
        return self.solution.y
