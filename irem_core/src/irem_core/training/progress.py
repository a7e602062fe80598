"""What a training is, and how callbacks see it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import attrs

from irem_core import checks
from irem_core.errors import SettingError
from irem_core.runs.run_folder import RunFolder
from irem_core.solvers.base import Solver
from irem_core.tasks.task import Task
from irem_core.training.average import WeightAverage


@attrs.frozen(kw_only=True)
class Training:
    """The settings of a training, as a checkpoint records them.

    Args:
        iterations: updates of the weights in all.
        batch_size: fresh problems in a batch, per process.
        accumulate: batches in each update.
        learning_rate: of Adam.
        schedule: "constant", or "cosine" to let the learning rate fall to 0 along half a cosine.
        clip_norm: the largest norm of a gradient, longer ones are scaled down; None for no limit.
        average: decay of the moving average of the weights that is the trained model; None to keep
            the last weights.
        patience: how many times as many updates as the best weights took are tried for better ones;
            None not to judge weights.
        since: updates before the schedule began; those of a training that was finished before.
        seed: of problems, starts and replay.
        device: where training runs.
        threads: threads that torch computes with on CPU.
        ranks: processes that train together.
        compiled: whether torch's compiler makes what descends the energy.
        autocast: whether products are in bfloat16.
    """

    iterations: int = attrs.field(validator=checks.count)
    batch_size: int = attrs.field(validator=checks.count)
    accumulate: int = attrs.field(default=1, validator=checks.count)
    learning_rate: float = attrs.field(validator=checks.positive)
    schedule: str = attrs.field(default="constant", validator=checks.one_of("constant", "cosine"))
    clip_norm: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(checks.positive)
    )
    average: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(checks.proper_fraction)
    )
    patience: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(checks.more_than_one)
    )
    since: int = attrs.field(default=0, validator=checks.count_or_zero)
    seed: int = attrs.field(validator=checks.count_or_zero)
    device: str
    threads: int = attrs.field(validator=checks.count)
    ranks: int = attrs.field(validator=checks.count)
    compiled: bool = False
    autocast: bool = False

    @classmethod
    def completed(cls, recorded: Mapping[str, Any]) -> dict[str, Any]:
        """Add the settings that there were not when others were recorded, at their defaults."""
        optional = [each for each in attrs.fields(cls) if each.default is not attrs.NOTHING]
        return {each.name: each.default for each in optional} | dict(recorded)

    def rate(self, iteration: int) -> float:
        """Return the learning rate of an update, counted from 0."""
        if self.schedule == "constant":
            return self.learning_rate
        share = (iteration - self.since) / (self.iterations - self.since)
        return self.learning_rate * (1 + math.cos(math.pi * share)) / 2

    def after(self, before: Mapping[str, Any], iteration: int, *, over: bool = False) -> Training:
        """Return these settings for a training that goes on.

        A schedule that depends on the number of iterations goes on too. Once it is finished a new
        one begins, for the iterations that are left; so does the patience of one that was over.

        Args:
            before: the settings under which it came so far.
            iteration: updates done.
            over: whether it ended before its last iteration, as nothing got better.

        Raises:
            SettingError: the schedule is to be another one before it is finished.
        """
        if before["schedule"] != self.schedule:
            return self  # to be refused, as all settings that differ
        more = before["iterations"] != self.iterations
        if not more or (self.schedule == "constant" and not over):
            return attrs.evolve(self, since=before["since"])
        if iteration < before["iterations"] and not over:
            raise SettingError(
                f"The learning rate of this training falls along a {self.schedule} of "
                f"{before['iterations']} iterations, of which {iteration} are done; go on with "
                f"{before['iterations']} first. Once they are done, more of them begin a new one."
            )
        return attrs.evolve(self, since=iteration)


@attrs.define(eq=False)
class Progress:
    """A training as callbacks see it; `fit` returns it at the end.

    Args:
        solver: what is trained; while it is, with the weights of the last update.
        task: on what.
        training: the settings.
        iteration: updates done so far.
        loss: mean training loss since the last report, NaN before the first.
        seconds: time spent training, over all sessions of a resumed run.
        records: what was logged, one dict each with its iteration.
        leads: whether this process is the one that reports.
        out: the run's folder, where there is one.
        kept: the update whose weights did best and were kept, where they were judged.
    """

    solver: Solver
    task: Task
    training: Training
    iteration: int = 0
    loss: float = float("nan")
    seconds: float = 0.0
    records: list[dict[str, Any]] = attrs.field(factory=list)
    leads: bool = True
    out: Path | None = None
    kept: int | None = None
    _folder: RunFolder | None = None
    _average: WeightAverage | None = None

    def averaged(self) -> AbstractContextManager[None]:
        """Give the solver, for a while, the weights that it would have if training ended now.

        These are averages where the training makes such, else those that it has.
        """
        return nullcontext() if self._average is None else self._average.lent()

    def settle(self) -> None:
        """Give the solver these weights for good."""
        if self._average is not None:
            self._average.settle()
            self._average = None

    def log(self, **record: Any) -> None:
        """Keep a record under the current iteration, and in the run's metrics."""
        record = {"iteration": self.iteration, **record}
        self.records.append(record)
        if self._folder is not None and self.leads:
            self._folder.append(record)


class Callback:
    """What is told about a training; override what is of interest."""

    def started(self, progress: Progress) -> None:
        """Called once, after a checkpoint was restored and before the first update."""

    def stepped(self, progress: Progress) -> None:
        """Called after every update; nothing has been read from the device for it."""

    def logged(self, progress: Progress) -> None:
        """Called every `log_every` updates, with the mean loss since the last call."""

    def finished(self, progress: Progress) -> None:
        """Called once training is complete."""

    def close(self) -> None:
        """Called last, once for every callback, also where training was stopped or failed."""
