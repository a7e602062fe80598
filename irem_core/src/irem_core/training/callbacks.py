"""Callbacks of `fit`: evaluation on the way, and a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from irem_core import checks
from irem_core.evaluation.evaluation import PROTOCOLS, evaluate, takes
from irem_core.training.progress import Callback, Progress


class EvaluateEvery(Callback):
    """Log the error on test problems every so many updates, without a trace on the training.

    Each log record is `{"iteration": ..., "evaluation": {difficulty: mse}}`; a difficulty that the
    solver cannot take is left out. Published figures are minima over such evaluations; ours are of
    the final model, and these stand beside them.

    Args:
        every: updates between evaluations.
        difficulties: on which to evaluate.
        problems: how many of each.
        seed: of problems and starts.
        protocol: how they are solved (see `evaluate`).

    Raises:
        SettingError: a number is below 1, or there is no such protocol.
    """

    def __init__(
        self,
        every: int = 1000,
        *,
        difficulties: Sequence[str] = ("same",),
        problems: int = 1000,
        seed: int = 1,
        protocol: str = "solve",
    ) -> None:
        checks.check(checks.count, "EvaluateEvery", every=every, problems=problems)
        checks.check(checks.one_of(*PROTOCOLS), "EvaluateEvery", protocol=protocol)
        self.every = every
        self.difficulties = tuple(difficulties)
        self.problems = problems
        self.seed = seed
        self.protocol = protocol

    def stepped(self, progress: Progress) -> None:
        """Evaluate at every multiple of `every`, on the process that reports."""
        if progress.iteration % self.every or not progress.leads:
            return
        state = torch.get_rng_state()
        progress.solver.eval()
        with progress.averaged():
            errors = {
                difficulty: evaluate(
                    progress.solver,
                    progress.task,
                    difficulty=difficulty,
                    problems=self.problems,
                    seed=self.seed,
                    protocol=self.protocol,
                ).mse
                for difficulty in self.difficulties
                if takes(progress.solver, progress.task, difficulty)
            }
        progress.solver.train()
        torch.set_rng_state(state)
        progress.log(evaluation=errors)


def best_evaluation(records: Sequence[dict[str, Any]], difficulty: str) -> float | None:
    """Return the lowest error that `EvaluateEvery` logged on a difficulty, or None."""
    logged = [record.get("evaluation") for record in records]
    errors = [each.get(difficulty) for each in logged if isinstance(each, dict)]
    return min((error for error in errors if isinstance(error, float)), default=None)


class ProgressBar(Callback):
    """A bar with the rate, the loss and the time left; silent where output is no terminal.

    Args:
        console: where to draw; standard error if None.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(file=sys.stderr)
        self._bar: Bar | None = None
        self._began = 0

    def started(self, progress: Progress) -> None:
        """Draw the bar."""
        if not (self.console.is_terminal and progress.leads):
            return
        self._began = progress.iteration
        self._before = progress.seconds
        self._bar = Bar(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[loss]}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(
            "training",
            total=progress.training.iterations,
            completed=progress.iteration,
            rate="",
            loss="",
        )

    def stepped(self, progress: Progress) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=progress.iteration)

    def logged(self, progress: Progress) -> None:
        """Write the rate and the loss."""
        if self._bar is not None:
            rate = (progress.iteration - self._began) / max(progress.seconds - self._before, 1e-9)
            self._bar.update(self._task, rate=f"{rate:.1f} it/s", loss=f"loss {progress.loss:.3g}")

    def close(self) -> None:
        """Remove the bar, also where training was stopped."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
