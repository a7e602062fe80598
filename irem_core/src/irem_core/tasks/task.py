"""Tasks: where problems come from, at which difficulty, and what is known about them."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import attrs
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from irem_core import checks
from irem_core.errors import InputFileError, ShapeError
from irem_core.part import Recorded
from irem_core.problems.problem import Problem
from irem_core.problems.space import Space
from irem_core.registry import TASKS, build
from irem_core.tasks.difficulty import Difficulty, parse
from irem_core.tasks.floors import Floor, measure
from irem_core.tasks.grid import Grid
from irem_core.tasks.published import Published

_BATCH = 250


def _kind(drawn: Any) -> str:
    """Say what something is that should be a pair."""
    several = isinstance(drawn, tuple | list)
    return f"a {type(drawn).__name__}" + (f" of {len(drawn)}" if several else "")


class Task(Recorded, ABC):
    """A kind of problem. An author sets the spaces and writes `draw`.

    The keyword-only parameters of `draw` are the task's difficulty parameters; their defaults are
    the training distribution. Named difficulties set some of them.
    """

    question: Space
    """What x looks like."""
    answer: Space
    """What y looks like."""
    difficulties: ClassVar[Mapping[str, Mapping[str, Any]]] = {"train": {}, "same": {}}
    """Named difficulties and the parameters of `draw` that they set."""
    published: tuple[Published, ...] = ()
    """Figures to compare with."""
    max_steps: ClassVar[int] = 80
    """Steps of the published protocol: 80 on vectors and 40 on graphs. Solvers that do not say how
    many they take at most take as many."""
    interim: ClassVar[int] = 1000
    """Problems of a difficulty that `irem train` scores on the way: fewer where one takes long."""
    preferred: str | None = None
    """The energy to train by default, written as for `recipe`, where spaces do not say enough."""
    formats: ClassVar[tuple[str, ...]] = ()
    """Endings of the files that `read` and `write` know, such as ".cnf"."""

    @property
    def remarks(self) -> Sequence[str]:
        """What `irem train` says of the problems, in sentences, before it begins."""
        return ()

    @abstractmethod
    def draw(
        self, count: int, generator: torch.Generator, device: torch.device
    ) -> tuple[Any, Tensor]:
        """Draw problems, all at once and on the device.

        Args:
            count: how many.
            generator: the only source of randomness; it lives on `device`.
            device: where the tensors must live.

        Returns:
            x and y: tensors `(count, ...)`; or a `Problem` and y where answers are ragged.
        """

    def sample(
        self,
        count: int,
        difficulty: str | Difficulty = "train",
        *,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
    ) -> tuple[Problem, Tensor]:
        """Draw a batch of problems of a difficulty, with their answers.

        Args:
            count: how many, at least 1.
            difficulty: a name, or free parameters such as "scale=5".
            generator: lives on `device`.
            device: where the tensors will live.

        Raises:
            SettingError: the count or a parameter is out of range.
            UnknownNameError: the task has no such difficulty or parameter.
            ShapeError: `draw` returned something else than questions and answers.
        """
        checks.check(checks.count, "sample", count=count)
        parameters = self.difficulty(difficulty).parameters
        drawn = self.draw(count, generator, torch.device(device), **parameters)
        if not isinstance(drawn, tuple | list) or len(drawn) != 2:
            raise ShapeError(
                f"{type(self).__name__}.draw returned {_kind(drawn)}; expected two things, the "
                "questions x and a tensor of their answers y."
            )
        x, y = drawn
        return self.checked(x if isinstance(x, Problem) else Problem(x, self.answer)), y

    def verify(self, problem: Problem, y: Tensor) -> Bool[Tensor, " problems"]:
        """Say of which problems the answers hold, without knowing the right ones.

        A task that can check an answer so says it here: evaluation then counts how many are solved,
        restarts go on only where the answer does not hold yet, and the halting rule `verified` can
        be used.

        Args:
            problem: the questions.
            y: `(B, ...)` or `(rows, ...)` the answers, as a descent leaves them.

        Raises:
            NotImplementedError: the task cannot.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot check answers.")

    def nearest(self, problem: Problem, y: Tensor) -> Tensor:
        """Return, of several right answers, those nearest to candidates y of the same shape.

        A task whose questions have several says so here: candidates are then compared with the
        nearest, in training by `descent` and in evaluation.

        Raises:
            NotImplementedError: there is but one, or the task cannot say.
        """
        raise NotImplementedError(f"{type(self).__name__} knows of one right answer alone.")

    def checked(self, problem: Problem) -> Problem:
        """Return problems that know how their answers are checked, and of several the nearest."""
        known: dict[str, Any] = {}
        if type(self).verify is not Task.verify and problem.verify is None:
            known["verify"] = self.verify
        if type(self).nearest is not Task.nearest and problem.nearest is None:
            known["nearest"] = self.nearest
        return attrs.evolve(problem, **known) if known else problem

    def difficulty(self, text: str | Difficulty) -> Difficulty:
        """Read a difficulty: a name, or parameters joined by commas as in "nodes=30,scale=2".

        A parameter that is drawn for each problem takes a range too, as in "nodes=10..20".

        Raises:
            SettingError: a parameter's value is of the wrong kind.
            UnknownNameError: the task has no such difficulty or parameter.
        """
        if isinstance(text, Difficulty):
            return text
        return parse(text, self.difficulties, self.parameters, type(self).__name__)

    @property
    def parameters(self) -> dict[str, Any]:
        """The difficulty parameters and their defaults, read from the signature of `draw`."""
        signature = inspect.signature(self.draw).parameters.values()
        return {each.name: each.default for each in signature if each.kind is each.KEYWORD_ONLY}

    def training(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings of `fit`, made of a preset's: these, where draws go on for ever."""
        return dict(settings)

    def unseen(
        self, count: int, device: torch.device | str = "cpu"
    ) -> tuple[Problem, Tensor] | None:
        """Return problems that training never draws and their answers; None if it draws all kinds.

        Args:
            count: how many at most.
            device: where the tensors will live.
        """
        return None

    def oracle(self, problem: Problem) -> Tensor:
        """Return the exact answers, of y's type and device, computed independently of `draw`.

        Raises:
            NotImplementedError: the task has no oracle.
        """
        raise NotImplementedError(f"{type(self).__name__} has no oracle.")

    def classical(self, problem: Problem) -> Tensor:
        """Return the answers of the textbook algorithm.

        Raises:
            NotImplementedError: the task names none.
        """
        raise NotImplementedError(f"{type(self).__name__} names no textbook algorithm.")

    def energy(self) -> nn.Module | None:
        """Return the task's energy, a `Landscape`, where it is written rather than learned."""
        return None

    def solver(self) -> nn.Module | None:
        """Return a `Solver` of the task's own, if any; `solver_for` descends written energies."""
        return None

    def as_learned(self, energy: type[Any]) -> Task:
        """Return the task in the form in which a class of energies learns it: by default itself."""
        return self

    def adapted(self, solver: Any) -> Any:
        """Return what `recipe` trains for this task: the solver, or one wrapped around it."""
        return solver

    def batches(
        self,
        problems: int,
        difficulty: str | Difficulty = "same",
        *,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
    ) -> Iterator[tuple[Problem, Tensor]]:
        """Yield the problems that evaluation scores, in batches: by default fresh draws.

        Args:
            problems: how many in all; a task with a fixed set of test problems may have fewer.
            difficulty: a name, or free parameters.
            generator: lives on `device`.
            device: where the tensors will live.
        """
        for first in range(0, problems, _BATCH):
            count = min(_BATCH, problems - first)
            yield self.sample(count, difficulty, generator=generator, device=device)

    def measures(
        self, problem: Problem, y: Tensor, target: Tensor
    ) -> dict[str, Float[Tensor, " problems"]]:
        """Score answers in the task's own terms, besides squared error; evaluation averages them.

        Args:
            problem: the questions.
            y: `(B, ...)` or `(rows, ...)` the answers to score.
            target: the right ones.

        Returns:
            Scores by name, one a problem.
        """
        return {}

    def own_input(self, problem: Problem) -> Tensor | None:
        """Return what each entry of the answer has as input of its own, or None.

        Returns:
            `(*answer, inputs)`: for addition, the two numbers whose sum the entry is.
        """
        return None

    def group(self, problem: Problem, y: Tensor) -> Int[Tensor, "rows *entries"] | None:
        """Say which entries of the answers share one fitted function in `floor`, and one constant.

        By default the diagonal of a square matrix is apart from the rest.

        Args:
            problem: the questions.
            y: their answers.

        Returns:
            A number per entry, counting from 0; None where all are alike.
        """
        if y.ndim != 3 or y.shape[1] != y.shape[2]:
            return None
        return torch.eye(y.shape[1], dtype=torch.int64, device=y.device).expand_as(y)

    def floor(self, difficulty: str | Difficulty = "same") -> Floor:
        """Measure what an answer without reasoning scores on a difficulty (see `Floor`).

        It is fitted to draws of that difficulty, and scored on others of it.

        Args:
            difficulty: a name, or free parameters such as "nodes=30".

        Raises:
            SettingError: a parameter's value is of the wrong kind.
            UnknownNameError: the task has no such difficulty or parameter.
        """
        return measure(self, self.difficulty(difficulty))

    def stacked(self, x: Float[Tensor, "..."]) -> Problem:
        """Make problems from an array of questions of one size, such as a file holds.

        Args:
            x: `(B, ...)` the questions, or one without the leading B; matrices may be flat. Their
                size may be another than that of training, which is up to the energy.

        Raises:
            ShapeError: the task has no such questions.
        """
        shape = self.question.shape
        if not self.question.ragged:
            if x.shape[-len(shape) :] == shape or x.shape[-1:] == (self.question.size,):
                return Problem(x.reshape(-1, *shape), self.answer)
            if x.ndim == len(shape) + 1 and len(x) and shape[:-2] == x.shape[1:-2]:
                return Problem(x, None)
        what = f"An array of shape {tuple(x.shape)} holds no questions of {type(self).__name__}"
        if self.question.ragged:
            raise ShapeError(
                f"{what}, which are graphs; solve graphs that it draws with --difficulty, or a "
                "torch-geometric Batch in Python."
            )
        raise ShapeError(f"{what}; expected (B, {', '.join(map(str, shape))}), one question a row.")

    def unstacked(self, problem: Problem, y: Tensor) -> Float[Tensor, "problems *answer"]:
        """Return the answers to problems that `stacked` made as an array `(B, ...)`."""
        return y

    def read(self, file: Path, device: torch.device) -> Problem:
        """Read problems from a file of one of the task's own `formats`.

        Raises:
            InputFileError: the file cannot be read.
        """
        raise self._foreign(file)

    def write(self, file: Path, problem: Problem, y: Tensor) -> None:
        """Write answers to a file of one of the task's own `formats`.

        Raises:
            InputFileError: the file's ending is not known.
            StorageError: writing failed.
        """
        raise self._foreign(file)

    def stream(self, file: Path, device: torch.device, *, count: int) -> Iterator[Problem]:
        """Yield the problems of a text file of a format of the task's own, so many at a time.

        A task that has this, and `text`, solves files of any length at a bounded memory.

        Args:
            file: where from.
            device: where the problems will live.
            count: how many to yield at a time, at most.

        Raises:
            InputFileError: the file cannot be read.
        """
        raise self._foreign(file)

    def text(self, problem: Problem, y: Tensor, *, ending: str, first: bool) -> str:
        """Return what a text file of such an ending says of some answers.

        Args:
            problem: the questions, some of those of a file.
            y: their answers.
            ending: of the file, one of `formats`.
            first: whether they are the first of it, so that a header comes before them.
        """
        raise self._foreign(Path(f"answers{ending}"))

    def rounded(self, y: Tensor) -> Tensor | None:
        """Return answers rounded to what right ones can be; None where that is any number.

        Args:
            y: answers of a solver, `(B, ...)` or `(rows, ...)`.
        """
        return None

    def report(self, problem: Problem, solution: Any) -> str | None:
        """Return what `irem solve` prints in place of its tables; None for the tables."""
        return None

    def picture(self, problem: Problem, y: Tensor, *, number: int = 0) -> Grid | None:
        """Return one answer as a grid, which `irem solve --watch` and reports draw; None for none.

        Args:
            problem: the questions.
            y: `(B, ...)` or `(rows, ...)` answers, as a descent leaves them.
            number: which of the problems it is.
        """
        return None

    def _foreign(self, file: Path) -> InputFileError:
        known = ", ".join(self.formats) or "none"
        return InputFileError(
            f"{type(self).__name__} knows no files like {file}; its own formats are: {known}."
        )


def load_task(text: str, **settings: Any) -> Task:
    """Build a task by its name, or from a text with settings such as "add(size=100)".

    Raises:
        UnknownNameError: no such task is installed.
        UnknownSettingError: the task has no such setting.
        SettingError: a value is out of range, or the text cannot be read.
        PluginError: the task's package cannot be imported.
    """
    return cast(Task, build(TASKS, text, settings=settings))
