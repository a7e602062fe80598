"""Answers that can be checked: when descents stop, start again, and which answer is chosen."""

import pytest
import torch

from irem_core import (
    AnyOf,
    EnergyFn,
    EnergyPlateau,
    FixedSteps,
    GradientDescent,
    NotConvergedError,
    Outcome,
    Problem,
    SettingError,
    VectorSpace,
    Verified,
    minimize,
    minimize_many,
)

SPACE = VectorSpace(1)


class Wells(EnergyFn):
    """Minima near -1 and 1, the left one lower by a tilt that the question gives."""

    def energy(self, context, y):
        return ((y.square() - 1).square() + context * y).sum(1)


def positive(problem, y):
    return y[:, 0] > 0.8


def wells(count, verify=positive):
    return Problem(torch.full((count, 1), 0.1), SPACE, verify=verify)


OPTIONS = {"descent": GradientDescent(step_size=0.05), "halting": EnergyPlateau()}


def test_problems_start_again_until_their_answer_holds_and_then_no_more():
    problem, starts = wells(40), torch.linspace(-1, 1, 40)[:, None]
    once = minimize(Wells(), problem, start=starts, **OPTIONS)
    assert torch.equal(once.verified, once.y[:, 0] > 0.8)
    again = minimize(Wells(), problem, start=starts, restarts=60, **OPTIONS)
    assert again.verified.all()
    assert (again.y > 0.8).all()
    assert torch.equal(again.evaluations[once.verified], once.evaluations[once.verified])
    assert (again.evaluations[~once.verified] > once.evaluations[~once.verified]).all()
    assert torch.equal(again.y[once.verified], once.y[once.verified])
    assert torch.equal(again.restarts > 0, ~once.verified)
    assert again.unverified() is None


def test_where_no_answer_holds_the_lowest_energy_is_the_answer_of_all_restarts():
    problem = wells(8, verify=lambda problem, y: torch.zeros(len(y), dtype=torch.bool))
    blind = wells(8, verify=None)
    first, second = (minimize(Wells(), each, restarts=4, **OPTIONS) for each in (problem, blind))
    assert not first.verified.any()
    assert first.restarts.tolist() == [4] * 8
    assert "satisfies all constraints was found in 4 restarts of 8 (0, 1" in first.unverified()
    assert second.verified is None
    for name in ("y", "energy", "evaluations", "steps", "outcome"):
        assert torch.equal(getattr(first, name), getattr(second, name))


def test_a_descent_stops_at_the_first_answer_that_holds_whatever_its_energy():
    problem, start = wells(2), torch.tensor([[0.3], [-0.3]])
    rule = AnyOf(Verified(), FixedSteps(steps=50))
    found = minimize(Wells(), problem, start=start, **{**OPTIONS, "halting": rule})
    assert found.outcome.tolist() == [Outcome.VERIFIED, Outcome.BUDGET_SPENT]
    assert torch.equal(found.y[0], found.last[0])
    before = minimize(Wells(), problem, start=start, **OPTIONS, max_steps=int(found.steps[0]) - 1)
    assert before.y[0] <= 0.8 < found.y[0]


def test_answers_that_do_not_hold_are_named_whatever_their_outcome():
    problem, start = wells(3), torch.tensor([[0.3], [-0.3], [-0.5]])
    found = minimize(Wells(), problem, start=start, **OPTIONS)
    assert (found.outcome == Outcome.CONVERGED).all()
    with pytest.raises(NotConvergedError, match=r"found in 0 restarts of 2 \(1, 2\) of 3 pr"):
        found.check()
    minimize(Wells(), problem, start=start, restarts=60, **OPTIONS).check()


def test_an_answer_that_holds_passes_the_check_whatever_its_outcome():
    solution = minimize(Wells(), wells(2), start=torch.ones(2, 1), max_steps=1, **OPTIONS)
    assert (solution.outcome == Outcome.BUDGET_SPENT).all()
    assert solution.check() is solution
    unchecked = minimize(Wells(), wells(2, None), start=torch.ones(2, 1), max_steps=1, **OPTIONS)
    with pytest.raises(NotConvergedError, match="spent its budget"):
        unchecked.check()


def test_streams_say_which_answers_hold_and_stop_there_too():
    rule = AnyOf(Verified(), EnergyPlateau())
    batches = [wells(3), wells(5), wells(2)]
    options = {**OPTIONS, "halting": rule, "capacity": 4}
    for solution in minimize_many(Wells(), batches, **options):
        assert torch.equal(solution.verified, solution.y[:, 0] > 0.8)
        assert torch.equal(solution.verified, solution.outcome == Outcome.VERIFIED)


def test_where_nothing_can_be_checked_the_rule_is_refused():
    with pytest.raises(SettingError, match="answers cannot be checked; take another rule"):
        minimize(Wells(), wells(1, verify=None), **{**OPTIONS, "halting": Verified()})
    # Where that is not required such problems are left to the other rules.
    lenient = AnyOf(Verified(required=False), FixedSteps(steps=3))
    unknown = minimize(Wells(), wells(2, verify=None), descent=OPTIONS["descent"], halting=lenient)
    assert (unknown.steps == 3).all()
    known = minimize(Wells(), wells(40), descent=OPTIONS["descent"], halting=lenient)
    assert ((known.outcome == Outcome.VERIFIED) == known.verified).all()
