"""Scoring a run on other pairs than those that it was trained on."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import numpy as np

from irem_core.errors import InputFileError
from irem_core.pairs.files import Moments, Pairs
from irem_core.pairs.structured import StructuredPairs
from irem_core.pairs.task import PairsTask
from irem_core.tasks.difficulty import Difficulty
from irem_core.tasks.floors import Floor, floor_of


class OtherPairs(PairsTask):
    """Pairs that a run is scored on, each of them once.

    Args:
        trained: the task of the run, whose spaces and columns they have.
        data: the files, as `Pairs.read` takes them.

    Raises:
        InputFileError: they cannot be read, or are of other shapes.
    """

    difficulties: ClassVar = {"other": {"held_out": 1}}

    def __init__(self, trained: PairsTask, data: str) -> None:
        """Read the pairs."""
        kind = trained.discrete
        super().__init__(question=trained.question, answer=trained.answer, discrete=kind)
        self.trained = trained
        self._pairs = Pairs.read(data, columns=trained.columns, least=1)
        for name, array, space in (
            ("x", self.pairs.x, self.question),
            ("y", self.pairs.y, self.answer),
        ):
            if array.shape[1:] != space.shape:
                raise InputFileError(
                    f"{data}: {name} has shape {array.shape}; expected (n, "
                    f"{', '.join(map(str, space.shape))}), as the run was trained on."
                )

    @cached_property
    def held(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """All of them."""
        return np.ones(len(self.pairs), np.bool_)

    @cached_property
    def question_moments(self) -> Moments:
        """Mean and spread of x over all of them."""
        return Moments.measure(self.pairs.x, self.question, self.held)

    @cached_property
    def answer_moments(self) -> Moments:
        """Mean and spread of y over all of them."""
        return Moments.measure(self.pairs.y, self.answer, self.held)

    def floor(self, difficulty: str | Difficulty = "same") -> Floor:
        """Measure what the mean answer and a linear regression score, both of the training pairs.

        Raises:
            InputFileError: those are missing, or have changed.
        """
        return floor_of(self.trained.split.part(0), self.split.part(1))


class OtherStructured(StructuredPairs):
    """Problems that a run is scored on, each of them once.

    Args:
        trained: the task of the run, whose spaces they have.
        data: the folder, or a file.

    Raises:
        InputFileError: they cannot be read.
    """

    difficulties: ClassVar = {"other": {"held_out": 1}}

    def __init__(self, trained: StructuredPairs, data: str) -> None:
        """Take over the spaces; the problems are read when they are first needed."""
        super().__init__(
            data, question=trained.question, answer=trained.answer, discrete=trained.discrete
        )
        self.trained = trained

    @cached_property
    def held(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """All of them."""
        return np.ones(len(self._held[1].lengths), np.bool_)

    def floor(self, difficulty: str | Difficulty = "same") -> Floor:
        """Measure what is fitted to the training problems.

        Raises:
            InputFileError: those are missing, or have changed.
        """
        return floor_of(self.trained.split.entries(0), self.split.entries(1))
