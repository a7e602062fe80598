"""Recursive composition: `compose(alg, k)` applies a solver or function k times (Section 4.4)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from irem_core import checks
from irem_core.errors import SettingError, ShapeError
from irem_core.problems.layout import Layout
from irem_core.solvers.base import Solver
from irem_core.solving.outcome import ARRIVED
from irem_core.solving.solution import Solution, total

Join = Callable[..., Any]


def concatenate(*operands: Tensor) -> Tensor:
    """Join operands end to end along their last dimension, as the addition task writes its x."""
    return torch.cat(operands, -1)


def compose(alg: Solver | Callable[..., Any], k: int, *, join: Join | None = None) -> Composition:
    """Compose an algorithm with itself: y_i = alg(y_{i-1}, operand_i) for i = 1 ... k (Eq. 7).

    A binary alg takes k + 1 operands, the first of which is y_0; a unary one takes one. In general
    an alg of m operands takes k (m - 1) + 1: the first application takes m of them, and every later
    one the previous answer and the next m - 1. Compositions compose.

    Args:
        alg: a solver, a composition, or a function. Solvers get their operands joined to one x. So
            do functions of one argument, while those of several get the operands apart.
        k: how often to apply it, at least 1.
        join: makes x of the operands of one application; concatenation along the last dimension by
            default. Where it is given, functions get x too.

    Returns:
        A callable: `composed(*operands)` returns the answer, `composed.solve(operands)` the
        solution with those of all applications.

    Raises:
        SettingError: k is below 1, or `alg` is neither a solver nor callable.
    """
    return Composition(alg, k, join=join)


class Composition:
    """What `compose` returns.

    Args:
        alg: the algorithm.
        k: how often it is applied.
        join: how operands become x, or None for the default.
    """

    def __init__(
        self, alg: Solver | Callable[..., Any], k: int, *, join: Join | None = None
    ) -> None:
        """Check the arguments."""
        checks.check(checks.count, "compose", k=k)
        if not callable(alg):
            raise SettingError(f"compose got alg={alg!r}; expected a solver or a function.")
        self.alg = alg
        self.k = k
        self.join = join

    def __call__(self, *operands: Any) -> Any:
        """Return the answer of the last application.

        Args:
            operands: tensors that lead with problems `(B, ...)`; k (m - 1) + 1 of them.

        Raises:
            SettingError: no number of operands per application fits.
        """
        return self._fold(operands, self._answer)

    def solve(self, operands: Sequence[Any], **options: Any) -> Solution:
        """Return the solution of the last application, with those of all in `parts`.

        Steps, energy evaluations and products are totals over the applications, each of which
        halts by itself; a problem has converged where every application did.

        Args:
            operands: as in a call.
            options: passed to every application's `solve`.

        Raises:
            SettingError: no number of operands per application fits.
            ShapeError: the algorithm is a function and returned something other than a tensor.
        """
        parts: list[Solution] = []

        def apply(arguments: tuple[Any, ...]) -> Tensor:
            part = self._solution(arguments, options)
            parts.append(part)
            return part.y

        self._fold(tuple(operands), apply)
        last = parts[-1]
        stacked = torch.stack([part.outcome for part in parts])
        # The first application that fell short tells how the whole went.
        bad = torch.isin(stacked, torch.tensor(ARRIVED, device=stacked.device), invert=True)
        first = torch.where(bad.any(0), bad.int().argmax(0), len(parts) - 1)
        return Solution(
            y=last.y,
            last=last.last,
            energy=last.energy,
            steps=torch.stack([part.steps for part in parts]).sum(0),
            evaluations=torch.stack([part.evaluations for part in parts]).sum(0),
            outcome=stacked.gather(0, first[None])[0],
            layout=last.layout,
            products=total([part.products for part in parts]),
            z=last.z,
            trace=last.trace,
            parts=tuple(parts),
        )

    def arity(self, operands: int) -> int:
        """Return m, the operands of one application, given the number of all operands.

        Raises:
            SettingError: no m fits.
        """
        further, rest = divmod(operands - 1, self.k)
        if rest or operands < 1:
            raise SettingError(
                f"compose(alg, {self.k}) got {operands} operands; expected 1 for an algorithm of "
                f"one operand, {self.k + 1} for one of two, or {self.k} (m - 1) + 1 for one of m."
            )
        return 1 + further

    def _fold(self, operands: tuple[Any, ...], apply: Callable[[tuple[Any, ...]], Any]) -> Any:
        further = self.arity(len(operands)) - 1
        answer, rest = operands[0], operands[1:]
        for application in range(self.k):
            answer = apply((answer, *rest[application * further : (application + 1) * further]))
        return answer

    def _x(self, arguments: tuple[Any, ...]) -> Any:
        if self.join is not None:
            return self.join(*arguments)
        return arguments[0] if len(arguments) == 1 else concatenate(*arguments)

    def _answer(self, arguments: tuple[Any, ...]) -> Any:
        if isinstance(self.alg, Solver):
            return self.alg.solve(self._x(arguments)).y
        if isinstance(self.alg, Composition) and self.join is None:
            return self.alg(*arguments)
        if self.join is None and _takes(self.alg, len(arguments)):
            return self.alg(*arguments)
        return self.alg(self._x(arguments))

    def _solution(self, arguments: tuple[Any, ...], options: dict[str, Any]) -> Solution:
        if isinstance(self.alg, Solver):
            return self.alg.solve(self._x(arguments), **options)
        if isinstance(self.alg, Composition) and self.join is None:
            return self.alg.solve(arguments, **options)
        answer = self._answer(arguments)
        if not isinstance(answer, Tensor) or not answer.ndim:
            raise ShapeError(
                f"The composed function returned {type(answer).__name__}; expected a tensor that "
                "leads with problems."
            )
        return Solution.answered(answer, Layout(answer.shape[0]))


def _takes(function: Callable[..., Any], operands: int) -> bool:
    """Say whether a function can be called with so many operands apart."""
    try:
        inspect.signature(function).bind(*range(operands))
    except TypeError:
        return False
    except ValueError:
        # Built-in functions of torch have no signature; they take their operands apart.
        return True
    return True
