"""Problems from pairs that someone has: files or arrays of questions and answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from irem_core.errors import InputFileError, SettingError
from irem_core.files.arrays import Array
from irem_core.files.tables import ENDINGS
from irem_core.pairs import answers
from irem_core.pairs.cost import Cost, cost_of
from irem_core.pairs.files import (
    NO_COLUMNS,
    Columns,
    Moments,
    Pairs,
    array_of,
    numbered_questions,
    read_columns,
    space_of,
)
from irem_core.pairs.held_out import HeldOut
from irem_core.pairs.split import Split
from irem_core.pairs.standardized import Standardized
from irem_core.pairs.summary import summary
from irem_core.pairs.unanswered import (
    answer_space,
    digest_of,
    read_questions,
    refuse_entries,
    with_minima,
)
from irem_core.pairs.warm_start import WarmStart
from irem_core.problems.problem import Problem
from irem_core.problems.space import Space
from irem_core.solvers.base import Solver
from irem_core.tasks.difficulty import Difficulty
from irem_core.tasks.floors import Floor, floor_of


class PairsTask(HeldOut):
    """Questions and answers from files or arrays, split into training and held-out pairs.

    Make one with `of` or `open`. Training draws from the training pairs, with replacement. The
    difficulty "same" has the held-out pairs, each once. The pairs are needed to train and to
    evaluate, not to solve.

    Args:
        data: the files, as `Pairs.read` takes them; None for arrays.
        question: the space of x.
        answer: the space of y.
        digest: of the pairs; others are refused.
        held_out: share of the pairs that training never sees, between 0 and 1.
        split_seed: of the choice of those.
        discrete: "binary" where answers are of 0 and 1 alone, "one-hot" where besides there is one
            1 along their last axis; None otherwise.
        cost: what answers minimise, where that is known (see `WarmStart`).
        unanswered: whether there are questions alone, whose answers are minima of the cost; these
            are found when they are first needed.
        x_columns: the names of the entries of x, where they are from a table (see `Table`).
        y_columns: likewise of y.

    Raises:
        SettingError: a setting is out of range.
    """

    def __init__(
        self,
        data: str | None = None,
        *,
        question: Space,
        answer: Space,
        digest: str | None = None,
        held_out: float = 0.1,
        split_seed: int = 0,
        discrete: str | None = None,
        cost: Cost | None = None,
        unanswered: bool = False,
        x_columns: Sequence[str] | None = None,
        y_columns: Sequence[str] | None = None,
    ) -> None:
        """Set the spaces; the pairs are read when they are first needed."""
        super().__init__(
            data,
            question=question,
            answer=answer,
            digest=digest,
            held_out=held_out,
            split_seed=split_seed,
            discrete=discrete,
        )
        self.cost = cost
        self.unanswered = unanswered
        self.columns: Columns = (x_columns, y_columns)
        self._pairs: Pairs | None = None
        self.preferred = answers.preferred_energy(question, answer, discrete)

    @classmethod
    def of(
        cls, x: Any, y: Any = None, *, categories: str | None = None, **settings: Any
    ) -> PairsTask:
        """Make a task of two arrays, tensors or data frames, `(n, ...)` each.

        Args:
            x: the questions.
            y: their answers; None for the minima of a cost.
            categories: "one-hot" to make an entry of each text in columns of text.
            settings: `held_out`, `split_seed`, `cost`, and `low` and `high`: bounds of the answers,
                a number for all entries or an array in the shape of an answer, infinite for none;
                if None, those that answers lie on now and then (see `touched`). Where there are no
                answers, `entries` says how many numbers they have, unless bounds or cost do.

        Raises:
            InputFileError: they are no pairs to learn from (see `Pairs.of`), or beyond bounds.
        """
        if y is None and settings.get("cost") is not None:
            return cls._of_cost(array_of(x), None, settings)
        return cls._made(Pairs.of(array_of(x), array_of(y), categories=categories), None, settings)

    @classmethod
    def open(
        cls,
        data: str,
        *,
        x_columns: str | Sequence[str] | None = None,
        y_columns: str | Sequence[str] | None = None,
        categories: str | None = None,
        **settings: Any,
    ) -> PairsTask:
        """Make a task of the pairs in a file or two (see `Pairs.read`).

        Args:
            data: one .npz or .safetensors file, a table, or "x.npy,y.npy".
            x_columns: the columns of a table that are questions: names and globs, such as
                "age,price_*"; all others where answers alone are named.
            y_columns: those that are answers, likewise.
            categories: as for `of`.
            settings: as those of `of`.

        Raises:
            InputFileError: the files cannot be read, or hold no pairs to learn from.
            UnknownNameError: the table has no such column.
            SettingError: columns are chosen of what is no table.
        """
        columns = (x_columns, y_columns)
        chosen = columns != NO_COLUMNS or categories is not None
        x = read_questions(data) if settings.get("cost") is not None and not chosen else None
        if x is not None:
            return cls._of_cost(x, data, settings)
        pairs = Pairs.read(data, columns=columns, categories=categories)
        if pairs.columns[0] is None and chosen:
            raise SettingError(
                f"{data} holds arrays, whose columns have no names; leave the choice of columns "
                f"and categories out, or give a table ({', '.join(ENDINGS)})."
            )
        return cls._made(pairs, data, settings)

    @classmethod
    def _of_cost(cls, x: Any, data: str | None, settings: dict[str, Any]) -> PairsTask:
        low, high, entries = (settings.pop(name, None) for name in ("low", "high", "entries"))
        cost = cost_of(settings["cost"])
        space = answer_space(cost, entries, low, high)
        pairs = with_minima(x, cost, space, data)
        return cls._made(pairs, data, {**settings, "unanswered": True}, space)

    @classmethod
    def _made(
        cls,
        pairs: Pairs,
        data: str | None,
        settings: dict[str, Any],
        answer: Space | None = None,
    ) -> PairsTask:
        low, high = settings.pop("low", None), settings.pop("high", None)
        refuse_entries(pairs.source, settings.pop("entries", None))
        if answer is None:
            answer = answers.bounded(pairs, space_of("y", pairs.y, pairs.source), low, high)
        task = cls(
            data,
            question=space_of("x", pairs.x, pairs.source),
            answer=answer,
            digest=digest_of(pairs, settings.get("unanswered", False)),
            discrete=answers.discrete_kind(pairs.y),
            x_columns=pairs.columns[0],
            y_columns=pairs.columns[1],
            **settings,
        )
        task._pairs = pairs
        if not task.answer_moments.scale.any():
            raise InputFileError(
                f"{pairs.source}: all answers y are the same, so there is nothing to learn."
            )
        if not task.held.any():
            raise InputFileError(
                f"{pairs.source}: all questions x are the same, so there is nothing to learn from."
            )
        return task

    @property
    def pairs(self) -> Pairs:
        """The pairs, read again where the task was rebuilt from a run.

        Raises:
            InputFileError: they are missing, or are not those of training.
        """
        if self._pairs is None:
            self._pairs = self._read_again()
        return self._pairs

    def _read_again(self) -> Pairs:
        if self.data is None:
            raise InputFileError(
                "This run was trained on arrays, which it does not hold; evaluate it in Python on "
                "PairsTask.of(x, y), or give the pairs as a file with --data."
            )
        try:
            pairs = self._read(self.data)
        except InputFileError as error:
            raise InputFileError(
                f"The pairs of this run cannot be read: {error} Solving does without; where they "
                "have moved, give --data FILE."
            ) from error
        if self.digest not in (None, digest_of(pairs, self.unanswered)):
            raise InputFileError(
                f"{self.data} does not hold the pairs that this run was trained on: its content "
                "has changed, and other pairs would be held out. Give the file as it was with "
                "--data FILE, train again, or score the run on all pairs of a file: --on FILE."
            )
        return pairs

    def _read(self, data: str) -> Pairs:
        x = read_questions(data) if self.unanswered else None
        if x is None or self.cost is None:
            return Pairs.read(data, columns=self.columns)
        return with_minima(x, cost_of(self.cost), self.answer, data)

    def arrays(self, file: Path) -> dict[str, Array]:
        """Read the arrays of a file; of a table the columns that the pairs of training had.

        Raises:
            InputFileError: the file cannot be read, or lacks a column of x.
        """
        return read_columns(file, self.columns)

    @cached_property
    def questions(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Which question each pair asks, `(n,)`: the same number where x is the same."""
        return numbered_questions(self.pairs.x)

    @cached_property
    def split(self) -> Split:
        """The pairs as tensors, of training or held out."""
        fine = (self.question_moments.fine, self.answer_moments.fine)
        return Split(self.pairs, self.held, fine)

    @cached_property
    def question_moments(self) -> Moments:
        """Mean and spread of x over the training pairs."""
        return Moments.measure(self.pairs.x, self.question, ~self.held)

    @cached_property
    def answer_moments(self) -> Moments:
        """Mean and spread of y over the training pairs."""
        return Moments.measure(self.pairs.y, self.answer, ~self.held)

    def adapted(self, solver: Solver) -> Solver:
        """Wrap a solver so that it works in standard units, and proposes where a cost is known.

        Closed forms need none.
        """
        if solver.closed_form:
            return solver
        wrapped = Standardized(solver, question=self.question, answer=self.answer)
        wrapped.set_units(self.question_moments, self.answer_moments)
        return wrapped if self.cost is None else WarmStart(wrapped, cost=self.cost)

    def stacked(self, x: Float[Tensor, "..."]) -> Problem:
        """Make problems from an array (see `Task.stacked`); `(n,)` counts as `(n, 1)`."""
        return super().stacked(x[:, None] if x.ndim == self.question.size == 1 else x)

    def measures(
        self, problem: Problem, y: Tensor, target: Tensor
    ) -> dict[str, Float[Tensor, " problems"]]:
        """Return each problem's share of R², the part of the variance that answers explain.

        Averaged over all held-out pairs that is 1 - error / variance of each entry of y (of each
        channel of images, of all entries of matrices), averaged over those that vary; left out
        where nothing varies, as in a single pair. Of answers of 0 and 1 it also says which are
        exact once they are rounded (`solved`).
        """
        scale = torch.from_numpy(self._held_out_moments.scale).to(y)
        found = {} if not scale.any() else {"r2": answers.share_explained(y - target, scale)}
        whole = self.rounded(y)
        if whole is not None:
            found["solved"] = (whole == target).flatten(1).all(1).to(y)
        return found

    @property
    def remarks(self) -> Sequence[str]:
        """What was read, and of answers whether they are of 0 and 1, or minima of a cost."""
        moments = (self.question_moments, self.answer_moments)
        spaces = (self.question, self.answer)
        about: dict[str, Any] = {"discrete": self.discrete, "unanswered": self.unanswered}
        return summary(self.pairs, spaces, self.held, self.questions, moments, **about)

    @cached_property
    def _held_out_moments(self) -> Moments:
        return Moments.measure(self.pairs.y, self.answer, self.held)

    def floor(self, difficulty: str | Difficulty = "same") -> Floor:
        """Measure what the mean answer and a linear regression of y on x score, both of training.

        The regression is left out where x has more than 4,096 entries.
        """
        held_out = self.difficulty(difficulty).parameters.get("held_out", 0)
        return floor_of(self.split.part(0), self.split.part(held_out))
