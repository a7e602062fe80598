"""Tasks whose questions have several right answers."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from irem_core import Problem, SettingError, VectorSpace
from irem_tasks._common import uniform
from irem_tasks._declared import DenseTask, Positive

# Residuals below this share of the scale hold.
_HOLDS = 1e-3
# Steps of Gauss and Newton to an answer near a candidate, and by how much they are damped.
_STEPS, _DAMPED = 30, 1e-4


class Roots(DenseTask):
    """Find a root of a polynomial: x has its coefficients, and y is any one of its real roots.

    The polynomial is y^n + x_{n-1} y^{n-1} + ... + x_0 with n real roots, uniform on
    (-scale, scale): 1 in training and on "same", 1.25 on "harder". The answer that is drawn is one
    of them, each as likely, so that the mean of the answers to a question is no answer.

    An answer holds if the polynomial is there less than a thousandth of its scale,
    ``|y|^n + sum_i |x_i| |y|^i``.

    Args:
        degree: n, at least 2.

    Raises:
        SettingError: the degree is less.
    """

    difficulties: ClassVar = {"train": {}, "same": {}, "harder": {"scale": 1.25}}

    def __init__(self, degree: int = 3) -> None:
        """Set the spaces."""
        if not isinstance(degree, int) or degree < 2:
            raise SettingError(
                f"Roots got degree={degree!r}; expected a whole number of at least 2."
            )
        self.degree = degree
        self.question = VectorSpace(degree)
        self.answer = VectorSpace(1)

    def generate(
        self, count: int, generator: torch.Generator, *, scale: Positive = 1.0
    ) -> tuple[Tensor, Float[Tensor, "problems 1"]]:
        """Draw x `(count, degree)`, the constant first, and y `(count, 1)`."""
        roots = uniform((count, self.degree), -scale, scale, generator)
        coefficients = torch.ones_like(roots[:, :1])
        for root in roots.unbind(1):
            # Multiplied by y less the root.
            up = torch.nn.functional.pad(coefficients, (1, 0))
            coefficients = up - root[:, None] * torch.nn.functional.pad(coefficients, (0, 1))
        chosen = torch.randint(
            self.degree, (count, 1), generator=generator, device=generator.device
        )
        return coefficients[:, :-1], roots.gather(1, chosen)

    def roots(self, problem: Problem) -> Float[Tensor, "problems degree"]:
        """Return all roots, by the eigenvalues of the companion matrix, in double precision."""
        x = problem.x.double()
        matrix = torch.diag_embed(torch.ones_like(x[:, 1:]), -1)
        matrix[:, :, -1] = -x
        found: Tensor = torch.linalg.eigvals(matrix).real
        return found

    def oracle(self, problem: Problem) -> Tensor:
        """Return the largest root, by eigenvalues in double precision."""
        return self.roots(problem).amax(1, keepdim=True).to(problem.dtype)

    def verify(self, problem: Problem, y: Tensor) -> Bool[Tensor, " problems"]:
        """Say whether the polynomial is 0 there, to a thousandth of its scale."""
        powers = y.double() ** torch.arange(self.degree + 1, device=y.device)
        terms = torch.nn.functional.pad(problem.x.double(), (0, 1), value=1.0) * powers
        return terms.sum(1).abs() < _HOLDS * terms.abs().sum(1)

    def nearest(self, problem: Problem, y: Tensor) -> Tensor:
        """Return the root that is nearest to y."""
        roots = self.roots(problem)
        place = (roots - y.double()).abs().argmin(1, keepdim=True)
        return roots.gather(1, place).to(y.dtype)


class InverseKinematics(DenseTask):
    """Bend an arm so that its hand is at a point: x is the point, y the angle of each joint.

    The arm lies in a plane and its links are 1 / n long each; an angle is that of a link to the one
    before, in units of half a turn, so that y is on (-1, 1). Points are those of angles uniform on
    (-bend, bend): 0.5 in training and on "same", 0.75 on "harder". Two links have two answers, the
    elbow on either side, and more have any number.

    An answer holds if the hand is within a thousandth of the arm's length of the point.

    Args:
        links: n, at least 2.

    Raises:
        SettingError: there are fewer.
    """

    difficulties: ClassVar = {"train": {}, "same": {}, "harder": {"bend": 0.75}}

    def __init__(self, links: int = 2) -> None:
        """Set the spaces."""
        if not isinstance(links, int) or links < 2:
            raise SettingError(
                f"InverseKinematics got links={links!r}; expected a whole number of at least 2."
            )
        self.links = links
        self.question = VectorSpace(2)
        self.answer = VectorSpace(links)

    def generate(
        self, count: int, generator: torch.Generator, *, bend: Positive = 0.5
    ) -> tuple[Float[Tensor, "problems 2"], Float[Tensor, "problems links"]]:
        """Draw points `(count, 2)` and angles `(count, links)`."""
        y = uniform((count, self.links), -bend, bend, generator)
        return self.hand(y), y

    def hand(self, y: Float[Tensor, "problems links"]) -> Float[Tensor, "problems 2"]:
        """Return where the hand is."""
        angles = math.pi * y.cumsum(1)
        return torch.stack([angles.cos().mean(1), angles.sin().mean(1)], 1)

    def oracle(self, problem: Problem) -> Tensor:
        """Return the answer nearest to a slightly bent arm, by geometry in double precision."""
        return self.nearest(problem, problem.x.new_full((len(problem.x), self.links), 0.25))

    def verify(self, problem: Problem, y: Tensor) -> Bool[Tensor, " problems"]:
        """Say whether the hand is at the point, to a thousandth of the arm's length."""
        away: Tensor = self.hand(y.double()) - problem.x.double()
        return away.square().sum(1) < _HOLDS**2

    def nearest(self, problem: Problem, y: Tensor) -> Tensor:
        """Return right angles near to y: of two links the nearer, of more where steps lead from y.

        Those are damped ones of Gauss and Newton, each the shortest that mends what is left. Angles
        count as they are: a whole turn more is another answer.
        """
        if self.links == 2:
            return self._nearer(problem.x.double(), y.double()).to(y.dtype)
        at = y.double()
        for _ in range(_STEPS):
            left = problem.x.double() - self.hand(at)
            slope = self._slope(at)
            normal = slope @ slope.mT + _DAMPED * torch.eye(2, dtype=at.dtype, device=at.device)
            step = slope.mT @ torch.linalg.solve(normal, left[:, :, None])
            # No joint by more than a tenth of a turn at a time.
            at = at + step[:, :, 0].clamp(-0.2, 0.2)
        return at.to(y.dtype)

    def _slope(self, y: Float[Tensor, "problems links"]) -> Float[Tensor, "problems 2 links"]:
        """Return the derivative of the hand in each angle, which turns all links after it."""
        angles = math.pi * y.cumsum(1)
        turned = math.pi / self.links * torch.stack([-angles.sin(), angles.cos()], 1)
        return turned.flip(2).cumsum(2).flip(2)

    def _nearer(self, point: Tensor, y: Tensor) -> Tensor:
        """Return the nearer of the two answers of two links, by the law of cosines."""
        reach = point.square().sum(1).clamp(max=1.0)
        elbow = torch.acos((2 * reach - 1).clamp(-1, 1))
        toward = torch.atan2(point[:, 1], point[:, 0])
        answers = []
        for bent in (elbow, -elbow):
            # Both links are as long, so the first lies half of the bend beside the point.
            angles = torch.stack([toward - bent / 2, bent], 1) / math.pi
            # The same direction, within half a turn of the candidate's.
            answers.append(angles + 2 * ((y - angles) / 2).round())
        away = torch.stack([(each - y).square().sum(1) for each in answers])
        closer = (away[0] <= away[1])[:, None]
        return torch.where(closer, answers[0], answers[1])
