"""Formulas in conjunctive normal form, as tensors of signed literals."""

from __future__ import annotations

from typing import Any

import attrs
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from irem_core import ShapeError, Space, VectorSpace, checks


@attrs.frozen(kw_only=True)
class ClauseSpace(Space):
    """Formulas: integer tensors `(B, clauses, width)` of literals.

    The literal v stands for the variable v, counting from 1, and -v for its negation. A clause that
    is shorter than the width is filled up with 0, which is no literal, and a formula of fewer
    clauses with rows of zeros, which are no clauses.

    Args:
        variables: how many variables there are.
        clauses: of a training problem; other problems may have more or fewer.
        width: literals of a clause of training; likewise.
    """

    variables: int = attrs.field(validator=checks.count)
    clauses: int = attrs.field(validator=checks.count)
    width: int = attrs.field(default=3, validator=checks.count)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape `(clauses, width)` of a training problem."""
        return (self.clauses, self.width)

    def check(self, name: str, value: Any, rows: int | None = None) -> None:
        """Check that a tensor is a batch of formulas on these variables, of any clauses.

        Raises:
            ShapeError: it is not, or it has not `rows` formulas.
        """
        formulas(value, self.variables, name)
        if rows is not None and value.shape[0] != rows:
            raise ShapeError(f"{name} holds {value.shape[0]} formulas; expected {rows}.")


def formulas(x: Any, variables: int, name: str = "x") -> Int[Tensor, "problems clauses width"]:
    """Return literals as torch.int64.

    Raises:
        ShapeError: x is no tensor `(B, clauses, width)` of whole numbers from -variables to
            variables.
    """
    expected = f"a tensor (B, clauses, width) of whole numbers from -{variables} to {variables}"
    if not isinstance(x, Tensor) or x.ndim != 3 or not x.shape[2] or x.is_complex():
        got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ShapeError(f"{name} is {got}; expected {expected}, the literals of each clause.")
    literals = x.to(torch.int64)
    if not bool(((literals == x) & (literals.abs() <= variables)).all()):
        raise ShapeError(
            f"{name} holds a literal that is no whole number or names no variable; expected "
            f"{expected}."
        )
    return literals


def assignments(variables: int) -> VectorSpace:
    """Return the space of the answers to formulas: a number from 0 to 1 for each variable."""
    return VectorSpace(variables, low=0.0, high=1.0)


def places(
    literals: Int[Tensor, "problems clauses width"],
) -> Int[Tensor, "problems clauses width"]:
    """Return the place in y of each literal's variable; 0 where there is no literal."""
    return (literals.abs() - 1).clamp(min=0)


def unsatisfied(
    literals: Int[Tensor, "problems clauses width"],
    y: Float[Tensor, "problems variables"],
) -> Bool[Tensor, "problems clauses"]:
    """Say which clauses have no true literal, by whole numbers alone.

    Args:
        literals: the clauses.
        y: the assignment, true where above 1/2.
    """
    true = (y > 0.5).gather(1, places(literals).flatten(1)).view_as(literals)
    holds = (literals != 0) & (true == (literals > 0))
    return literals.any(2) & ~holds.any(2)
