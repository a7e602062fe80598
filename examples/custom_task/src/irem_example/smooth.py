"""A task: find the smooth vector nearest to a rough one."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from irem_core import Problem, SettingError, Task, VectorSpace


class Smooth(Task):
    """y minimises the squared distance to x plus the squared differences of its neighbours.

    That y solves a tridiagonal system. Entries of x are uniform on (-scale, scale): 1 in training
    and on "same", 2.5 on "harder".

    Args:
        size: entries of x and of y.
    """

    difficulties: ClassVar = {"train": {}, "same": {}, "harder": {"scale": 2.5}}

    def __init__(self, size: int = 32) -> None:
        """Set the spaces."""
        self.question = VectorSpace(size)
        self.answer = VectorSpace(size)

    def draw(
        self,
        count: int,
        generator: torch.Generator,
        device: torch.device,
        *,
        scale: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """Draw x and solve the system; keyword-only parameters are the difficulty's."""
        if scale <= 0:
            raise SettingError(f"The difficulty parameter scale got {scale}; expected above 0.")
        x = torch.empty(count, *self.question.shape, device=device)
        x.uniform_(-scale, scale, generator=generator)
        differences = torch.eye(self.answer.size, device=device).diff(dim=0)
        system = torch.eye(self.answer.size, device=device) + differences.T @ differences
        return x, torch.linalg.solve(system, x.T).T

    def oracle(self, problem: Problem) -> Tensor:
        """Return the exact answers by elimination, independently of `draw`."""
        pivots: list[float] = []
        reduced: list[Tensor] = []
        last = self.answer.size - 1
        for index, row in enumerate(problem.x.double().unbind(1)):
            diagonal = 3.0 - (index == 0) - (index == last)
            reduced.append(row + reduced[-1] / pivots[-1] if index else row)
            pivots.append(diagonal - 1 / pivots[-1] if index else diagonal)
        answer: list[Tensor] = []
        for pivot, row in zip(reversed(pivots), reversed(reduced), strict=True):
            answer.append((row + answer[-1] if answer else row) / pivot)
        return torch.stack(answer[::-1], 1).to(problem.x.dtype)

    def own_input(self, problem: Problem) -> Tensor:
        """Return each entry's own rough value, `(B, size, 1)`, for the floors."""
        x: Tensor = problem.x
        return x[..., None]
