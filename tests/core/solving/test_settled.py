"""Settled says CONVERGED where going on would not move the answer, and STALLED where it cannot."""

import pytest
import torch

from irem_core import (
    Adam,
    AnyOf,
    Backtracking,
    BarzilaiBorwein,
    Descent,
    EnergyFn,
    EnergyPlateau,
    Evaluation,
    GradientDescent,
    Iterate,
    Layout,
    Momentum,
    NotConvergedError,
    Outcome,
    Problem,
    Settled,
    VectorSpace,
    minimize,
)
from irem_core.testing.zoo import BATCHES, ZOO, Bowl, watch

CONVERGED, STALLED = Outcome.CONVERGED, Outcome.STALLED


def bowl(*curvatures, dtype=torch.float64):
    x = {"curvature": torch.tensor([curvatures], dtype=dtype)}
    return {**x, "center": torch.ones_like(x["curvature"])}


@pytest.mark.parametrize("relative", [1e-2, 1e-3, 1e-5])
def test_what_is_left_is_what_was_asked_for(relative):
    # Gradient descent leaves (1 - step)^t, so that the truth is known.
    rule = Settled(relative=relative)
    solution = minimize(
        Bowl(),
        bowl(1.0, 0.02),
        start=torch.zeros(1, 2, dtype=torch.float64),
        descent=GradientDescent(step_size=1.0),
        halting=rule,
    )
    left = 0.98 ** int(solution.steps)

    assert solution.outcome.tolist() == [CONVERGED]
    assert relative / 4 < left < 1.2 * relative


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1.0, 1e19, 1e30])
@pytest.mark.parametrize(
    "descent", [BarzilaiBorwein(), Backtracking(), Adam()], ids=["spectral", "backtracking", "adam"]
)
def test_the_energy_may_have_any_scale(descent, scale):
    x = bowl(scale, 4 * scale, dtype=torch.float32)
    solution = minimize(Bowl(), x, start=torch.zeros(1, 2), descent=descent)

    assert solution.outcome.tolist() == [CONVERGED]
    torch.testing.assert_close(solution.y, torch.ones(1, 2), rtol=0, atol=2e-3)


class Lifted(EnergyFn):
    def energy(self, context, y):
        return (y - 1).square().sum(1) - context[:, 0]


@pytest.mark.parametrize("lift", [1e3, -1e3, 1e8])
def test_an_energy_may_be_negative_or_hide_behind_an_offset(lift):
    descent = BarzilaiBorwein()
    solution = minimize(
        Lifted(), torch.tensor([[lift]]), start=torch.full((1, 1), -0.3), descent=descent
    )

    right = abs(float(solution.last) - 1) < 2e-3
    assert right or solution.outcome.tolist() != [CONVERGED]


class Lame(Descent):
    """Finds no step at all."""

    def step(self, evaluation, state, energy):
        return evaluation.iterate, state


def test_a_descent_that_finds_no_step_has_stalled():
    start = torch.tensor([[0.5, 0.5], [1.0, 1.0]], dtype=torch.float64)
    x = {"curvature": torch.ones_like(start), "center": torch.ones_like(start)}
    solution = minimize(Bowl(), x, start=start, descent=Lame())

    # The second starts where it should be.
    assert solution.outcome.tolist() == [STALLED, CONVERGED]
    with pytest.raises(NotConvergedError, match=r"1 \(0\): stalled: its descent found no step"):
        solution.check()


def test_bounds_that_hold_an_answer_let_it_converge():
    x = torch.tensor([[0.5, -3.0], [9.0, 9.0]], dtype=torch.float64)
    problem = Problem(
        {"curvature": torch.ones_like(x), "center": x}, VectorSpace(2, low=0.0, high=1.0)
    )
    for descent in (GradientDescent(step_size=0.3), BarzilaiBorwein(), Lame()):
        start = x.clamp(0, 1) if isinstance(descent, Lame) else torch.full_like(x, 0.9)
        solution = minimize(Bowl(), problem, start=start, descent=descent)
        assert solution.outcome.tolist() == [CONVERGED] * 2
        torch.testing.assert_close(solution.y, x.clamp(0, 1), rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", BATCHES)
def test_problems_halt_alike_in_a_batch_and_alone(name):
    animal = BATCHES[name]
    settings = {"descent": BarzilaiBorwein(), "halting": Settled(relative=1e-4)}
    solution = minimize(**animal.arguments(), **settings)
    assert solution.outcome.tolist() == [CONVERGED] * animal.count
    assert animal.distance(solution.y) < 1e-3
    for index in range(animal.count):
        alone = minimize(**animal.single(index).arguments(), **settings)
        assert alone.steps.item() == solution.steps[index].item()


class Norms(EnergyFn):
    """The sum of the distances of two pairs of entries."""

    def energy(self, context, y):
        return (y - context).unflatten(1, (2, 2)).square().sum(2).sqrt().sum(1)


def test_an_answer_at_a_kink_is_kept_and_called_stalled():
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    solution = minimize(Norms(), x, start=x.clone(), descent=GradientDescent(step_size=0.1))

    assert torch.equal(solution.y, x)
    assert solution.energy.tolist() == [0.0]
    assert solution.outcome.tolist() == [STALLED]


def test_rows_that_are_not_at_their_kink_go_on():
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0]], dtype=torch.float64)
    start = torch.tensor([[1.0, 2.0, 9.0, 9.0]], dtype=torch.float64)
    solution = minimize(Norms(), x, start=start, descent=BarzilaiBorwein())

    torch.testing.assert_close(solution.y, x, rtol=0, atol=1e-3)
    assert solution.outcome.tolist() != [Outcome.NONFINITE]


def test_the_later_of_two_answers_of_one_energy_is_returned():
    # 1e8 leaves float32 no digits for the rest of the energy.
    solution = minimize(
        Lifted(), torch.tensor([[-1e8]]), start=torch.zeros(1, 1), descent=BarzilaiBorwein()
    )

    assert solution.y.tolist() == [[1.0]]


def test_converged_counts_more_than_stalled_where_rules_are_combined():
    rule = AnyOf(Settled(), EnergyPlateau(patience=8))
    at = Iterate(torch.ones(1, 2), Layout(1))
    stuck = Evaluation(at, torch.ones(1), at)
    state, said = rule.init(stuck), []
    for _ in range(8):
        outcome, state = rule.update(stuck, stuck, state)
        said.append(outcome.item())

    assert said == [Outcome.RUNNING] * 7 + [CONVERGED]
    assert not rule.promises_arrival
    assert AnyOf(Settled()).promises_arrival


def test_a_heavy_ball_that_turns_has_not_arrived():
    # It swings around the minimum with a period of some 600 steps and hardly loses height.
    (watched,) = watch(
        ZOO["quadratic-1"], Momentum(step_size=1e-4, momentum=0.999), [Settled()], steps=700
    )
    assert (watched.outcome != CONVERGED).all()


@pytest.mark.parametrize(
    ("name", "descent"),
    [
        ("freudenstein-roth", BarzilaiBorwein(memory=1)),
        ("bard", Backtracking()),
    ],
)
def test_steps_across_a_valley_hide_what_is_left_along_it(name, descent):
    # In float32 rounding blurs how fast moves shrink.
    (watched,) = watch(ZOO[name], descent, [Settled()], steps=150, onward=150, dtype=torch.float32)

    assert not watched.false().any()
