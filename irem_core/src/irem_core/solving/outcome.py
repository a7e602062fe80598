"""How a problem's descent ended."""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """The state of one problem of a batch; tensors of outcomes hold these numbers as int64."""

    RUNNING = 0
    CONVERGED = 1
    BUDGET_SPENT = 2
    NONFINITE = 3
    ANSWERED = 4
    STALLED = 5
    INFEASIBLE = 6
    VERIFIED = 7

    @property
    def explanation(self) -> str:
        """The outcome in words."""
        return _EXPLANATIONS[self]


_EXPLANATIONS = {
    Outcome.RUNNING: "is still descending",
    Outcome.CONVERGED: "converged: its halting rule was met",
    Outcome.BUDGET_SPENT: "spent its budget of steps before its halting rule was met",
    Outcome.NONFINITE: "turned NaN or infinite and stopped at its last finite iterate",
    Outcome.ANSWERED: "was answered by a solver without an energy",
    Outcome.VERIFIED: "was checked, and its answer holds",
    Outcome.STALLED: "stalled: its descent found no step, or none that its numbers resolve, where "
    "the gradient is not small or has no value, or no lower energy in as many steps as its halting "
    "rule waits",
    Outcome.INFEASIBLE: "ended where constraints are broken, and found no answer that breaks them "
    "less",
}

ARRIVED = (Outcome.CONVERGED, Outcome.VERIFIED, Outcome.ANSWERED)
"""The outcomes of problems that have an answer."""
