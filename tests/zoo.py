"""A zoo of problems whose minimisers are known, and ways to descend them."""

from typing import Any

import attrs
import torch

from irem_core import (
    LBFGS,
    Adam,
    AllOf,
    Anderson,
    AnyOf,
    Backtracking,
    BarzilaiBorwein,
    EnergyFn,
    EnergyPlateau,
    FixedSteps,
    GradientDescent,
    GradientNorm,
    Iterate,
    Momentum,
    Nesterov,
    NewtonCG,
    Problem,
    ScratchpadEnergy,
)

DESCENTS = {
    "gradient": GradientDescent(step_size=0.6),
    "momentum": Momentum(step_size=0.5, momentum=0.2),
    "nesterov": Nesterov(step_size=0.5, momentum=0.2),
    "adam": Adam(step_size=0.2, decay=0.5, square_decay=0.99),
    "barzilai-borwein": BarzilaiBorwein(),
    "backtracking": Backtracking(decrease=0.4),
    "lbfgs": LBFGS(),
    "newton-cg": NewtonCG(),
    "anderson": Anderson(),
}
HALTINGS = {
    "fixed-steps": FixedSteps(steps=20),
    "energy-plateau": EnergyPlateau(tolerance=1e-5, patience=3),
    "gradient-norm": GradientNorm(tolerance=1e-2),
    "any-of": AnyOf(GradientNorm(tolerance=1e-2), FixedSteps(steps=150)),
    "all-of": AllOf(GradientNorm(tolerance=1e-2), FixedSteps(steps=12)),
}


class Quadratic(EnergyFn):
    """E = |y - x|^2 / 2: curvature 1 and its minimum at x."""

    def energy(self, context: Any, y: Any) -> Any:
        return (y - context).square().flatten(1).sum(1) / 2


class Bowl(EnergyFn):
    """E = sum c (y - m)^2 / 2, where x holds each problem's curvatures c and minimiser m."""

    def energy(self, context: Any, y: Any) -> Any:
        return (context["curvature"] * (y - context["center"]).square()).sum(1) / 2


class DoubleWell(EnergyFn):
    """E = sum (y^2 - x^2)^2 / (8 x^2): two minima an entry, at -x and x, of curvature 1."""

    def energy(self, context: Any, y: Any) -> Any:
        return ((y.square() - context.square()).square() / (8 * context.square())).sum(1)


class EdgeQuadratic(EnergyFn):
    """E = sum over a graph's edges of c |y - x|^2 / 2, where c grows with the graph's edges."""

    def encode(self, problem: Problem) -> Any:
        counts = torch.bincount(problem.layout.owner)
        return {"x": problem.x, "curvature": 1 / counts, "layout": problem.layout}

    def energy(self, context: Any, y: Any) -> Any:
        owner = context["layout"].owner
        per_row = (y - context["x"]).square().sum(1) / 2
        sums = per_row.new_zeros(context["curvature"].shape[0]).index_add(0, owner, per_row)
        return (0.5 + context["curvature"]) * sums


class ScratchpadQuadratic(ScratchpadEnergy):
    """E = |y - (z + x) / 2|^2 / 2 + 3 |z - x|^2 / 8: y reaches x only where z does.

    The second derivatives are 1 in y and z, and -1/2 between them.
    """

    def __init__(self, scratchpad: int = 3) -> None:
        super().__init__()
        self.scratchpad = scratchpad

    def energy(self, context: Any, y: Any, z: Any) -> Any:
        along_y = (y - (z + context) / 2).square().sum(1)
        return along_y / 2 + 3 * (z - context).square().sum(1) / 8


@attrs.frozen(eq=False, kw_only=True)
class Animal:
    """A batch of problems with a start each; `wells` holds the minimiser, up to sign if `mirror`.

    Args:
        rows: the answer rows of each problem, where answers are ragged.
    """

    energy: Any
    x: Any
    start: Any
    wells: Any
    z: Any = None
    rows: Any = None
    mirror: bool = False

    @property
    def count(self) -> int:
        return len(self.rows or self.start)

    def arguments(self, dtype: Any = torch.float64) -> dict[str, Any]:
        """Return energy, x and start of the whole batch for `minimize`."""
        owner = None
        if self.rows is not None:
            owner = torch.tensor([n for n, rows in enumerate(self.rows) for _ in range(rows)])
        x = self._converted(self.x, lambda leaf: leaf.to(dtype))
        problem = Problem(x, owner=owner)
        z = None if self.z is None else self.z.to(dtype)
        return {
            "energy": self.energy,
            "x": problem,
            "start": Iterate(self.start.to(dtype), problem.layout, z),
        }

    def single(self, index: int) -> "Animal":
        """Return one of the problems, cut out by plain slices."""
        here = slice(index, index + 1)
        if self.rows is not None:
            first = sum(self.rows[:index])
            here = slice(first, first + self.rows[index])
        return attrs.evolve(
            self,
            x=self._converted(self.x, lambda leaf: leaf[here]),
            start=self.start[here],
            wells=self.wells[here],
            z=None if self.z is None else self.z[here],
            rows=None if self.rows is None else self.rows[index : index + 1],
        )

    def distance(self, y: Any) -> float:
        """Return how far the answers are from the minimisers, in the worst entry."""
        reached = y.abs() if self.mirror else y
        return float((reached - self.wells).abs().max())

    @staticmethod
    def _converted(x: Any, function: Any) -> Any:
        if isinstance(x, dict):
            return {name: function(leaf) for name, leaf in x.items()}
        return function(x)


def _uniform(*shape: int, low: float = -1.0, high: float = 1.0, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(shape, generator=generator, dtype=torch.float64)
    return low + (high - low) * drawn


def _bowl() -> Animal:
    center = _uniform(4, 3, seed=1)
    x = {"center": center, "curvature": _uniform(4, 3, low=0.7, high=2.0, seed=2)}
    return Animal(energy=Bowl(), x=x, start=_uniform(4, 3), wells=center)


def _edges() -> Animal:
    x = _uniform(7, 2, seed=1)
    return Animal(energy=EdgeQuadratic(), x=x, start=_uniform(7, 2), wells=x, rows=(1, 3, 1, 2))


def zoo() -> dict[str, Animal]:
    plain, wells = _uniform(4, 3, seed=1), _uniform(4, 3, low=0.8, high=1.2, seed=1)
    return {
        "quadratic": Animal(energy=Quadratic(), x=plain, start=_uniform(4, 3), wells=plain),
        "bowl": _bowl(),
        "double-well": Animal(
            energy=DoubleWell(), x=wells, start=_uniform(4, 3), wells=wells, mirror=True
        ),
        "ragged": _edges(),
        "scratchpad": Animal(
            energy=ScratchpadQuadratic(),
            x=plain,
            start=_uniform(4, 3),
            wells=plain,
            z=_uniform(4, 3, seed=3),
        ),
    }


ZOO = zoo()
