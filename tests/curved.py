"""Energies with published minimisers, for descents that use their curvature."""

from typing import Any

import torch

from irem_core import EnergyFn, GradientNorm, Problem, Solution, VectorSpace, minimize


class Given(EnergyFn):
    """A function of y, of which calls are counted."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function
        self.calls = 0

    def energy(self, context: Any, y: Any) -> Any:
        self.calls += 1
        return self.function(y)


def rosenbrock(y: Any) -> Any:
    """Rosenbrock (1960), in any dimension; its minimiser is all ones."""
    return (100 * (y[:, 1:] - y[:, :-1] ** 2) ** 2 + (1 - y[:, :-1]) ** 2).sum(1)


def beale(y: Any) -> Any:
    """Beale (1958); its minimiser is (3, 0.5)."""
    a, b = y.unbind(1)
    powers = ((1.5, b), (2.25, b**2), (2.625, b**3))
    return sum((c - a + a * power) ** 2 for c, power in powers)


def valley(y: Any) -> Any:
    """A quadratic of condition 1,000 whose minimiser is all ones."""
    curvature = torch.logspace(0, 3, y.shape[1], dtype=y.dtype)
    return (curvature * (y - 1) ** 2).sum(1) / 2


def descend(
    function: Any,
    start: Any,
    descent: Any,
    *,
    tolerance: float = 1e-9,
    max_steps: int = 500,
    low: Any = None,
    high: Any = None,
) -> Solution:
    """Descend until the gradient is small."""
    start = torch.as_tensor(start)
    bounded = low is not None or high is not None
    space = VectorSpace(start.shape[1], low=low, high=high) if bounded else None
    return minimize(
        function if isinstance(function, EnergyFn) else Given(function),
        Problem(torch.zeros(len(start), 1, dtype=start.dtype), space),
        start=start,
        descent=descent,
        halting=GradientNorm(tolerance=tolerance),
        max_steps=max_steps,
    )
