"""Reliability: whether answers are as wrong as their energies say, and which may be trusted."""

from __future__ import annotations

import math
from typing import Any

import attrs
from jaxtyping import Bool, Float
from torch import Tensor

from irem_core import checks

_BINS = 10


@attrs.frozen(kw_only=True)
class ReliabilityBin:
    """Problems whose answers are expected to be about as wrong as each other.

    Args:
        problems: how many.
        expected: their mean expected squared error.
        real: their mean squared error.
    """

    problems: int
    expected: float
    real: float

    @property
    def ratio(self) -> float | None:
        """Real over expected: 1 where energies say the truth, more where they are too sure.

        None where no error is expected.
        """
        return self.real / self.expected if self.expected > 0 else None


@attrs.frozen(eq=False, kw_only=True)
class Reliability:
    """Expected errors (`Solver.expected_error`) beside the real ones.

    Args:
        expected: `(problems,)` the expected mean squared error of each answer.
        real: `(problems,)` its mean squared error, in the same unit.
        relative: whether errors of entries count in the spreads of these (`Solver.error_spread`),
            rather than in the units of answers.
    """

    expected: Float[Tensor, " problems"]
    real: Float[Tensor, " problems"]
    relative: bool = False

    def bins(self, count: int = _BINS) -> list[ReliabilityBin]:
        """Return bins of equally many problems, up to one, by rising expected error.

        Problems of which no error is known, as of NONFINITE answers, are left out.

        Args:
            count: how many bins, at least 1; fewer for fewer problems.
        """
        checks.check(checks.count, "Reliability", bins=count)
        known = self.expected.isfinite() & self.real.isfinite()
        expected, real = self.expected[known].double(), self.real[known].double()
        order = expected.argsort(stable=True)
        parts = order.tensor_split(min(count, len(order))) if len(order) else ()
        return [
            ReliabilityBin(
                problems=len(rows),
                expected=float(expected[rows].mean()),
                real=float(real[rows].mean()),
            )
            for rows in parts
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the bins as plain values for JSON."""
        bins = [{**attrs.asdict(each), "ratio": each.ratio} for each in self.bins()]
        return {"relative": self.relative, "bins": bins}


@attrs.frozen(eq=False, kw_only=True)
class Trust:
    """Which answers may be trusted (`Solver.trust`), and how wrong these and the others are.

    Args:
        error: the mean squared error that they are trusted not to exceed, on average.
        trusted: `(problems,)` which may be.
        real: `(problems,)` the mean squared error of each answer, in the unit of `error`.
    """

    error: float
    trusted: Bool[Tensor, " problems"]
    real: Float[Tensor, " problems"]

    @property
    def share(self) -> float:
        """The share of the answers that may be trusted."""
        return float(self.trusted.double().mean())

    @property
    def error_trusted(self) -> float | None:
        """The mean squared error of those that may be trusted; None where there are none."""
        return _mean(self.real[self.trusted])

    @property
    def error_others(self) -> float | None:
        """The mean squared error of the others; None where there are none."""
        return _mean(self.real[~self.trusted])

    def to_dict(self) -> dict[str, Any]:
        """Return what it comes to as plain values for JSON."""
        return {
            "error": self.error,
            "share": self.share,
            "error_trusted": self.error_trusted,
            "error_others": self.error_others,
        }


def _mean(values: Float[Tensor, " some"]) -> float | None:
    mean = float(values.double().mean()) if len(values) else math.nan
    return None if math.isnan(mean) else mean
