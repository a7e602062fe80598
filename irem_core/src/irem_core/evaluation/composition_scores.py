"""How well a composed solver does (Table 4 of the paper)."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from irem_core import checks
from irem_core.descent.base import Descent
from irem_core.distributed import derive
from irem_core.errors import SettingError
from irem_core.evaluation.evaluation import written
from irem_core.problems.problem import Problem
from irem_core.problems.space import VectorSpace, uniform
from irem_core.solvers.base import Solver, budget, descent_of, halting_of
from irem_core.solvers.composition import compose
from irem_core.solving.halting import HaltingCriterion
from irem_core.tasks.task import Task


def score_composition(
    solver: Solver,
    task: Task,
    k: int,
    *,
    problems: int = 1000,
    seed: int = 1,
    max_steps: int | None = None,
    descent: Descent | None = None,
    halting: HaltingCriterion | None = None,
) -> dict[str, Any]:
    """Score k applications of a solver on operands from U(-1, 1) against the task's oracle.

    Every application halts by itself (Algorithm 2).

    Args:
        solver: what to compose.
        task: a task on vectors whose question is one or more operands end to end.
        k: applications.
        problems: chains to score.
        seed: of operands and starts.
        max_steps: the most steps of each application; the solver's own if None.
        descent: how to step; that of training if None.
        halting: when an application has arrived; the solver's own rule if None.

    Returns:
        `mse`, `steps_mean`, `answer_mean_square`, `mse_by_application`, and the settings that they
        were measured with.

    Raises:
        SettingError: the task's question is no sequence of operands of the answer's size, or it
            knows no exact answers.
    """
    checks.check(checks.count, "score_composition", k=k, problems=problems)
    arity, rest = divmod(task.question.size, task.answer.size)
    vectors = isinstance(task.question, VectorSpace) and isinstance(task.answer, VectorSpace)
    if rest or not vectors:
        raise SettingError(
            f"{type(task).__name__} maps {task.question!r} to {task.answer!r}, which does not "
            "compose; expected vectors whose question is one or more answers end to end."
        )
    first = next(solver.parameters(), torch.zeros(()))
    generator = torch.Generator(first.device).manual_seed(derive(seed, "composition", k))
    shape = (problems, task.answer.size)
    operands = [uniform(shape, generator, first.device) for _ in range(k * (arity - 1) + 1)]
    most = budget(solver, task, max_steps)
    # Before anything is solved, since a task need not know exact answers.
    exact = [
        compose(partial(_exact, task), length)(*operands[: length * (arity - 1) + 1])
        for length in range(1, k + 1)
    ]
    solution = compose(solver, k).solve(
        operands,
        max_steps=most,
        descent=descent,
        halting=halting,
        generator=generator,
    )

    errors = [
        float((part.y - wanted).double().square().mean())
        for part, wanted in zip(solution.parts, exact, strict=True)
    ]
    return {
        "problems": problems,
        "seed": seed,
        "max_steps": most,
        "descent": written(descent or descent_of(solver)),
        "halting": written(halting or halting_of(solver)),
        "mse": errors[-1],
        "mse_by_application": errors,
        "steps_mean": float(solution.steps.double().mean()),
        "answer_mean_square": float(exact[-1].double().square().mean()),
    }


def _exact(task: Task, x: Tensor) -> Tensor:
    try:
        return task.oracle(Problem(x, task.answer))
    except NotImplementedError as error:
        raise SettingError(
            f"{type(task).__name__} knows no exact answers (Task.oracle), so the error of a "
            "composition cannot be measured; irem_core.compose in Python composes without."
        ) from error
