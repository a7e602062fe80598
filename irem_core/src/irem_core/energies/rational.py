"""An energy that checks rational functions of a square matrix, such as its inverse, by products."""

from __future__ import annotations

from typing import Any, Self

import attrs
import torch
from jaxtyping import Float
from torch import Tensor, nn

from irem_core import checks
from irem_core.energies.base import EnergyFn
from irem_core.energies.scaled import SMOOTH, scaled
from irem_core.errors import SettingError
from irem_core.part import Preset, Source
from irem_core.problems.problem import Problem
from irem_core.problems.space import MatrixSpace, Space

# Training problems that a task is judged by.
_SHOWN = 256


@attrs.frozen(eq=False)
class _Polynomials:
    """What is known of a question.

    Args:
        denominator: q(x), `(B, n, n)`.
        numerator: p(x), likewise.
    """

    denominator: Float[Tensor, "problems n n"]
    numerator: Float[Tensor, "problems n n"]


class RationalEnergy(EnergyFn):
    """E(x, y) = scale / 2 sum_ij r_ij^2, where r = q(x) y - p(x) has learned polynomials q and p.

    With c the eighth root of tr((x x^T)^4), which is at least the largest singular value of x and
    at most n^(1/8) times that,

        q(x) = sum_k q_k t_k(x / c),  p(x) = (c / reference)^g sum_k p_k t_k(x / c),

    with polynomials t_k of degree k; the exponent g is learned too. Where q(x) is regular
    the only minimum is y = q(x)^-1 p(x), a rational function of x: to find it takes a solve, to
    check it takes a product. So that descent arrives in few steps, training has q^T q close to a
    multiple of 1 wherever it can, and leaves p to match; there q is a preconditioner. That the
    answer is a function of the matrix x is given, not learned, and so is that it does not depend
    on the basis. What is learned are some thirty numbers, which serve any size.

    Args:
        question: space of x, square matrices.
        answer: space of y, of the same shape.
        degree: of the polynomials, at least 1.
        spectrum: what is known of x: "positive", that it is symmetric with eigenvalues of 0 and
            more, "real", that it is symmetric, or "any", nothing. t_k(x / c) is T_k(2 x / c - 1) by
            Chebyshev's polynomial, T_k(x / c), or the power (x / c)^k, each of which is bounded
            where eigenvalues then are. The less two of them have in common there the sooner they
            are learned: inverses in seconds from the first, and hardly from the second.
            `for_task` looks at the task.
        reference: a typical c, positive. `for_task` looks at the task.

    Raises:
        SettingError: the spaces are not square matrices of one shape, or a setting is out of range.
    """

    size_free = True
    exacting = True

    def __init__(
        self,
        question: Space,
        answer: Space,
        *,
        degree: int = 12,
        spectrum: str = "any",
        reference: float = 1.0,
    ) -> None:
        """Begin with q = 1 and p = 0."""
        super().__init__()
        checks.check(checks.count, "RationalEnergy", degree=degree)
        checks.check(checks.one_of(*_TERMS), "RationalEnergy", spectrum=spectrum)
        checks.check(checks.positive, "RationalEnergy", reference=reference)
        square = isinstance(question, MatrixSpace) and question.height == question.width
        if not square or question.shape != answer.shape:
            raise SettingError(
                f"RationalEnergy got question={question!r} and answer={answer!r}; expected two "
                "MatrixSpaces of one shape, as high as wide."
            )
        self.question = question
        self.answer = answer
        self.spectrum = spectrum
        self.reference = reference
        one = torch.zeros(degree + 1)
        one[0] = 1.0
        self.denominator = nn.Parameter(one)
        self.numerator = nn.Parameter(torch.zeros(degree + 1))
        self.exponent = nn.Parameter(torch.zeros(()))
        self.log_scale = nn.Parameter(torch.zeros(()))

    @classmethod
    def for_task(cls, task: Source, *, seed: int = 0, **settings: Any) -> Self:
        """Build the energy for a task, whose training problems say what x and c are like.

        Args:
            task: the task whose spaces give all shapes.
            seed: seed of the problems.
            settings: further constructor arguments.
        """
        return super().for_task(task, seed=seed, **{**_seen(task, seed), **settings})

    @classmethod
    def preset(cls, question: Space, answer: Space) -> Preset:
        """Return this library's settings for smooth energies that learn their own scale."""
        return scaled(answer, solver=SMOOTH)

    def encode(self, problem: Problem) -> _Polynomials:
        """Return q(x) and p(x)."""
        size = _size(problem.x)[:, None, None]
        terms = torch.stack(_TERMS[self.spectrum](problem.x / size, len(self.denominator)))
        denominator, numerator = (
            torch.einsum("k,kbij->bij", weights, terms)
            for weights in (self.denominator, self.numerator)
        )
        return _Polynomials(denominator, (size / self.reference) ** self.exponent * numerator)

    def energy(
        self, context: _Polynomials, y: Float[Tensor, "problems n n"]
    ) -> Float[Tensor, " problems"]:
        """Return the energies `(B,)`."""
        return self.log_scale.exp() / 2 * _misfit(context, y).square().sum((1, 2))

    def residuals(
        self, context: _Polynomials, y: Float[Tensor, "problems n n"]
    ) -> Float[Tensor, "problems n n"]:
        """Return q(x) y - p(x), scaled."""
        return (self.log_scale.exp() / 2).sqrt() * _misfit(context, y)


def _misfit(context: _Polynomials, y: Float[Tensor, "problems n n"]) -> Tensor:
    return context.denominator @ y - context.numerator


def _seen(task: Source, seed: int) -> dict[str, Any]:
    """Return the settings that a task's training problems suggest."""
    space = task.question
    if not isinstance(space, MatrixSpace) or space.height != space.width:
        return {}
    problem, _ = task.sample(_SHOWN, generator=torch.Generator().manual_seed(seed))
    x = problem.x.double()
    size = _size(x)
    rounding = torch.finfo(problem.x.dtype).eps * size * x.shape[1]
    if ((x - x.mT).abs().amax((1, 2)) > rounding).any():
        spectrum = "any"
    else:
        least = torch.linalg.eigvalsh(x)[:, 0]
        spectrum = "positive" if (least >= -rounding).all() else "real"
    return {"spectrum": spectrum, "reference": float(size.log().mean().exp())}


def _size(x: Float[Tensor, "problems n n"]) -> Float[Tensor, " problems"]:
    """Return Schatten's norm of order 8, by products alone; 1 for a matrix of zeros."""
    # Divided first, since the eighth power of a large number is out of range.
    length = torch.linalg.matrix_norm(x)
    length = torch.where(length > 0, length, 1.0)
    unit = x / length[:, None, None]
    gram = unit @ unit.mT
    eighth = (gram @ gram).square().sum((1, 2))
    return length * torch.where(eighth > 0, eighth, 1.0).pow(1 / 8)


def _powers(x: Float[Tensor, "problems n n"], count: int) -> list[Tensor]:
    """Return 1, x, x^2, ..."""
    terms = [_eye_like(x)]
    while len(terms) < count:
        terms.append(x @ terms[-1])
    return terms


def _chebyshev(x: Float[Tensor, "problems n n"], count: int) -> list[Tensor]:
    """Return T_0(x), T_1(x), ... by their recurrence."""
    terms = [_eye_like(x), x]
    while len(terms) < count:
        terms.append(2 * x @ terms[-1] - terms[-2])
    return terms


def _shifted(x: Float[Tensor, "problems n n"], count: int) -> list[Tensor]:
    """Return T_0(2 x - 1), T_1(2 x - 1), ..."""
    return _chebyshev(2 * x - _eye_like(x), count)


def _eye_like(x: Float[Tensor, "problems n n"]) -> Float[Tensor, "problems n n"]:
    return torch.eye(x.shape[-1], dtype=x.dtype, device=x.device).expand_as(x)


_TERMS = {"positive": _shifted, "real": _chebyshev, "any": _powers}
