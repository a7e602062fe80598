"""Derivatives by the implicit function theorem: of answers, and in training."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import attrs

from irem_core import checks
from irem_core.energies.landscape import Landscape, encoded
from irem_core.problems.iterate import Iterate
from irem_core.problems.space import Space
from irem_core.solvers.backprop import Backprop, Rollout
from irem_core.solving.differentiation import (
    Differentiation,
    Report,
    attach_implicitly,
    solve_damped,
)


@attrs.frozen(kw_only=True)
class Implicit(Backprop, Differentiation):
    """Differentiate where a descent ends, however it came there (Bai et al., 2019).

    Where dE/dy = 0, the implicit function theorem says how a minimum moves with all that the energy
    depends on:

        dy = -(d2E/dy2)^-1 (d2E/dy dtheta) dtheta.

    Backpropagation solves one linear system a problem, by conjugate gradients with products of the
    Hessian, and takes the memory of one evaluation. Entries that bounds hold do not move, and other
    spaces are kept to likewise (see `Space.face`). Where the Hessian is singular or not positive,
    the system is solved in the least squares, by its shortest solution: directions along which the
    energy is flat get no gradient.

    It is a rule of backpropagation as well: training then descends without a graph, and takes the
    last iterate for a minimum. The nearer it is to one, the nearer the gradient is to that of
    `FullUnroll`, at a cost in memory and time that does not grow with the steps.

    Args:
        tolerance: the residual at which a linear system is solved, as a share of its right-hand
            side; above 0.
        max_steps: the most steps of conjugate gradients, at least 1.
        damping: is added to the diagonal of every Hessian, at least 0, in units of energy over
            squared units of y. With more of it gradients are smaller, and no longer exact.
    """

    tolerance: float = attrs.field(default=1e-8, validator=checks.positive)
    max_steps: int = attrs.field(default=1000, validator=checks.count)
    damping: float = attrs.field(default=0.0, validator=checks.non_negative)

    def attach(
        self,
        energy: Landscape,
        context: Any,
        iterate: Iterate,
        space: Space | None,
        report: Report | None = None,
    ) -> Iterate:
        """Attach iterates; the system is solved in backpropagation (see `Differentiation`)."""
        solve = partial(
            solve_damped,
            damping=self.damping,
            tolerance=self.tolerance,
            max_steps=self.max_steps,
        )
        return attach_implicitly(energy, context, iterate, space, solve, report)

    def unroll(self, rollout: Rollout) -> Iterator[Iterate]:
        """Descend without a graph and attach what is yielded (see `Backprop.unroll`)."""
        energy, problem = rollout.energy, rollout.problem
        context = encoded(energy, problem)
        for iterate in rollout.iterates(truncate=True, attach=False):
            yield self.attach(energy, context, iterate, problem.answer)
