"""Every descent and every halting rule on every kind of problem."""

from itertools import product

import pytest
import torch

from irem_core import FixedSteps, Outcome, minimize
from irem_core.testing.zoo import BATCHES
from walks import DESCENTS, HALTINGS

SEARCHING = ("lbfgs", "newton-cg", "anderson")
KINDS = ("bowl", "double-well", "ragged", "scratchpad")
# Neither knows of the other, so all pairs of a descent and a halting rule are for the slow tests.
PAIRS = [
    pytest.param(
        *pair, marks=() if pair[0] == "gradient" or pair[1] == "all-of" else pytest.mark.slow
    )
    for pair in product(DESCENTS, HALTINGS)
]


def descend(animal, descent, halting, dtype=torch.float64):
    settings = {"descent": DESCENTS[descent], "halting": HALTINGS[halting], "max_steps": 150}
    return minimize(**animal.arguments(dtype), **settings)


def assert_alone_is_the_same(animal, index, solution, atol, *settings):
    alone = descend(animal.single(index), *settings)
    first = sum((animal.rows or [1] * animal.count)[:index])
    rows = slice(first, first + len(alone.y))
    assert alone.steps.item() == solution.steps[index].item()
    assert alone.outcome.item() == solution.outcome[index].item()
    torch.testing.assert_close(alone.y, solution.y[rows], rtol=0, atol=atol)
    torch.testing.assert_close(alone.last, solution.last[rows], rtol=0, atol=atol)
    torch.testing.assert_close(alone.energy[0], solution.energy[index], rtol=0, atol=atol)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("descent", "halting"), PAIRS)
def test_finds_the_minimiser_of_each_problem_alone(name, halting, descent):
    animal = BATCHES[name]
    solution = descend(animal, descent, halting)

    assert animal.distance(solution.y) < 0.05
    fixed = isinstance(HALTINGS[halting], FixedSteps)
    expected = Outcome.BUDGET_SPENT if fixed else Outcome.CONVERGED
    assert solution.outcome.tolist() == [expected] * animal.count
    if fixed:
        assert solution.steps.tolist() == [20] * animal.count
    least = {"energy-plateau": 3, "all-of": 12}.get(halting, 1)
    assert least <= int(solution.steps.min()) <= int(solution.steps.max()) < 150
    # A step where the gradient is 0 to the bit needs no evaluation.
    assert (solution.evaluations > (1 if descent in SEARCHING else solution.steps)).all()
    assert_alone_is_the_same(animal, len(halting) % animal.count, solution, 1e-9, descent, halting)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("descent", DESCENTS)
def test_single_precision_agrees_and_repeats_to_the_bit(name, descent):
    animal, settings = BATCHES[name], (descent, "gradient-norm", torch.float32)
    solution, again = descend(animal, *settings), descend(animal, *settings)

    assert solution.y.dtype == torch.float32
    assert animal.distance(solution.y) < 0.03
    for index in (0, animal.count - 1):
        assert_alone_is_the_same(animal, index, solution, 1e-4, *settings)
    assert torch.equal(solution.y, again.y)
    assert torch.equal(solution.last, again.last)
    assert torch.equal(solution.evaluations, again.evaluations)
