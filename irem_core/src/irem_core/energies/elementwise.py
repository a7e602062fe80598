"""An energy of entries one by one, for tasks whose answers are made of their own inputs alone."""

from __future__ import annotations

from typing import Any, cast

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from irem_core import checks
from irem_core.energies.base import EnergyFn
from irem_core.energies.precision import wide
from irem_core.energies.scaled import scaled, scaled_residuals
from irem_core.errors import SettingError, ShapeError
from irem_core.part import Preset
from irem_core.problems import graphs
from irem_core.problems.problem import Problem
from irem_core.problems.space import EdgeSpace, Space, VectorSpace


class ElementwiseEnergy(EnergyFn):
    """E(x, y) = scale / 2 sum_i mean_c r_ic^2, with a residual r_i that all entries share.

    Entry i is judged by y_i and by its own entries of x, those at i, n + i, 2 n + i, ... where
    questions are as many times as long as answers; with `neighbours`, by those of the entries up to
    so many places away too. r_i is linear in these numbers but for a small network that is added to
    it. So the structure of the task is given, not learned: what this energy scores on addition or
    edge copy shows how exact a descent is, and no reasoning. It takes any number of entries.

    Args:
        question: space of x: vectors a whole number of times as long as answers, matrices or images
            of the same shape, or values on edges.
        answer: space of y.
        width: entries of a residual.
        hidden: units of the network that is added; 0 for residuals that are linear.
        neighbours: how far away the entries are that are looked at, in vectors.

    Raises:
        SettingError: the spaces do not fit, or a number is out of range.
    """

    size_free = True

    def __init__(
        self,
        question: Space,
        answer: Space,
        *,
        width: int = 16,
        hidden: int = 0,
        neighbours: int = 0,
    ) -> None:
        """Make the layers with torch's default initialisation; at first residuals are linear."""
        super().__init__()
        checks.check(checks.count, "ElementwiseEnergy", width=width)
        checks.check(
            checks.count_or_zero, "ElementwiseEnergy", hidden=hidden, neighbours=neighbours
        )
        vectors = isinstance(question, VectorSpace) and isinstance(answer, VectorSpace)
        if neighbours and not vectors:
            raise SettingError(
                f"ElementwiseEnergy got neighbours={neighbours} and answer={answer!r}; expected 0, "
                "since only the entries of vectors stand in a line."
            )
        self.question = question
        self.answer = answer
        self.neighbours = neighbours
        self.inputs, self.outputs = _channels(question, answer)
        window = 2 * neighbours + 1
        self.question_map = nn.Linear(self.inputs * window, width)
        self.answer_map = nn.Linear(self.outputs * window, width, bias=False)
        self.read_out = nn.Linear(width, width)
        self.network = None
        if hidden:
            last = nn.Linear(hidden, width, bias=False)
            nn.init.zeros_(last.weight)
            self.network = nn.Sequential(nn.Linear(width, hidden), nn.SiLU(), last)
        self.log_scale = nn.Parameter(torch.zeros(()))

    def problem(self, x: Any) -> Problem:
        """Wrap a bare x as a problem, with answers as long as x allows (see `Landscape.problem`).

        Raises:
            ShapeError: x has another number of dimensions, or no whole number of answers' lengths.
        """
        known = isinstance(x, Problem)
        asked = x.x if known else x
        if not isinstance(self.answer, VectorSpace) or not isinstance(asked, Tensor):
            return super().problem(x)
        if asked.ndim != 2 or asked.shape[1] % self.inputs:
            raise ShapeError(
                f"x has shape {tuple(asked.shape)}; expected {self.inputs} vectors end to end for "
                "each problem."
            )
        answer = self.answer.sized((asked.shape[1] // self.inputs,))
        if not known or x.answer is None:
            return Problem(asked, answer, x.layout if known else None)
        if x.answer.shape != answer.shape:
            raise ShapeError(
                f"x has shape {tuple(asked.shape)} and answers in {x.answer}; expected answers of "
                f"{answer.shape[0]} entries, one for every {self.inputs} of x."
            )
        return cast(Problem, x)

    @classmethod
    def preset(cls, question: Space, answer: Space) -> Preset:
        """Return this library's settings for entries one by one, whose energy is all but quadratic.

        With the loss on every iterate, as Algorithm 1 has it, it learns to arrive in one step, so
        that solving needs no other descent. With the loss on the last one it learns an answer that
        is a little off, by as much as five steps from the starts of training fall short.
        """
        return scaled(answer, solver={"objective": "descent(supervise='every')", "solving": None})

    def encode(self, problem: Problem) -> Any:
        """Return the question's share of each entry's features, `(B, ..., width)`.

        Where answers are ragged it is `(rows, width)`, and the layout stands beside it.
        """
        if graphs.is_batch(problem.x):
            graphs.check_values(
                "ElementwiseEnergy", problem.x, self.inputs, self.question_map.weight
            )
            return problem.layout, self.question_map(problem.x.edge_attr)
        return problem.layout, self.question_map(self._windows(problem.x, self.inputs))

    def energy(self, context: Any, y: Tensor) -> Float[Tensor, " problems"]:
        """Return the energies `(B,)`."""
        layout, _ = context
        return cast(Tensor, layout.sum(self.contributions(context, y)))

    def contributions(self, context: Any, y: Tensor) -> Tensor:
        """Return what each entry adds to the energy, in the shape of y without channels."""
        residual = self._misfit(context, y)
        return self.log_scale.exp() / 2 * residual.square().mean(-1)

    def residuals(self, context: Any, y: Tensor) -> Tensor:
        """Return the residuals of each entry, scaled, in the shape of y without channels."""
        return scaled_residuals(self._misfit(context, y), self.log_scale)

    def _misfit(self, context: Any, y: Tensor) -> Tensor:
        _, asked = context
        wanted = y if isinstance(self.answer, EdgeSpace) else self._windows(y, self.outputs)
        features = asked + self.answer_map(wanted)
        if self.network is not None:
            features = features + self.network(features)
        return wide(self.read_out(features))

    def _windows(self, values: Tensor, channels: int) -> Tensor:
        """Put side by side what belongs to each entry, `(B, ..., channels * window)`."""
        if not isinstance(self.answer, VectorSpace):
            return values[..., None]
        each = rearrange(values, "b (c n) -> b c n", c=channels)
        padded = functional.pad(each, (self.neighbours, self.neighbours))
        return rearrange(padded.unfold(2, 2 * self.neighbours + 1, 1), "b c n w -> b n (c w)")


def _channels(question: Space, answer: Space) -> tuple[int, int]:
    """Return how many numbers of x and of y belong to an entry."""
    if isinstance(question, EdgeSpace) and isinstance(answer, EdgeSpace):
        return question.size, answer.size
    vectors = isinstance(question, VectorSpace) and isinstance(answer, VectorSpace)
    if vectors and question.size % answer.size == 0:
        return question.size // answer.size, 1
    if question.shape == answer.shape and not (question.ragged or answer.ragged):
        return 1, 1
    raise SettingError(
        f"ElementwiseEnergy got question={question!r} and answer={answer!r}; expected vectors of x "
        "a whole number of times as long as those of y, two spaces of one shape, or two of values "
        "on edges."
    )
