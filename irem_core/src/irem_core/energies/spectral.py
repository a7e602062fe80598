"""An energy of singular values, for matrices of which some entries are shown."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from irem_core import checks
from irem_core.energies.base import EnergyFn
from irem_core.energies.scaled import SMOOTH, scaled
from irem_core.errors import SettingError
from irem_core.part import Preset
from irem_core.problems.iterate import Iterate
from irem_core.problems.problem import Problem
from irem_core.problems.space import MatrixSpace, Space

# Squares of singular values between which the widths of the terms begin, evenly in logarithm.
_LOG_WIDTHS = (math.log(0.01), math.log(10.0))
_LOG_WEIGHT = -3.0
_LOG_RIDGE = -4.0


class SpectralEnergy(EnergyFn):
    """E(x, y) = sum over shown ij of (y_ij - x_ij)^2 / 2 + s p(Y), with Y = x where shown, else y.

    Entries of x that are 0 are hidden, the others are shown and right. With s_k the singular values
    of Y,

        p(Y) = sum_k [r / 2 s_k^2 + sum_m a_m e_m / 2 log(1 + s_k^2 / e_m)],

    whose gradient pulls on singular values below sqrt(e_m) by a_m, and on those above by less and
    less: matrices of low rank are low. It is a prior in the form that the marginal likelihood of a
    low-rank matrix with noise has; what is learned are its s, r, a_m and e_m, all positive, a dozen
    numbers, which serve any height and width. The logarithms are computed as determinants, by
    Cholesky's factorisation, so that no derivative depends on gaps between singular values.
    Candidates start at the question.

    Args:
        question: space of x, matrices.
        answer: space of y, of the same shape.
        terms: number of logarithms m.

    Raises:
        SettingError: the spaces are not matrices of one shape, or a number is out of range.
    """

    size_free = True
    exacting = True

    def __init__(self, question: Space, answer: Space, *, terms: int = 4) -> None:
        """Spread the widths over singular values that may occur."""
        super().__init__()
        checks.check(checks.count, "SpectralEnergy", terms=terms)
        if not isinstance(question, MatrixSpace) or question.shape != answer.shape:
            raise SettingError(
                f"SpectralEnergy got question={question!r} and answer={answer!r}; expected two "
                "MatrixSpaces of one shape."
            )
        self.question = question
        self.answer = answer
        self.log_widths = nn.Parameter(torch.linspace(*_LOG_WIDTHS, terms))
        self.log_weights = nn.Parameter(torch.full((terms,), _LOG_WEIGHT))
        self.log_ridge = nn.Parameter(torch.tensor(_LOG_RIDGE))
        self.log_scale = nn.Parameter(torch.zeros(()))

    @classmethod
    def preset(cls, question: Space, answer: Space) -> Preset:
        """Return this library's settings for smooth energies that learn their own scale."""
        return scaled(answer, solver=SMOOTH)

    def energy(
        self,
        context: Float[Tensor, "problems height width"],
        y: Float[Tensor, "problems height width"],
    ) -> Float[Tensor, " problems"]:
        """Return the energies `(B,)`; the context is x itself."""
        shown = context != 0
        misfit = torch.where(shown, y - context, 0.0).square().sum((1, 2)) / 2
        filled = torch.where(shown, context, y)
        return misfit + self.log_scale.exp() * self._prior(filled)

    def _prior(self, filled: Float[Tensor, "problems height width"]) -> Float[Tensor, " problems"]:
        short = filled if filled.shape[1] <= filled.shape[2] else filled.mT
        gram = (short @ short.mT)[:, None]
        eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
        widths, weights = self.log_widths.exp(), self.log_weights.exp()
        factors = torch.linalg.cholesky(eye + gram / widths[:, None, None])
        # Half the logarithm of a determinant.
        logarithms = factors.diagonal(dim1=2, dim2=3).log().sum(2)
        ridge: Tensor = self.log_ridge.exp() / 2 * filled.square().sum((1, 2))
        terms: Tensor = logarithms @ (weights * widths)
        return ridge + terms

    def start(self, problem: Problem, generator: torch.Generator) -> Iterate:
        """Start at the question itself, hidden entries at zero."""
        return Iterate(problem.x.detach().clone(), problem.layout)
