"""A zoo of published test problems whose minimisers are known.

from irem_core.testing.zoo import ZOO

problem, start = ZOO["rosenbrock"].batch(100)
minimize(ZOO["rosenbrock"].energy, problem, start=start, descent=...)
"""

from irem_core.testing.zoo.functions import FUNCTIONS
from irem_core.testing.zoo.known import (
    FunctionEnergy,
    KnownProblem,
    ResidualsEnergy,
    SquaresEnergy,
)
from irem_core.testing.zoo.residuals import LEAST_SQUARES
from irem_core.testing.zoo.watching import Watched, steepness, watch

ZOO: dict[str, KnownProblem] = {each.name: each for each in (*LEAST_SQUARES, *FUNCTIONS)}
"""The problems by name."""

__all__ = [
    "ZOO",
    "FunctionEnergy",
    "KnownProblem",
    "ResidualsEnergy",
    "SquaresEnergy",
    "Watched",
    "steepness",
    "watch",
]
