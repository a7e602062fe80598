"""A zoo of published test problems whose minimisers are known.

from irem_core.testing.zoo import ZOO

problem, start = ZOO["rosenbrock"].batch(100)
minimize(ZOO["rosenbrock"].energy, problem, start=start, descent=...)
"""

from irem_core.testing.zoo.batches import (
    BATCHES,
    Bowl,
    DoubleWell,
    EdgeQuadratic,
    KnownBatch,
    Quadratic,
    ScratchpadQuadratic,
)
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
    "BATCHES",
    "ZOO",
    "Bowl",
    "DoubleWell",
    "EdgeQuadratic",
    "FunctionEnergy",
    "KnownBatch",
    "KnownProblem",
    "Quadratic",
    "ResidualsEnergy",
    "ScratchpadQuadratic",
    "SquaresEnergy",
    "Watched",
    "steepness",
    "watch",
]
