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

from irem_core import checks
from irem_core.distributed import derive
from irem_core.errors import InputFileError, NonFiniteError, ShapeError
from irem_core.files.arrays import write_arrays
from irem_core.pairs import answers, structured_split
from irem_core.pairs.files import LEAST, Pairs
from irem_core.pairs.held_out import HeldOut
from irem_core.pairs.split import held_out
from irem_core.pairs.standardized import Standardized
from irem_core.pairs.structured_answers import (
    answers_of,
    check_rows,
    found_about,
    ignored,
    values,
    without_answer,
)
from irem_core.pairs.structured_files import ENDING, read_problems
from irem_core.pairs.structured_split import StructuredSplit
from irem_core.problems import factor_graphs, graph_parts
from irem_core.problems.columns import Column
from irem_core.problems.factor_graphs import ENTRY
from irem_core.problems.factored import EntrySpace, FactorSpace
from irem_core.problems.graph_parts import EDGES, NODES
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
    formats = (ENDING,)

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
        checks.check(checks.one_of(None, *answers.DISCRETE), "StructuredPairs", discrete=discrete)
        checks.check(checks.proper_fraction, "StructuredPairs", held_out=held_out)
        self.question = question
        self.answer = answer
        self.data = data
        self.digest = digest
        self.held_out = held_out
        self.split_seed = split_seed
        self.discrete = discrete
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
        several = problems.to_data_list() if hasattr(problems, "to_data_list") else list(problems)
        return cls._made(several, None, "The problems", settings)

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
        return cls._made(read_problems(Path(data)), data, data, settings)

    @classmethod
    def _made(
        cls, several: Sequence[Any], data: str | None, source: str, settings: dict[str, Any]
    ) -> StructuredPairs:
        about, low, high = (settings.pop(name, None) for name in ("about", "low", "high"))
        if len(several) < LEAST:
            raise InputFileError(
                f"{source}: there are {len(several)} problems; expected at least {LEAST}, and "
                "hundreds to learn from."
            )
        y = answers_of(several, source)
        about = (
            None if hasattr(several[0], "node_types") else found_about(several, y, about, source)
        )
        batch = _batch(several, source, about)
        check_rows(batch, y, source)
        try:
            question = graph_parts.space_of(batch)
            question.check_features(f"{source}: x", batch)
            question.check_graphs(source, batch, batch[ENTRY].x)
        except (ShapeError, NonFiniteError) as error:
            raise InputFileError(str(error)) from error
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
        task._left_out = ignored(several[0])
        if not task.split.moments("y").scale.any():
            raise InputFileError(
                f"{source}: all answers y are the same, so there is nothing to learn."
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
        columns, y = _read(self.data, cast(FactorSpace, self.question))
        if self.digest not in (None, structured_split.digest(columns, y)):
            raise InputFileError(
                f"{self.data} does not hold the problems that this run was trained on. Give the "
                "folder as it was with --data FOLDER, or score the run on all problems of a "
                "folder: --on FOLDER."
            )
        return columns, y

    @cached_property
    def questions(self) -> NDArray[np.int64]:
        """Which question each problem asks, `(n,)`: the same number where it is the same."""
        return structured_split.numbered(self._held[0])

    @cached_property
    def held(self) -> NDArray[np.bool_]:
        """Which problems are held out, `(n,)`: all of a question, or none."""
        return held_out(self.questions, self.held_out, derive(self.split_seed, "held out"))

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

    def problem(self, problems: Any, device: torch.device | str = "cpu") -> Problem:
        """Return graphs or factor graphs, one or a list of them, as a batch of problems.

        Raises:
            ShapeError: they are no such graphs.
        """
        question = cast(FactorSpace, self.question)
        return Problem(graph_parts.factored(problems, question, device=device), self.answer)

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
        question = cast(FactorSpace, self.question)
        columns, y = self._held
        count = len(y.lengths)
        parts = ", ".join(
            f"{_mean(columns[f'{kind} num_nodes'].values):.1f} {kind} ({width} features; roles "
            f"{', '.join(question.roles_of(kind))})"
            for kind, width in question.kinds
        )
        said = [
            f"{self.data or 'The problems'}: {count:,} of them. Each has, at the mean, "
            f"{_mean(y.lengths):.1f} entries ({question.features} features, {self.answer.size} "
            f"numbers in an answer), and factors: {parts}.",
            f"Held out: {int(self.held.sum()):,} problems, which training never sees.",
        ]
        if self._left_out:
            said.append(f"Left out: {', '.join(self._left_out)}.")
        if self.discrete is not None:
            said.append(
                "Answers are 0 or 1: solved is the share of problems that are exact once rounded, "
                "as irem solve --round rounds them."
            )
        return said

    def oracle(self, problem: Problem) -> Tensor:
        """Return the answers that stand in the files that problems were read from.

        Raises:
            NotImplementedError: there are none.
        """
        known = problem.x[ENTRY].get("y")
        if known is None:
            raise NotImplementedError("These problems came without answers.")
        return cast(Tensor, known)

    def read(self, file: Path, device: torch.device) -> Problem:
        """Read problems from a file, or a folder of such (see `read_problems`).

        Raises:
            InputFileError: a file cannot be read, or holds another kind of problem.
        """
        several = read_problems(file)
        known = all(values(each) is not None for each in several)
        y = answers_of(several, str(file)) if known else None
        try:
            problem = self.problem([without_answer(each) for each in several])
            cast(FactorSpace, self.question).check_features(f"{file}: x", problem.x)
        except (ShapeError, NonFiniteError) as error:
            raise InputFileError(f"{file} cannot be solved: {error}") from error
        if y is not None:
            check_rows(problem.x, y, str(file))
            problem.x[ENTRY].y = y.values.to(problem.dtype)
        return Problem(problem.x.to(device), self.answer)

    def write(self, file: Path, problem: Problem, y: Tensor) -> None:
        """Write answers `y`, a row for each entry, and the `problem` of each row.

        Raises:
            StorageError: writing failed.
        """
        owner = cast(Tensor, problem.layout.owner)
        write_arrays(file, {"y": y.numpy(force=True), "problem": owner.numpy(force=True)})


class OtherStructured(StructuredPairs):
    """Problems that a run is scored on, each of them once.

    Args:
        trained: the task of the run, whose spaces they have.
        data: the folder, or a file.

    Raises:
        InputFileError: they cannot be read.
    """

    difficulties = {"other": {"held_out": 1}}  # noqa: RUF012

    def __init__(self, trained: StructuredPairs, data: str) -> None:
        """Take over the spaces; the problems are read when they are first needed."""
        super().__init__(
            data, question=trained.question, answer=trained.answer, discrete=trained.discrete
        )
        self.trained = trained

    @cached_property
    def held(self) -> NDArray[np.bool_]:
        """All of them."""
        return np.ones(len(self._held[1].lengths), np.bool_)

    def floor(self, difficulty: str | Difficulty = "same") -> Floor:
        """Measure what is fitted to the training problems.

        Raises:
            InputFileError: those are missing, or have changed.
        """
        return floor_of(self.trained.split.entries(0), self.split.entries(1))


def _mean(counts: Tensor) -> float:
    return float(counts.double().mean())


def _read(data: str, question: FactorSpace) -> tuple[dict[str, Column], Column]:
    """Read problems of a known space, with their answers."""
    several = read_problems(Path(data))
    y = answers_of(several, data)
    about = EDGES if graph_parts.is_about_edges(question) else NODES
    batch = _batch(several, data, None if hasattr(several[0], "node_types") else about)
    check_rows(batch, y, data)
    try:
        question.check_graphs(data, batch, batch[ENTRY].x)
    except ShapeError as error:
        raise InputFileError(str(error)) from error
    return factor_graphs.take_apart(batch), y


def _batch(several: Sequence[Any], source: str, about: str | None) -> Any:
    """Return problems without their answers as a batch of factor graphs."""
    try:
        bare = [without_answer(each) for each in several]
        return graph_parts.factored(bare, about)
    except ShapeError as error:
        raise InputFileError(f"{source}: {error}") from error
