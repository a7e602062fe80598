"""A solve drawn on a terminal while it goes on."""

from __future__ import annotations

import time
from typing import Self

import torch
from rich.console import Console
from rich.live import Live
from rich.text import Text
from torch import Tensor

from irem_core.energies.landscape import Evaluation
from irem_core.errors import SettingError
from irem_core.problems.problem import Problem
from irem_core.solving.solution import Solution
from irem_core.tasks.grid import FOUND, GIVEN, WRONG
from irem_core.tasks.task import Task

_STYLES = {"": "dim", GIVEN: "bold", FOUND: "cyan", WRONG: "white on red"}
# Seconds that a picture stays at least, so that it can be looked at.
_PAUSE = 0.4


class Watch:
    """An observer that draws the first problem after 0, 1, 2, 4, 8, ... steps, and at the end.

    On a terminal each picture takes the place of the one before; elsewhere they follow one another.
    Where the right answer is known, cells that differ from it are marked.
    """

    def __init__(self, task: Task, problem: Problem, target: Tensor | None) -> None:
        """Begin with answers of zeros.

        Raises:
            SettingError: the task draws no pictures.
        """
        shape = (problem.answer or task.answer).shape
        self.y = torch.zeros(problem.layout.rows, *shape, device=problem.device)
        self.right = None if target is None else task.picture(problem, target)
        if task.picture(problem, self.y) is None:
            raise SettingError(f"{type(task).__name__} draws no pictures; leave --watch out.")
        self.task, self.problem = task, problem
        self.console = Console(highlight=False)
        self.live = Live(console=self.console, auto_refresh=False)

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the last picture where it is."""
        self.live.stop()

    def __call__(self, step: int, problems: Tensor, evaluation: Evaluation) -> None:
        """Draw an iterate, where its turn has come."""
        if int(problems[0]) == 0 and step & (step - 1) == 0:
            self.y[self.problem.layout.rows_of(problems)] = evaluation.iterate.y
            self._draw(self.y, f"step {step}, energy {float(evaluation.energy[0]):.3g}")

    def end(self, solution: Solution) -> None:
        """Draw the answer."""
        said = f"answer after {int(solution.steps[0])} steps"
        if solution.verified is not None:
            said += ", verified" if bool(solution.verified[0]) else ", not verified"
        self._draw(solution.y, said)

    def _draw(self, y: Tensor, said: str) -> None:
        grid = self.task.picture(self.problem, y)
        assert grid is not None
        drawn = Text(f"{said}\n")
        for line in grid.lines(self.right):
            drawn.append_text(Text.assemble(*((text, _STYLES[kind]) for text, kind in line), "\n"))
        if self.console.is_terminal:
            self.live.update(drawn, refresh=True)
            time.sleep(_PAUSE)
        else:
            self.console.print(drawn)
