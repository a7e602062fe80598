"""Tasks of problems that someone has, a share of which training never sees."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from irem_core import checks
from irem_core.distributed import derive
from irem_core.pairs import answers
from irem_core.pairs.split import Halves, held_out
from irem_core.problems.problem import Problem
from irem_core.problems.space import Space
from irem_core.tasks.difficulty import Difficulty
from irem_core.tasks.task import Task

_BATCH = 250
# How often training may see each pair at least, and how long it waits for better weights.
_SEEN, _PATIENCE = 20, 2.0


class HeldOut(Task):
    """Questions and answers that someone has, split into training and held-out pairs.

    Training draws from the training pairs, with replacement. The difficulty "same" has the held-out
    pairs, each once.
    """

    difficulties: ClassVar = {"train": {}, "same": {"held_out": 1}}

    def __init__(
        self,
        data: str | None,
        *,
        question: Space,
        answer: Space,
        digest: str | None,
        held_out: float,
        split_seed: int,
        discrete: str | None,
    ) -> None:
        """Take over what both arrays and graphs have (see `PairsTask`)."""
        owner = type(self).__name__
        checks.check(checks.one_of(None, *answers.DISCRETE), owner, discrete=discrete)
        checks.check(checks.proper_fraction, owner, held_out=held_out)
        self.question = question
        self.answer = answer
        self.data = data
        self.digest = digest
        self.held_out = held_out
        self.split_seed = split_seed
        self.discrete = discrete

    @property
    @abstractmethod
    def questions(self) -> NDArray[np.int64]:
        """Which question each pair asks, `(n,)`: the same number where it is the same."""

    @property
    @abstractmethod
    def split(self) -> Halves:
        """The pairs, of training or held out."""

    @cached_property
    def held(self) -> NDArray[np.bool_]:
        """Which pairs are held out, `(n,)`: all pairs of a question, or none (see `held_out`)."""
        return held_out(self.questions, self.held_out, derive(self.split_seed, "held out"))

    def _asked(self, rows: Int[Tensor, " rows"], device: torch.device) -> tuple[Problem, Tensor]:
        x, y = self.split.take(rows, device)
        return Problem(x, self.answer), y

    def draw(
        self, count: int, generator: torch.Generator, device: torch.device, *, held_out: int = 0
    ) -> tuple[Any, Tensor]:
        """Draw training pairs, or held-out ones, with replacement.

        Raises:
            InputFileError: the pairs are missing, or are not those of training.
        """
        rows = self.split.rows(held_out, device)
        drawn = torch.randint(len(rows), (count,), generator=generator, device=device)
        return self._asked(rows[drawn], device)

    def batches(
        self,
        problems: int,
        difficulty: str | Difficulty = "same",
        *,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
    ) -> Iterator[tuple[Problem, Tensor]]:
        """Yield the held-out pairs, or the training pairs, each once, in their order.

        Args:
            problems: how many at most.
            difficulty: "same" for held-out pairs, "train" for the others.
            generator: lives on `device`.
            device: where the tensors will live.
        """
        held_out = self.difficulty(difficulty).parameters.get("held_out", 0)
        place = torch.device(device)
        for rows in self.split.rows(held_out, place)[:problems].split(_BATCH):
            yield self._asked(rows, place)

    def training(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return a preset's settings, with so many iterations that each pair is seen 20 times.

        Training ends earlier where the error on held-out pairs does not fall any more.
        """
        settings = {"patience": _PATIENCE, **settings}
        if {"batch_size", "iterations"} <= settings.keys():
            updates = -(-_SEEN * int((~self.held).sum()) // settings["batch_size"])
            settings["iterations"] = max(settings["iterations"], updates)
        return settings

    def unseen(self, count: int, device: torch.device | str = "cpu") -> tuple[Problem, Tensor]:
        """Return the first held-out pairs."""
        place = torch.device(device)
        return self._asked(self.split.rows(1, place)[:count], place)

    def rounded(self, y: Tensor) -> Tensor | None:
        """Return answers rounded to 0 and 1 where those of the pairs are (see `Task.rounded`)."""
        return None if self.discrete is None else answers.rounded(y, self.discrete)

    def group(self, problem: Problem, y: Tensor) -> Int[Tensor, "rows *entries"]:
        """Give every place of an answer a constant of its own, as it may have a unit of its own."""
        return torch.arange(y[0].numel(), device=y.device).view(y.shape[1:]).expand_as(y)
