"""What objectives keep to."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from irem_core.descent.gradient import GradientDescent
from irem_core.energies.landscape import Landscape
from irem_core.problems.iterate import Iterate
from irem_core.solvers.backprop import LastStep
from irem_core.solvers.objective import Lesson, Objective
from irem_core.tasks.task import Task
from irem_core.testing.parts import check_part
from irem_core.testing.support import (
    check_loss,
    contents,
    contract,
    copied,
    no_global_randomness,
    same,
    seeded_generator,
)


@contract
def check_objective(
    objective: Objective, energy: Landscape, task: Task, *, count: int = 6, step_size: float = 0.1
) -> None:
    """Check that an objective teaches an energy something, repeatably.

    Args:
        objective: the objective.
        energy: one that it is made for, built for the task; it is copied.
        task: draws the problems.
        count: how many.
        step_size: of the descent that is taken.

    Raises:
        AssertionError: it breaks its contract.
    """
    check_part(objective)
    title = type(objective).__name__
    energy = copy.deepcopy(energy)
    problem, target = task.sample(count, generator=seeded_generator(0))
    start = energy.start(problem, seeded_generator(1))
    kept = copied((problem, target, energy.state_dict()))

    def taught(seed: int) -> tuple[Tensor, Iterate | None]:
        lesson = Lesson(
            energy=energy,
            problem=problem,
            target=target,
            start=start,
            descent=GradientDescent(step_size=step_size),
            steps=3,
            backprop=LastStep(),
        )
        return objective.loss(lesson, seeded_generator(seed)), lesson.last

    with no_global_randomness(title):
        loss, last = taught(2)
    assert same(kept, contents((problem, target, energy.state_dict()))), (
        f"{title} changes the problems, the answers or the weights that it is given"
    )
    again, _ = taught(2)
    check_loss(loss, energy, title)
    assert torch.equal(loss, again), f"{title} has another loss with a generator of the same seed"
    assert objective.descends == (last is not None), (
        f"{title} says descends={objective.descends}, and a descent was "
        f"{'not ' * (last is None)}taken; problems are replayed where it says so"
    )
