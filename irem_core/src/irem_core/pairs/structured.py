"""Pairs whose questions have a structure: graphs, or problems made of parts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import attrs
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from irem_core.errors import InputFileError, NonFiniteError, ShapeError
from irem_core.files.arrays import write_arrays
from irem_core.pairs import answers, structured_split, structured_summary
from irem_core.pairs.files import LEAST, Pairs
from irem_core.pairs.held_out import HeldOut
from irem_core.pairs.standardized import Standardized
from irem_core.pairs.structured_answers import (
    answers_of,
    as_input,
    check_rows,
    found_about,
    known_answers,
)
from irem_core.pairs.structured_files import ENDINGS, read_problems
from irem_core.pairs.structured_split import StructuredSplit
from irem_core.problems import factor_graphs, graph_parts
from irem_core.problems.columns import Column
from irem_core.problems.factor_graphs import ENTRY
from irem_core.problems.factored import EntrySpace, FactorSpace
from irem_core.problems.graph_checks import unread
from irem_core.problems.problem import Problem
from irem_core.problems.space import Space, VectorSpace
from irem_core.problems.units import PartUnits
from irem_core.solvers.base import Solver
from irem_core.tasks.difficulty import Difficulty
from irem_core.tasks.floors import Floor, floor_of


class StructuredPairs(HeldOut):
    """Graphs or factor graphs with their answers, split into training and held-out problems.

    Make one with `of` or `open`. All become factor graphs (see `graph_parts`), so one energy serves
    any structure and any size. The problems are needed to train and to evaluate, not to solve.

    Args:
        data: the folder that they are read from; None for problems in memory.
        question: the space of x.
        answer: the space of y.
        digest: of the problems; others are refused.
        held_out: share of the problems that training never sees, between 0 and 1.
        split_seed: of the choice of those.
        discrete: as for `PairsTask`.

    Raises:
        SettingError: a setting is out of range.
    """

    preferred = "factor"
    formats = ENDINGS

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
    ) -> None:
        """Set the spaces; the problems are read when they are first needed."""
        super().__init__(
            data,
            question=question,
            answer=answer,
            digest=digest,
            held_out=held_out,
            split_seed=split_seed,
            discrete=discrete,
        )
        self._left_out: list[str] = []

    @classmethod
    def of(cls, problems: Any, **settings: Any) -> StructuredPairs:
        """Make a task of problems in memory.

        Args:
            problems: a list or a batch of torch-geometric's `Data`, with answers `y` of each node
                or each edge; or of `HeteroData` that are factor graphs (see `factor_graphs`), with
                answers `y` of each node of the type "entry".
            settings: `held_out`, `split_seed`; `low` and `high`, as for `PairsTask.of`, a number or
                one for each channel of an answer; and `about`, "nodes" or "edges", where answers
                could be of either.

        Raises:
            InputFileError: they are no problems to learn from.
            SettingError: answers could be about nodes as well as edges.
        """
        several = problems.to_data_list() if hasattr(problems, "to_data_list") else problems
        if not isinstance(several, list | tuple) or not graph_parts.are_graphs(several):
            raise InputFileError(
                f"StructuredPairs got a {type(problems).__name__}; expected a list or a batch of "
                "torch-geometric's Data or HeteroData."
            )
        names = [f"Problem {number}" for number in range(len(several))]
        return cls._made(several, names, None, settings)

    @classmethod
    def open(cls, data: str, **settings: Any) -> StructuredPairs:
        """Make a task of the problems in a folder (see `read_problems`).

        Args:
            data: the folder.
            settings: as those of `of`.

        Raises:
            InputFileError: a file cannot be read, or they are no problems to learn from.
            SettingError: answers could be about nodes as well as edges.
        """
        return cls._made(*read_problems(Path(data)), data, settings)

    @classmethod
    def _made(
        cls,
        several: Sequence[Any],
        names: Sequence[str],
        data: str | None,
        settings: dict[str, Any],
    ) -> StructuredPairs:
        source = data or "The problems"
        about, low, high = (settings.pop(name, None) for name in ("about", "low", "high"))
        if len(several) < LEAST:
            raise InputFileError(
                f"{source}: there are {len(several)} problems; expected at least {LEAST}, and "
                "hundreds to learn from."
            )
        with as_input():
            y = answers_of(several, names)
            about = found_about(several, y, about, names)
            batch = graph_parts.factored(several, about, names=names)
            check_rows(batch[ENTRY].ptr.diff(), y, names)
            question = graph_parts.space_of(batch)
            question.check_graphs(source, batch)
        rows = y.values.numpy()
        vectors = VectorSpace(rows.shape[1])
        bounds = answers.bounded(Pairs(rows, rows, source), vectors, low, high)
        columns = factor_graphs.take_apart(batch)
        task = cls(
            data,
            question=question,
            answer=EntrySpace(channels=vectors.length, low=bounds.low, high=bounds.high),
            digest=structured_split.digest(columns, y),
            discrete=answers.discrete_kind(rows),
            **settings,
        )
        task._held = (columns, y)
        task._left_out = list(dict.fromkeys(name for each in several for name in unread(each)))
        if not task.split.moments("y").scale.any():
            raise InputFileError(
                f"{source}: all answers y are the same, so there is nothing to learn."
            )
        if not task.held.any():
            raise InputFileError(
                f"{source}: all questions are the same, so there is nothing to learn from."
            )
        return task

    @cached_property
    def _held(self) -> tuple[dict[str, Column], Column]:
        """Columns of questions and answers, read again where the task was rebuilt from a run.

        Raises:
            InputFileError: they are missing, or are not those of training.
        """
        if self.data is None:
            raise InputFileError(
                "This run was trained on problems in memory, which it does not hold; evaluate it "
                "in Python on StructuredPairs.of(problems), or give them as a folder with --data."
            )
        try:
            columns, y = self._read_again(*read_problems(Path(self.data)))
        except InputFileError as error:
            raise InputFileError(
                f"The problems of this run cannot be read: {error} Solving does without; where "
                "they have moved, give --data FOLDER."
            ) from error
        if self.digest not in (None, structured_split.digest(columns, y)):
            raise InputFileError(
                f"{self.data} does not hold the problems that this run was trained on. Give the "
                "folder as it was with --data FOLDER, or score the run on all problems of a "
                "folder: --on FOLDER."
            )
        return columns, y

    def _read_again(
        self, several: Sequence[Any], names: Sequence[str]
    ) -> tuple[dict[str, Column], Column]:
        """Take apart problems with answers, of the spaces that are known."""
        question = cast(FactorSpace, self.question)
        with as_input():
            y = answers_of(several, names)
            batch = graph_parts.factored(several, question, names=names)
            check_rows(batch[ENTRY].ptr.diff(), y, names)
            question.check_graphs(str(self.data), batch)
        self._check_channels(y.values, names[0])
        return factor_graphs.take_apart(batch), y

    def _check_channels(self, y: Float[Tensor, "rows channels"], name: str) -> None:
        if y.shape[1] != self.answer.size:
            raise InputFileError(
                f"{name}: y has {y.shape[1]} numbers in a row; expected {self.answer.size}, as in "
                "training."
            )

    @cached_property
    def questions(self) -> NDArray[np.int64]:
        """Which question each problem asks, `(n,)`: the same number where it is the same."""
        return structured_split.numbered(self._held[0])

    @cached_property
    def split(self) -> StructuredSplit:
        """The problems, of training or held out."""
        columns, y = self._held
        whole = StructuredSplit(columns, y, np.zeros_like(self.held))
        if not whole.moments("y").fine:
            y = y.to(torch.get_default_dtype())
        return StructuredSplit(columns, y, self.held)

    def adapted(self, solver: Solver) -> Solver:
        """Wrap a solver so that it works in standard units of features and answers."""
        wrapped = Standardized(solver, question=self.question, answer=self.answer)
        units = cast(PartUnits, wrapped.question_units)
        for kind, each in {ENTRY: units, **units.kinds()}.items():
            found = self.split.moments(f"{kind} x")
            each.set(found.mean, found.scale)
        found = self.split.moments("y")
        wrapped.answer_units.set(found.mean, found.scale, fine=found.fine)
        return wrapped

    def problem(
        self,
        problems: Any,
        device: torch.device | str = "cpu",
        *,
        names: Sequence[str] | None = None,
    ) -> Problem:
        """Return graphs or factor graphs, one or a list of them, as a batch of problems.

        Args:
            problems: the graphs.
            device: where they go.
            names: of them, for errors; their numbers if None.

        Raises:
            ShapeError: they are no such graphs.
        """
        question = cast(FactorSpace, self.question)
        batch = graph_parts.factored(problems, question, names=names, device=device)
        return Problem(batch, self.answer)

    def measures(
        self, problem: Problem, y: Tensor, target: Tensor
    ) -> dict[str, Float[Tensor, " problems"]]:
        """Return each problem's share of R² (see `PairsTask.measures`), and which are solved."""
        scale = torch.from_numpy(self._held_out_scale).to(y)
        found = {}
        if scale.any():
            found["r2"] = problem.layout.mean(answers.share_explained(y - target, scale))
        whole = self.rounded(y)
        if whole is not None:
            found["solved"] = problem.layout.all(whole == target).to(y)
        return found

    @cached_property
    def _held_out_scale(self) -> NDArray[np.float64]:
        return attrs.evolve(self.split, held=~self.held).moments("y").scale

    def floor(self, difficulty: str | Difficulty = "same") -> Floor:
        """Measure what the mean scores, and what a regression on an entry's own features does.

        The nearest is the entry, of training, whose features are.
        """
        asked = self.difficulty(difficulty).parameters.get("held_out", 0)
        return floor_of(self.split.entries(0), self.split.entries(asked))

    @property
    def remarks(self) -> Sequence[str]:
        """What was read, in sentences."""
        return structured_summary.told(
            self.data or "The problems",
            self.split,
            self.questions,
            (cast(FactorSpace, self.question), self.answer),
            left_out=self._left_out,
            discrete=self.discrete,
        )

    def stacked(self, x: Tensor) -> Problem:
        """Refuse an array, which is no graph.

        Raises:
            ShapeError: always.
        """
        raise ShapeError(
            f"An array of shape {tuple(x.shape)} holds no graph; give a folder of "
            f"{' or '.join(ENDINGS)} files, or one."
        )

    def read(self, file: Path, device: torch.device) -> Problem:
        """Read problems from a file, or a folder of such (see `read_problems`).

        Raises:
            InputFileError: a file cannot be read, or holds another kind of problem.
        """
        return self.read_answered(file, device)[0]

    def read_answered(self, file: Path, device: torch.device) -> tuple[Problem, Tensor | None]:
        """Read problems likewise, and the answers that stand beside: NaN where there are none.

        Raises:
            InputFileError: a file cannot be read, or holds another kind of problem.
        """
        several, names = read_problems(file)
        try:
            problem = self.problem(several, names=names)
            cast(FactorSpace, self.question).check_graphs(str(file), problem.x)
        except (ShapeError, NonFiniteError) as error:
            raise InputFileError(f"{file} cannot be solved: {error}") from error
        target = known_answers(several, problem.x[ENTRY].ptr.diff(), names)
        if target is not None:
            self._check_channels(target, str(file))
            target = target.to(device)
        return Problem(problem.x.to(device), self.answer), target

    def write(self, file: Path, problem: Problem, y: Tensor) -> None:
        """Write answers `y`, a row for each entry, and the `problem` of each row.

        Raises:
            StorageError: writing failed.
        """
        owner = cast(Tensor, problem.layout.owner)
        write_arrays(file, {"y": y.numpy(force=True), "problem": owner.numpy(force=True)})
