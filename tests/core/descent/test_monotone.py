"""Steps up are undone, and then shorter or, as published, never taken again."""

import torch

from irem_core import EnergyFn, FixedSteps, Monotone, VectorSpace, minimize


class Bowl(EnergyFn):
    answer = VectorSpace(1)

    def energy(self, context, y):
        return (context * y.square()).sum(1)


def descend(shrink, steps):
    # A step of 1 along 2 c y leads from 1 to 1 - 2 c: down the first bowl, up the second.
    x, start = torch.tensor([[0.4], [1.5]]), torch.ones(2, 1)
    descent = Monotone(step_size=1.0, shrink=shrink)
    halting = FixedSteps(steps=steps)
    return minimize(Bowl(), x, start=start, descent=descent, halting=halting)


def test_a_step_up_is_undone_and_the_next_is_shorter():
    torch.testing.assert_close(descend(0.5, 1).last, torch.tensor([[0.2], [1.0]]))
    # Half as long it leads from 1 to 1 - 1.5.
    torch.testing.assert_close(descend(0.5, 2).last, torch.tensor([[0.04], [-0.5]]))
    assert (descend(0.5, 2).evaluations == 3).all()


def test_as_published_a_problem_whose_step_is_undone_stays():
    torch.testing.assert_close(descend(1.0, 20).last[1], torch.ones(1))
