"""Problems from pairs that someone has: files or arrays of questions and answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, ClassVar

import attrs
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from irem_core import checks
from irem_core.distributed import derive
from irem_core.energies.landscape import Landscape
from irem_core.errors import InputFileError, SettingError
from irem_core.pairs.answers import BINARY, DISCRETE, bounded, discrete_kind, rounded
from irem_core.pairs.cost import Cost, cost_of, lasting
from irem_core.pairs.files import Moments, Pairs, space_of
from irem_core.pairs.standardized import Standardized
from irem_core.pairs.unanswered import answer_space, minima, read_questions
from irem_core.pairs.warm_start import WarmStart
from irem_core.problems.problem import Problem
from irem_core.problems.space import ImageSpace, Space
from irem_core.solvers.base import Solver
from irem_core.solvers.recipes import recipe
from irem_core.tasks.difficulty import Difficulty
from irem_core.tasks.floors import Floor
from irem_core.tasks.task import Task
from irem_core.training.fit import fit
from irem_core.training.progress import Progress

_BATCH = 250
# Entries that are held on the device; more stay where they are, and batches are copied.
_HELD = 2**27
# A linear regression on more entries of x than these is left out.
_LARGEST_REGRESSION = 4096


class PairsTask(Task):
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

    Raises:
        SettingError: a setting is out of range.
    """

    difficulties: ClassVar = {"train": {}, "same": {"held_out": 1}}

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
    ) -> None:
        """Set the spaces; the pairs are read when they are first needed."""
        checks.check(checks.one_of(None, *DISCRETE), "PairsTask", discrete=discrete)
        checks.check(checks.positive, "PairsTask", held_out=held_out)
        if held_out >= 1:
            raise SettingError(f"PairsTask got held_out={held_out}; expected less than 1.")
        self.question = question
        self.answer = answer
        self.data = data
        self.digest = digest
        self.held_out = held_out
        self.split_seed = split_seed
        self.discrete = discrete
        self.cost = cost
        self.unanswered = unanswered
        self._pairs: Pairs | None = None
        self._on: dict[torch.device, tuple[Tensor, Tensor]] = {}
        pixels = isinstance(answer, ImageSpace) and question.shape == answer.shape
        # Nothing is known of how entries hang together, but that pixels of images do by place.
        self.preferred = "conv" if pixels else "distance"

    @classmethod
    def of(cls, x: Any, y: Any = None, **settings: Any) -> PairsTask:
        """Make a task of two arrays or tensors, `(n, ...)` each.

        Args:
            x: the questions.
            y: their answers; None for the minima of a cost.
            settings: `held_out`, `split_seed`, `cost`, and `low` and `high`: bounds of the answers,
                a number for all entries or an array in the shape of an answer. Where there are no
                answers, `entries` says how many numbers they have, unless bounds or cost do.

        Raises:
            InputFileError: they are no pairs to learn from (see `Pairs.of`), or beyond bounds.
        """
        if y is None and settings.get("cost") is not None:
            return cls._of_cost(_array(x), None, settings)
        return cls._made(Pairs.of(_array(x), _array(y)), None, settings)

    @classmethod
    def open(cls, data: str, **settings: Any) -> PairsTask:
        """Make a task of the pairs in a file or two (see `Pairs.read`).

        Args:
            data: one .npz, .safetensors or .csv file, or "x.npy,y.npy".
            settings: as those of `of`.

        Raises:
            InputFileError: the files cannot be read, or hold no pairs to learn from.
        """
        x = read_questions(data) if settings.get("cost") is not None else None
        if x is not None:
            return cls._of_cost(x, data, settings)
        return cls._made(Pairs.read(data), data, settings)

    @classmethod
    def _of_cost(cls, x: Any, data: str | None, settings: dict[str, Any]) -> PairsTask:
        low, high, entries = (settings.pop(name, None) for name in ("low", "high", "entries"))
        cost = cost_of(settings["cost"])
        space = answer_space(cost, entries, low, high)
        pairs = _with_minima(x, cost, space, data)
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
        if settings.pop("entries", None) is not None:
            raise SettingError(
                f"{pairs.source} has answers y, which say how many numbers one has; leave entries "
                "out."
            )
        if answer is None:
            answer = bounded(pairs, space_of("y", pairs.y, pairs.source), low, high)
        task = cls(
            data,
            question=space_of("x", pairs.x, pairs.source),
            answer=answer,
            digest=_digest(pairs, settings.get("unanswered", False)),
            discrete=discrete_kind(pairs.y),
            **settings,
        )
        task._pairs = pairs
        if not task.answer_moments.scale.any():
            raise InputFileError(
                f"{pairs.source}: all answers y are the same, so there is nothing to learn."
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
        if self.digest not in (None, _digest(pairs, self.unanswered)):
            raise InputFileError(
                f"{self.data} does not hold the pairs that this run was trained on: its content "
                "has changed, and other pairs would be held out. Give the file as it was with "
                "--data FILE, or train again."
            )
        return pairs

    def _read(self, data: str) -> Pairs:
        x = read_questions(data) if self.unanswered else None
        if x is None or self.cost is None:
            return Pairs.read(data)
        return _with_minima(x, cost_of(self.cost), self.answer, data)

    @cached_property
    def held(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which pairs are held out, `(n,)`: at least one, and at least one is not."""
        count = len(self.pairs)
        generator = torch.Generator().manual_seed(derive(self.split_seed, "held out"))
        chosen = torch.randperm(count, generator=generator)
        held = np.zeros(count, dtype=np.bool_)
        held[chosen[: min(max(round(count * self.held_out), 1), count - 1)].numpy()] = True
        return held

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
        for units, moments in (
            (wrapped.question_units, self.question_moments),
            (wrapped.answer_units, self.answer_moments),
        ):
            units.set(moments.mean, moments.scale, fine=moments.fine)
        return wrapped if self.cost is None else WarmStart(wrapped, cost=self.cost)

    def draw(
        self, count: int, generator: torch.Generator, device: torch.device, *, held_out: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Draw training pairs, or held-out ones, with replacement.

        Raises:
            InputFileError: the pairs are missing, or are not those of training.
        """
        rows = self._rows(held_out, device)
        drawn = torch.randint(len(rows), (count,), generator=generator, device=device)
        return self._take(rows[drawn], device)

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
        for rows in self._rows(held_out, place)[:problems].split(_BATCH):
            x, y = self._take(rows, place)
            yield Problem(x, self.answer), y

    def _rows(self, held_out: int, device: torch.device) -> Tensor:
        chosen = self.held if held_out else ~self.held
        return torch.from_numpy(chosen.nonzero()[0]).to(device)

    def _take(self, rows: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
        pairs = self.pairs
        if pairs.x.size + pairs.y.size > _HELD:
            chosen = rows.cpu().numpy()
            return self._tensors(pairs.x[chosen], pairs.y[chosen], device)
        if device not in self._on:
            self._on[device] = self._tensors(pairs.x, pairs.y, device)
        x, y = self._on[device]
        return x[rows], y[rows]

    def _tensors(self, x: Any, y: Any, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return both in torch's default type; in double precision where single is too coarse."""
        double = torch.get_default_dtype() == torch.float64
        moments = (self.question_moments, self.answer_moments)
        x, y = (
            np.require(each, np.float64 if double or own.fine else np.float32, ["C", "W"])
            for each, own in zip((x, y), moments, strict=True)
        )
        return torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)

    def stacked(self, x: Float[Tensor, "..."]) -> Problem:
        """Make problems from an array (see `Task.stacked`); `(n,)` counts as `(n, 1)`.

        Raises:
            ShapeError: the task has no such questions.
        """
        return super().stacked(x[:, None] if x.ndim == self.question.size == 1 else x)

    def measures(
        self, problem: Problem, y: Tensor, target: Tensor
    ) -> dict[str, Float[Tensor, " problems"]]:
        """Return each problem's share of R², the part of the variance that answers explain.

        Averaged over all held-out pairs that is 1 - error / variance of each entry of y (of each
        channel of images, of all entries of matrices), averaged over those that vary. Of answers of
        0 and 1 it also says which are exact once they are rounded (`solved`).
        """
        scale = torch.from_numpy(self._held_out_moments.scale).to(y)
        varies = scale > 0
        shares = ((y - target) / torch.where(varies, scale, 1.0)).square() * varies
        found = {"r2": 1 - shares.flatten(1).mean(1) / varies.to(y).mean()}
        whole = self.rounded(y)
        if whole is not None:
            found["solved"] = (whole == target).flatten(1).all(1).to(y)
        return found

    @property
    def remarks(self) -> Sequence[str]:
        """Whether answers are of 0 and 1, and where they come from that were not given."""
        found = []
        if self.unanswered:
            found += [f"Answers to {len(self.pairs)} questions are minima of the cost."]
        if self.discrete is not None:
            kind = "0 or 1" if self.discrete == BINARY else "one-hot"
            found += [
                f"Answers are {kind}: solved is the share that is exact once rounded, as irem "
                "solve --round rounds them."
            ]
        return found

    def rounded(self, y: Tensor) -> Tensor | None:
        """Return answers rounded to 0 and 1 where those of the pairs are (see `Task.rounded`)."""
        return None if self.discrete is None else rounded(y, self.discrete)

    def group(self, problem: Problem, y: Tensor) -> Int[Tensor, "rows *entries"]:
        """Give every place of an answer a constant of its own, as it may have a unit of its own."""
        places = torch.arange(y[0].numel(), device=y.device).view(y.shape[1:])
        return places.expand_as(y)

    @cached_property
    def _held_out_moments(self) -> Moments:
        return Moments.measure(self.pairs.y, self.answer, self.held)

    def floor(self, difficulty: str | Difficulty = "same") -> Floor:
        """Measure what the mean answer and a linear regression of y on x score, both of training.

        The regression is left out where x has more than 4,096 entries.
        """
        held_out = self.difficulty(difficulty).parameters.get("held_out", 0)
        x, y = (tensor.flatten(1).double() for tensor in self._part(0))
        asked, target = (tensor.flatten(1).double() for tensor in self._part(held_out))
        linear = None
        if x.shape[1] <= _LARGEST_REGRESSION:
            centre, middle = x.mean(0), y.mean(0)
            slopes = torch.linalg.lstsq(x - centre, y - middle, driver="gelsd").solution
            linear = float(((asked - centre) @ slopes + middle - target).square().mean())
        return Floor(constant=float((target - y.mean(0)).square().mean()), linear=linear)

    def _part(self, held_out: int) -> tuple[Tensor, Tensor]:
        """Return training or held-out pairs, of so many that a regression has enough."""
        cpu = torch.device("cpu")
        rows = self._rows(held_out, cpu)
        most = max(1, 2**24 // self.question.size)
        return self._take(rows[:: -(-len(rows) // most)], cpu)


def _with_minima(x: Any, cost: Landscape, answer: Space, source: str | None) -> Pairs:
    x = np.asanyarray(x)
    x = x[:, None] if x.ndim == 1 else x
    return Pairs.of(x, minima(cost, x, answer), *([] if source is None else [source]))


def _digest(pairs: Pairs, unanswered: bool) -> str:
    """Return what is compared; minima differ by rounding from machine to machine."""
    return (attrs.evolve(pairs, y=pairs.y[:0]) if unanswered else pairs).digest()


def _array(values: Any) -> Any:
    return values.numpy(force=True) if isinstance(values, Tensor) else values


def fit_pairs(
    x: Any,
    y: Any = None,
    *,
    cost: Cost | None = None,
    entries: int | None = None,
    solver: str = "irem",
    energy: Any = None,
    preset: str | None = None,
    low: Any = None,
    high: Any = None,
    held_out: float = 0.1,
    seed: int = 0,
    **training: Any,
) -> Progress:
    """Train a solver on pairs of question and answer, as `irem train --pairs` does.

    `fit_pairs(x, y, out="runs/mine").solver` answers questions in the units of x and y, and so does
    `load("runs/mine")`. `evaluate(progress.solver, progress.task)` scores it on the held-out pairs.

    Args:
        x: `(n, ...)` questions: vectors, matrices or images, an array or a tensor.
        y: `(n, ...)` their answers, likewise; None for those that a cost has.
        cost: what answers minimise, where that is known: a function (x, y) -> (B,), in the units of
            x and y, or an `EnergyFn`, or "module:name" of one. The solver then proposes where the
            cost is descended from, and answers are as exact as its minima (see `WarmStart`).
        entries: numbers in an answer, where there is no y and no bound of each.
        solver: what to train, as for `recipe`; likewise `energy` and `preset`.
        energy: a name, a constructor such as "mlp(width=256)", or an energy.
        preset: the name of settings; the first that suits the energy if None.
        low: the least value of an answer's entries, a number or an array in the shape of an
            answer, with -infinity where there is none; no answer of the solver is below it.
        high: likewise the greatest.
        held_out: share of the pairs that training never sees.
        seed: of weights, draws and starts.
        training: arguments of `fit` to use in place of the preset's, such as `out`.

    Returns:
        The finished training: its `solver` and its `task`.

    Raises:
        InputFileError: they are no pairs to learn from: different lengths, NaN, too few.
        SettingError: a run is to be kept of a cost that could not be found again by its name.
    """
    about: dict[str, Any] = {"low": low, "high": high, "held_out": held_out}
    if cost is not None:
        about |= {"cost": lasting(cost, kept="out" in training)}
    if y is None:
        about |= {"entries": entries}
    task = PairsTask.of(x, y, **about)
    made = recipe(task, solver, energy=energy, preset=preset, seed=seed)
    return fit(made.solver, task, seed=seed, **{**made.training, **training})
