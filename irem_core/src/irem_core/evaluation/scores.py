"""Scores: how well a solver does, and what its energies tell of errors."""

from __future__ import annotations

from typing import Any

import attrs
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from irem_core.errors import SettingError
from irem_core.evaluation.reliability import Reliability, Trust


@attrs.frozen(eq=False, kw_only=True)
class Scores:
    """How well a solver does on one difficulty.

    Args:
        difficulty: which.
        protocol: "solve" where problems halted by themselves, as a solve has it; "paper" where all
            took the same number of steps, as published.
        max_steps: the most steps of any problem.
        descent: how it stepped, as it is written in Python; None for a solver without a descent.
        halting: when a problem had arrived, likewise.
        problems: how many were solved.
        mse: mean squared error over all entries of all problems, of each problem's lowest-energy
            answer.
        relative: `mse` over the error of the best constant answer, which is fitted to these very
            problems, one constant for each group of entries (`Task.group`): of all figures the one
            to compare between difficulties, since the spread of answers changes with the size.
            None where that constant is right.
        mse_last: likewise of the last iterate.
        mse_by_step: the error of iterate t, for every t from 0; a halted problem counts with the
            iterate that it halted at.
        steps_mean: mean steps taken.
        evaluations_mean: mean energy evaluations spent.
        outcomes: how many problems ended in each way.
        measures: means of what else the task measures, by name (`Task.measures`), and the share of
            answers that hold as "solved", where they can be checked (`Task.verify`).
        measures_by_step: likewise of iterate t, as with `mse_by_step`.
        energy_by_step: the mean energy of iterate t, likewise; None for a solver without one.
        errors: `(problems,)` the mean squared error of each problem.
        energies: `(problems,)` the energy of each answer, where there is one.
        steps: `(problems,)` the steps of each problem.
        verified: `(problems,)` which answers hold; None where they cannot be checked.
        reliability: expected errors beside real ones; None for a solver whose energies say nothing
            of errors.
        trust: which answers may be trusted; None where that was not asked for.
    """

    difficulty: str
    protocol: str
    max_steps: int
    descent: str | None
    halting: str | None
    problems: int
    mse: float
    relative: float | None
    mse_last: float
    mse_by_step: dict[int, float]
    steps_mean: float
    evaluations_mean: float
    outcomes: dict[str, int]
    measures: dict[str, float]
    measures_by_step: dict[str, dict[int, float]]
    energy_by_step: dict[int, float] | None
    errors: Float[Tensor, " problems"]
    energies: Float[Tensor, " problems"] | None
    steps: Int[Tensor, " problems"]
    verified: Bool[Tensor, " problems"] | None = None
    reliability: Reliability | None = None
    trust: Trust | None = None

    @property
    def energy_error_correlation(self) -> float | None:
        """Rank correlation of final energies with errors.

        None for a solver without an energy, or where energies or errors are all the same.
        """
        return None if self.energies is None else rank_correlation(self.energies, self.errors)

    @property
    def worst_tenth_auroc(self) -> float | None:
        """How well final energies tell the tenth of the answers with the largest errors (`auroc`).

        None for a solver without an energy, for fewer than ten problems, or where energies are all
        the same.
        """
        if self.energies is None or self.problems < 10 or self.energies.unique().numel() < 2:
            return None
        return auroc(self.energies, self.errors, share=0.1)

    @property
    def solved_auroc(self) -> float | None:
        """How well final energies tell answers that do not hold from those that do (`auroc`).

        None for a solver without an energy, where answers cannot be checked, and where all of them
        hold or none does.
        """
        if self.energies is None or self.verified is None:
            return None
        wrong = (~self.verified).double()
        share = float(wrong.mean())
        return auroc(self.energies, wrong, share=share) if 0 < share < 1 else None

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as plain values for JSON, without those of single problems."""
        return {
            "protocol": self.protocol,
            "max_steps": self.max_steps,
            "descent": self.descent,
            "halting": self.halting,
            "problems": self.problems,
            "mse": self.mse,
            "relative": self.relative,
            "mse_last": self.mse_last,
            "mse_by_step": {str(step): error for step, error in self.mse_by_step.items()},
            "steps_mean": self.steps_mean,
            "evaluations_mean": self.evaluations_mean,
            "outcomes": self.outcomes,
            "energy_error_correlation": self.energy_error_correlation,
            "worst_tenth_auroc": self.worst_tenth_auroc,
            **({} if self.verified is None else {"solved_auroc": self.solved_auroc}),
            **({} if self.reliability is None else {"reliability": self.reliability.to_dict()}),
            **({} if self.trust is None else {"trust": self.trust.to_dict()}),
            **self.measures,
            **{
                f"{name}_by_step": {str(step): value for step, value in by_step.items()}
                for name, by_step in self.measures_by_step.items()
            },
        }


def rank_correlation(
    first: Float[Tensor, " values"], second: Float[Tensor, " values"]
) -> float | None:
    """Return Spearman's rank correlation, or None where either side is constant."""
    if min(first.unique().numel(), second.unique().numel()) < 2:
        return None
    ranked = torch.stack([_average_ranks(first), _average_ranks(second)])
    return float(torch.corrcoef(ranked)[0, 1])


def _average_ranks(values: Tensor) -> Tensor:
    _, place, counts = values.unique(return_inverse=True, return_counts=True)
    ranks: Tensor = counts.cumsum(0).double() - (counts - 1) / 2
    return ranks[place]


def auroc(
    scores: Float[Tensor, " problems"], errors: Float[Tensor, " problems"], *, share: float = 0.25
) -> float:
    """Return the chance that an answer among the worst `share` scores above one of the others.

    That is the area under the curve of "this answer is wrong" as the scores, energies for example,
    tell it: 0.5 is chance, 1.0 is perfect.

    Args:
        scores: of the answers, higher where an answer is thought to be worse.
        errors: of the same answers.
        share: of the answers, which count as wrong: those with the largest errors, one at least.

    Raises:
        SettingError: that leaves no others.
    """
    wrong = max(round(share * len(errors)), 1)
    if wrong >= len(errors):
        raise SettingError(
            f"auroc got share={share} of {len(errors)} answers; expected some that do not count as "
            "wrong, to compare with."
        )
    ranks = _average_ranks(scores)[errors.argsort(descending=True)[:wrong]]
    # Of all pairs of a wrong answer and another: Mann and Whitney's statistic.
    above = float(ranks.sum()) - wrong * (wrong + 1) / 2
    return above / (wrong * (len(errors) - wrong))
