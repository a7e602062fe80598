"""Whether what a task draws is in its spaces."""

from __future__ import annotations

from torch import Tensor

from irem_core.problems.problem import Problem
from irem_core.tasks.task import Task


def check_drawn(task: Task, problem: Problem, y: Tensor) -> None:
    """Check that drawn problems and answers are in the spaces of their task.

    Raises:
        ShapeError: one is not.
        NonFiniteError: an entry is NaN or infinite.
    """
    layout, where = problem.layout, f"{type(task).__name__}.draw's"
    (problem.answer or task.answer).check(f"{where} y", y, layout.rows)
    if isinstance(problem.x, Tensor) and problem.answer in (None, task.answer):
        rows = layout.rows if task.question.ragged else layout.count
        task.question.check(f"{where} x", problem.x, rows)
