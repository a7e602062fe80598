"""The energy of a formula: an `EnergyFn` that is written, not learned."""

from __future__ import annotations

from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from irem_core import EnergyFn, Iterate, Problem, ShapeError
from irem_tasks.sat.clauses import formulas, places


class SatEnergy(EnergyFn):
    """E(x, y) = sum over clauses of (prod over literals of (1 - l))^2 (Section 3.3, relaxed).

    l is y_v for the literal v and 1 - y_v for -v. On {0, 1} a clause contributes the paper's e_k:
    0 where y satisfies it and 1 where it does not. On all real y the energy is at least 0, and it
    is 0 where every clause has a literal that is exactly true, and only there (but for products
    too small for floating point). It is smooth, so that descent reaches y from anywhere.
    """

    def encode(self, problem: Problem) -> dict[str, Tensor]:
        """Write 1 - l as `offset + slope * y[place]`, each `(B, clauses, width)`.

        Raises:
            ShapeError: x is no batch of formulas, or names variables that the answers lack.
        """
        literals = formulas(problem.x, self.variables(problem))
        # 1 - l is 1 where a clause has no further literal, and 0 where there is no clause.
        offset = (literals >= 0) & literals.any(2, keepdim=True)
        return {
            "place": places(literals),
            "offset": offset.to(problem.dtype),
            "slope": -literals.sign().to(problem.dtype),
        }

    def energy(
        self, context: dict[str, Tensor], y: Float[Tensor, "problems variables"]
    ) -> Float[Tensor, " problems"]:
        """Add up the squared products of each formula."""
        place = context["place"]
        of_literal = y.gather(1, place.flatten(1)).view_as(place)
        untrue = context["offset"] + context["slope"] * of_literal
        return reduce(torch.mul, untrue.unbind(2)).square().sum(1)

    def variables(self, problem: Problem) -> int:
        """Return how many variables the formulas of a problem have.

        Raises:
            ShapeError: the problem's answer space is not known.
        """
        if problem.answer is None:
            raise ShapeError(
                "No answer space is known, which tells how many variables the formulas have; give "
                "the Problem one, such as VectorSpace(50, low=0.0, high=1.0)."
            )
        return problem.answer.size

    def start(self, problem: Problem, generator: torch.Generator) -> Iterate:
        """Draw a start from U(0, 1).

        Raises:
            ShapeError: the problem's answer space is not known.
        """
        y = torch.rand(
            (problem.layout.count, self.variables(problem)),
            generator=generator,
            device=problem.device,
            dtype=problem.dtype,
        )
        return Iterate(y, problem.layout)
