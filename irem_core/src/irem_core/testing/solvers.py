"""What solvers keep to."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from irem_core.energies.landscape import Evaluation
from irem_core.problems.problem import Problem
from irem_core.solvers.base import Solver
from irem_core.solving.outcome import Outcome
from irem_core.solving.solution import Solution
from irem_core.tasks.task import Task
from irem_core.testing.support import (
    check_loss,
    check_preset,
    contents,
    contract,
    copied,
    cut,
    indices,
    no_global_randomness,
    same,
    seeded_generator,
)

_STEPS = 5


@contract
def check_solver(
    solver: Solver, task: Task, *, count: int = 6, tolerance: float = 1e-4, trains: bool = True
) -> None:
    """Check that a solver learns, answers repeatably and problem by problem, and resumes.

    Args:
        solver: built for the task; it is copied.
        task: draws the problems, dense or ragged.
        count: how many, at least 2.
        tolerance: by how much an answer may differ between a batch and its problem alone.
        trains: whether the solver has weights to train; False where its energy is written.

    Raises:
        AssertionError: it breaks its contract.
    """
    title = type(solver).__name__
    solver = copy.deepcopy(solver)
    problem, target = task.sample(count, generator=seeded_generator(0))
    with no_global_randomness(title):
        if trains:
            _check_loss(solver, problem, target, title)
            _check_resuming(solver, title)
        _check_solution(solver, problem, task, title)
        _check_apart(solver, problem, target, tolerance, title)
    for name, preset in type(solver).presets.items():
        check_preset(preset(task.question, task.answer), f"{title} has a preset {name!r} that")


def _check_loss(solver: Solver, problem: Problem, target: Tensor, title: str) -> None:
    kept = copied((problem, target))
    loss = solver(problem, target, seeded_generator(0))
    assert same(kept, contents((problem, target))), (
        f"{title} changes the problems or the answers that it learns from"
    )
    check_loss(loss, solver, title)


def _check_resuming(solver: Solver, title: str) -> None:
    state = solver.training_state()
    solver.restore_training_state({name: tensor.clone() for name, tensor in state.items()})
    restored = solver.training_state()
    assert state.keys() == restored.keys() and same(
        list(state.values()), [restored[name] for name in state]
    ), f"{title} does not take over its own training state, so a training could not be resumed"


def _check_solution(solver: Solver, problem: Problem, task: Task, title: str) -> None:
    kept = copied((problem, solver.state_dict()))
    solution = solver.solve(problem, max_steps=_STEPS)
    _check_fields(solution, problem, task, title)
    with torch.inference_mode():
        in_inference = solver.solve(problem, max_steps=_STEPS).y
    others = {
        "the second time": solver.solve(problem, max_steps=_STEPS).y,
        "in inference mode": in_inference,
    }
    if problem.layout.owner is None and problem.answer == task.answer:
        others["for a bare x"] = solver.solve(problem.x, max_steps=_STEPS).y
    for when, y in others.items():
        assert torch.equal(y, solution.y), f"{title} gives other answers {when}"
    assert same(kept, contents((problem, solver.state_dict()))), (
        f"{title} changes the problems or its weights by solving"
    )
    assert all(weight.grad is None for weight in solver.parameters()), (
        f"{title} leaves gradients on its weights by solving"
    )


def _check_fields(solution: Solution, problem: Problem, task: Task, title: str) -> None:
    count = problem.layout.count
    (problem.answer or task.answer).check("The answer y", solution.y, problem.layout.rows)
    assert not solution.y.requires_grad, f"{title} returns answers that carry a graph"
    for name in ("steps", "evaluations", "outcome"):
        value = getattr(solution, name)
        assert value.shape == (count,) and value.dtype == torch.int64, (
            f"{title} returns {name} of shape {tuple(value.shape)} and type {value.dtype}; "
            f"expected ({count},) of torch.int64"
        )
    most = int(solution.steps.max())
    assert most <= _STEPS, f"{title} takes {most} steps where max_steps={_STEPS}"
    assert bool((solution.outcome != Outcome.RUNNING).all()), (
        f"{title} returns problems that are still running; where the steps are spent, that is "
        "Outcome.BUDGET_SPENT"
    )
    answered = bool((solution.outcome == Outcome.ANSWERED).all())
    assert (solution.energy is None) == answered, (
        f"{title} returns energies {solution.energy} and outcomes {solution.outcome.tolist()}; the "
        "outcome is Outcome.ANSWERED where there is no energy, and only there"
    )


def _check_apart(
    solver: Solver, problem: Problem, target: Tensor, tolerance: float, title: str
) -> None:
    layout, last = problem.layout, problem.layout.count - 1
    rows = layout.rows_of(indices(layout, last))
    start = torch.zeros_like(target)
    seen: list[int] = []

    def observe(step: int, problems: Tensor, evaluation: Evaluation) -> None:
        seen.append(step)

    settings: dict[str, Any] = {"max_steps": 3}
    whole = solver.solve(problem, start=start, observer=observe, **settings)
    alone = solver.solve(cut(problem, last), start=start[rows], **settings)
    assert seen == sorted(seen), f"{title} shows its observer the steps {seen}, out of order"
    if whole.z is not None:
        return  # The scratchpad of a start is drawn, and another one for another batch.
    torch.testing.assert_close(
        alone.y,
        whole.y[rows],
        rtol=tolerance,
        atol=tolerance,
        msg=lambda difference: (
            f"{title} gives a problem another answer in a batch than alone; treat problems apart. "
            f"{difference}"
        ),
    )
