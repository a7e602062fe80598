"""Questions that tell at which level of noise candidates are, so that any energy can know it.

A level is an angle phi from 0 to pi / 2: candidates there are cos(phi) y + sin(phi) e, y a right
answer and e standard normal. It is told as further features of the question: of a vector or matrix
as a whole, of each pixel of an image, of each edge of a graph, of each entry and factor of a
factor graph.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from irem_core.errors import SettingError
from irem_core.part import Source
from irem_core.problems import factor_graphs, graphs
from irem_core.problems.factored import FactorSpace
from irem_core.problems.problem import Problem
from irem_core.problems.space import (
    EdgeSpace,
    ImageSpace,
    MatrixSpace,
    Space,
    VectorSpace,
    normal_like,
)

# Sines and cosines of the angle's multiples, which tell levels apart finely and evenly.
_MULTIPLES = (2.0, 4.0, 8.0)
FEATURES = 2 * len(_MULTIPLES)
"""Features that tell a level."""


def told_space(question: Space) -> Space:
    """Return the space of the questions of a space once they tell their level.

    Raises:
        SettingError: its questions cannot.
    """
    if isinstance(question, FactorSpace):
        return attrs.evolve(
            question,
            features=question.features + FEATURES,
            kinds=tuple((kind, width + FEATURES) for kind, width in question.kinds),
        )
    if isinstance(question, EdgeSpace):
        return EdgeSpace(question.channels + FEATURES, complete=question.complete)
    if isinstance(question, ImageSpace):
        return ImageSpace(question.channels + FEATURES, question.height, question.width)
    if isinstance(question, VectorSpace | MatrixSpace):
        return VectorSpace(question.size + FEATURES)
    raise SettingError(
        f"Questions of {question} cannot tell a level of noise; expected vectors, matrices, "
        "images, values on edges or factor graphs. Train irem, whose energies need not know of one."
    )


def told(problem: Problem, angle: Float[Tensor, " problems"], answer: Space | None) -> Problem:
    """Return questions that tell their level.

    Args:
        problem: the questions.
        angle: the level of each, from 0 to pi / 2.
        answer: the space of candidates there, or None.
    """
    multiples = angle.new_tensor(_MULTIPLES)
    waves = angle[:, None] * multiples
    features = torch.cat([waves.sin(), waves.cos()], 1).to(problem.dtype)
    return Problem(_with(problem.x, features), answer, problem.layout)


def _with(x: Any, features: Float[Tensor, "problems features"]) -> Any:
    if factor_graphs.is_one(x):
        x = copy(x)
        for kind in x.node_types:
            known, own = x[kind].get("x"), features[x[kind].batch]
            x[kind].x = own if known is None else torch.cat([known, own], 1)
        return x
    if graphs.is_batch(x):
        x = copy(x)
        x.edge_attr = torch.cat([x.edge_attr, features[graphs.owner(x)]], 1)
        return x
    if x.ndim == 4:
        planes = features[:, :, None, None].expand(-1, -1, *x.shape[2:])
        return torch.cat([x, planes], 1)
    return torch.cat([x.flatten(1), features], 1)


class Told:
    """What energies are built for that are told a level: a task's questions tell theirs.

    Args:
        task: where problems come from.
    """

    def __init__(self, task: Source) -> None:
        """Note the spaces of questions that tell their level, and of answers."""
        self.task = task
        self.question = told_space(task.question)
        self.answer: Space = task.answer

    def sample(self, count: int, *, generator: torch.Generator) -> tuple[Problem, Tensor]:
        """Draw problems of training that tell a level, and their answers with that noise."""
        problem, y = self.task.sample(count, generator=generator)
        drawn = torch.rand(count, generator=generator, device=y.device, dtype=y.dtype)
        angle = drawn * (torch.pi / 2)
        noise = normal_like(y, generator)
        layout = problem.layout
        noisy = layout.spread(angle.cos(), y) * y + layout.spread(angle.sin(), y) * noise
        return told(problem, angle, self.answer), noisy
