"""Contract checks that anyone can run on a part of their own, under pytest or without it.

Each check takes a part and raises an AssertionError, in a sentence, where the part does not keep to
what the rest of the library relies on:

    from irem_core.testing import check_task

    def test_my_task():
        check_task(MyTask())
"""

from irem_core.testing.descents import check_backprop, check_descent
from irem_core.testing.energies import check_energy
from irem_core.testing.halting import check_halting
from irem_core.testing.objectives import check_objective
from irem_core.testing.parts import check_part, check_schedule, check_space
from irem_core.testing.solvers import check_solver
from irem_core.testing.tasks import check_task

__all__ = [
    "check_backprop",
    "check_descent",
    "check_energy",
    "check_halting",
    "check_objective",
    "check_part",
    "check_schedule",
    "check_solver",
    "check_space",
    "check_task",
]
