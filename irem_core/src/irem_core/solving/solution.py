"""Solutions: what a solver found for each problem of a batch, and how it got there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import attrs
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from irem_core.energies.landscape import Evaluation
from irem_core.errors import EnergyError, NotConvergedError
from irem_core.problems import trees
from irem_core.problems.layout import Layout
from irem_core.problems.problem import Problem
from irem_core.solving.outcome import ARRIVED, Outcome

Observer = Callable[[int, Tensor, Evaluation], None]
"""Called after each step with the step, the problems `(R,)` that took it, and their evaluation."""


@attrs.frozen(eq=False)
class Trace:
    """What was recorded on the way, one entry per problem and step; nothing is padded.

    Entries are ordered by problem, then by step; step 0 is the start.

    Args:
        problem: `(entries,)` whose entry it is.
        step: `(entries,)` after how many steps.
        energy: `(entries,)` the energies, where recorded.
        gradient_norm: `(entries,)` the norms of the gradients, where recorded.
        y: the iterates: `(entries, ...)` for dense answers, where recorded.
    """

    problem: Int[Tensor, " entries"]
    step: Int[Tensor, " entries"]
    energy: Float[Tensor, " entries"] | None = None
    gradient_norm: Float[Tensor, " entries"] | None = None
    y: Float[Tensor, "entries *shape"] | None = None

    def of(self, problem: int) -> Trace:
        """Return the entries of one problem alone, in the order of its steps."""
        chosen = self.problem == problem
        return trees.map_leaves(lambda leaf: None if leaf is None else leaf[chosen], self)


@attrs.frozen(eq=False)
class Solution:
    """The answers to a batch of B problems.

    Args:
        y: the lowest-energy iterate of each problem, `(B, ...)` or `(rows, ...)`.
        last: the last iterate of each problem.
        energy: `(B,)` the energy of `y`; None for a solver without one.
        steps: `(B,)` steps taken, the patience of a halting rule included.
        evaluations: `(B,)` energy evaluations spent while it was running, with a gradient or
            without, the start's and line searches' included.
        outcome: `(B,)` how each problem ended, as numbers of `Outcome`.
        layout: whose rows `y` and `last` hold.
        products: `(B,)` products with the energy's Hessian, or with the Jacobian of its residuals,
            that its descent asked for while it was running, of all problems at once; None for a
            solver that counts none.
        z: `(B, width)` the scratchpad that belongs to `y`, where the energy has one.
        trace: what was recorded on the way, where asked for.
        parts: the solutions of the applications, where the solver is a composition.
        carries: `(B,)` which answers carry a gradient, where that was asked for: those that
            converged. That of others is zero.
        residual: `(B,)` the relative residual of the linear system that the gradient of `Implicit`
            is found by; NaN until it has been, by `backward`.
        verified: `(B,)` which answers were checked and hold; None where they cannot be checked.
        restarts: `(B,)` how often it was descended again; None for a solver that cannot.
        trusted: `(B,)` which answers may be trusted, where that was asked for (`Solver.trust`).
    """

    y: Tensor
    last: Tensor
    energy: Float[Tensor, " problems"] | None
    steps: Int[Tensor, " problems"]
    evaluations: Int[Tensor, " problems"]
    outcome: Int[Tensor, " problems"]
    layout: Layout
    products: Int[Tensor, " problems"] | None = None
    z: Tensor | None = None
    trace: Trace | None = None
    parts: tuple[Solution, ...] = ()
    carries: Bool[Tensor, " problems"] | None = None
    residual: Float[Tensor, " problems"] | None = None
    verified: Bool[Tensor, " problems"] | None = None
    restarts: Int[Tensor, " problems"] | None = None
    trusted: Bool[Tensor, " problems"] | None = None

    @classmethod
    def answered(cls, y: Tensor, layout: Layout) -> Self:
        """Make the solution of a one-shot solver, which has no energy and takes one step."""
        ones = torch.ones(layout.count, dtype=torch.int64, device=y.device)
        return cls(y, y, None, ones, ones, ones * int(Outcome.ANSWERED), layout)

    def checked(self, problem: Problem) -> Self:
        """Return the solution of a problem that says which answers hold, where that can be said."""
        return attrs.evolve(self, verified=problem.verified(self.y))

    def or_better(self, other: Solution) -> Solution:
        """Return for each problem the answer that is verified, else that of the lower energy.

        This one's where both are equal. Energy evaluations, products and restarts add up; all else
        is of the solution that an answer is from. Traces and parts are left out.

        Args:
            other: of the same problems.

        Raises:
            EnergyError: a solution has no energy, as those of one-shot solvers.
        """
        if self.energy is None or other.energy is None:
            raise EnergyError(
                "A solution without energies cannot be compared; expected both to come from a "
                "descent."
            )
        better = other.energy.nan_to_num(torch.inf) < self.energy.nan_to_num(torch.inf)
        if self.verified is not None and other.verified is not None:
            better = torch.where(self.verified == other.verified, better, other.verified)
        mine, theirs = (attrs.evolve(each, trace=None, parts=()) for each in (self, other))
        chosen = trees.where(better, self.layout, theirs, mine)
        return attrs.evolve(
            chosen,
            evaluations=self.evaluations + other.evaluations,
            products=total([self.products, other.products]),
            restarts=total([self.restarts, other.restarts]),
        )

    def unverified(self) -> str | None:
        """Say of which problems no answer that holds was found, and in how many restarts.

        Returns:
            A sentence; None where all answers hold, or cannot be checked.
        """
        if self.verified is None or bool(self.verified.all()):
            return None
        wrong = ~self.verified
        restarts = 0 if self.restarts is None else int(self.restarts[wrong].max())
        return (
            f"No answer that satisfies all constraints was found in {restarts} restarts of "
            f"{_named(wrong.nonzero()[:, 0].tolist())} of {self.layout.count} problems, by index."
        )

    def check(self) -> Self:
        """Return the solution if every problem converged, was verified, or was answered.

        Where answers can be checked they must hold too, however they were found.

        Raises:
            NotConvergedError: some did not; the error names them.
        """
        wrong = self.unverified()
        if wrong is not None:
            raise NotConvergedError(
                f"{wrong} That does not say that there is none; give more restarts."
            )
        good = torch.isin(self.outcome, torch.tensor(ARRIVED, device=self.outcome.device))
        good = good if self.verified is None else good | self.verified
        if bool(good.all()):
            return self
        sentences = []
        for outcome in Outcome:
            bad = ((self.outcome == outcome) & ~good).nonzero().squeeze(1).tolist()
            if bad:
                sentences.append(f"{_named(bad)}: {outcome.explanation}")
        raise NotConvergedError(
            f"Of {self.layout.count} problems, by index: {'; '.join(sentences)}. Give more "
            "max_steps, a smaller step size or a looser halting rule."
        )


def _named(problems: list[int]) -> str:
    """Write how many problems there are, and which."""
    named = ", ".join(map(str, problems[:10])) + (", ..." if len(problems) > 10 else "")
    return f"{len(problems)} ({named})"


def total(counts: Sequence[Tensor | None]) -> Tensor | None:
    """Add up what several solutions counted; None where one of them did not."""
    known = [each for each in counts if each is not None]
    return torch.stack(known).sum(0) if len(known) == len(counts) else None


class Recorder:
    """An observer of `minimize` that keeps what was asked for and makes a `Trace` of it.

    Args:
        fields: any of "energy", "gradient_norm" and "y".
    """

    def __init__(self, *fields: str) -> None:
        """Start with nothing recorded."""
        self._fields = fields
        self._entries: list[dict[str, Tensor]] = []

    def __call__(self, step: int, problems: Tensor, evaluation: Evaluation) -> None:
        """Keep one step of the given problems."""
        available: dict[str, Any] = {
            "energy": lambda: evaluation.energy,
            "gradient_norm": lambda: evaluation.slope.norm(),
            "y": lambda: evaluation.iterate.y.clone(),
        }
        entry = {name: available[name]() for name in self._fields}
        entry["problem"] = problems
        entry["step"] = torch.full_like(problems, step)
        self._entries.append(entry)

    def trace(self) -> Trace:
        """Return what was kept, ordered by problem and step."""
        columns = {
            name: torch.cat([entry[name] for entry in self._entries]) for name in self._entries[0]
        }
        order = columns["problem"].argsort(stable=True)
        return Trace(**{name: column[order] for name, column in columns.items()})
