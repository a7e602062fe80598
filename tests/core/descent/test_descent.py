"""Each way to step, against its formula or another implementation."""

import pytest
import torch

from irem_core import (
    LBFGS,
    Adam,
    Anderson,
    Backtracking,
    BarzilaiBorwein,
    EnergyFn,
    FixedSteps,
    GradientDescent,
    LevenbergMarquardt,
    Momentum,
    Nesterov,
    minimize,
)
from irem_core.testing.zoo import BATCHES, Bowl, Quadratic

CURVATURE = torch.tensor([[0.7, 1.3], [2.0, 0.5]], dtype=torch.float64)
CENTER = torch.tensor([[0.2, -0.4], [1.0, 0.3]], dtype=torch.float64)
START = torch.tensor([[1.0, 0.9], [-0.5, -1.0]], dtype=torch.float64)


def energy_at(y):
    return (CURVATURE * (y - CENTER) ** 2).sum(1) / 2


def slope_at(y):
    return CURVATURE * (y - CENTER)


def path(descent, steps, energy=None, x=None, start=START):
    """Return the iterates `(B, steps + 1, n)` and the solution."""
    solution = minimize(
        energy or Bowl(),
        {"curvature": CURVATURE, "center": CENTER} if x is None else x,
        descent=descent,
        start=start,
        halting=FixedSteps(steps=steps),
        record="y",
    )
    return solution.trace.y.unflatten(0, (len(start), steps + 1)), solution


def test_gradient_descent_contracts_each_entry_by_its_own_factor():
    iterates, solution = path(GradientDescent(step_size=0.3), 6)

    for step in range(7):
        expected = CENTER + (1 - 0.3 * CURVATURE) ** step * (START - CENTER)
        torch.testing.assert_close(iterates[:, step], expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(solution.energy, energy_at(iterates[:, 6]), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("descent", "optimizer", "settings"),
    [
        (Momentum(step_size=0.1, momentum=0.8), torch.optim.SGD, {"lr": 0.1, "momentum": 0.8}),
        (
            Nesterov(step_size=0.1, momentum=0.8),
            torch.optim.SGD,
            {"lr": 0.1, "momentum": 0.8, "nesterov": True},
        ),
        (
            Adam(step_size=0.07, decay=0.8, square_decay=0.95, epsilon=1e-3),
            torch.optim.Adam,
            {"lr": 0.07, "betas": (0.8, 0.95), "eps": 1e-3},
        ),
        (Adam(step_size=0.05), torch.optim.Adam, {"lr": 0.05}),
    ],
)
def test_agrees_with_torch_optim(descent, optimizer, settings):
    iterates, _ = path(descent, 12)

    y = START.clone().requires_grad_()
    reference = optimizer([y], **settings)
    for step in range(13):
        torch.testing.assert_close(iterates[:, step], y.detach(), rtol=0, atol=1e-12)
        reference.zero_grad()
        energy_at(y).sum().backward()
        reference.step()


def test_barzilai_borwein_takes_the_inverse_of_the_curvature_just_seen():
    # Monotone enough here that the line search accepts every first trial.
    iterates, solution = path(BarzilaiBorwein(), 6)

    assert (solution.evaluations == 1 + 2 * 6).all()
    before, y = START, START - slope_at(START) / slope_at(START).abs().amax(1, keepdim=True)
    torch.testing.assert_close(iterates[:, 1], y, rtol=0, atol=1e-14)
    for step in range(2, 7):
        moved, bent = y - before, slope_at(y) - slope_at(before)
        size = (moved * moved).sum(1) / (moved * bent).sum(1)
        before, y = y, y - size[:, None] * slope_at(y)
        torch.testing.assert_close(iterates[:, step], y, rtol=1e-9, atol=1e-12)


def test_barzilai_borwein_solves_one_dimension_exactly_at_its_second_step():
    start = torch.tensor([[0.9], [-7.0]], dtype=torch.float64)
    x = {"curvature": torch.tensor([[3.0], [0.01]]).double(), "center": torch.zeros(2, 1).double()}
    iterates, _ = path(BarzilaiBorwein(), 2, x=x, start=start)

    torch.testing.assert_close(iterates[:, 1], start - start.sign(), rtol=0, atol=1e-12)
    torch.testing.assert_close(iterates[:, 2], torch.zeros(2, 1).double(), rtol=0, atol=1e-10)


class Ripples(EnergyFn):
    """A bumpy function of one entry, on which many first trials fail."""

    def energy(self, context, y):
        return (y.square() + 0.5 * torch.sin(9 * y)).sum(1)


class FlatTop(EnergyFn):
    """Bends downwards almost everywhere."""

    def energy(self, context, y):
        return -torch.exp(-y.square()).sum(1)


def rippled(y):
    return (y**2 + 0.5 * torch.sin(9 * y)).sum(1)


def ripple_slope(y):
    return 2 * y + 4.5 * torch.cos(9 * y)


@pytest.mark.parametrize("decrease", [1e-4, 0.4])
def test_backtracking_meets_armijo_at_every_step_and_shortens_no_more_than_needed(decrease):
    start = torch.linspace(-1, 1, 6, dtype=torch.float64)[:, None]
    iterates, _ = path(
        Backtracking(decrease=decrease, grow=3.0, shrink=0.25), 8, Ripples(), start, start
    )

    trial = 1 / ripple_slope(start).abs()[:, 0]
    refused = 0
    for step in range(8):
        y, slope = iterates[:, step], ripple_slope(iterates[:, step])
        squared = (slope**2).sum(1)
        taken = ((y - iterates[:, step + 1]) * slope).sum(1) / squared
        fall = rippled(y) - rippled(iterates[:, step + 1])
        assert (fall >= decrease * taken * squared - 1e-12).all()
        for problem in range(6):
            size = trial[problem]
            at = y[problem : problem + 1]
            while rippled(at - size * ripple_slope(at)) > rippled(at) - (
                decrease * size * squared[problem]
            ):
                size, refused = size / 4, refused + 1
            torch.testing.assert_close(taken[problem], size, rtol=1e-6, atol=1e-12)
            trial[problem] = 3 * size
    assert refused > 6


@pytest.mark.parametrize("descent", [Backtracking(), BarzilaiBorwein()])
def test_every_call_of_the_energy_is_counted(descent):
    class Counting(Ripples):
        calls = 0

        def energy(self, context, y):
            self.calls += 1
            return super().energy(context, y)

    energy, start = Counting(), torch.tensor([[0.3]], dtype=torch.float64)
    solution = minimize(energy, start, start=start, descent=descent, halting=FixedSteps(steps=9))

    assert solution.evaluations.item() == energy.calls
    assert energy.calls > 2 * 9 + 1


def test_plain_descents_spend_one_evaluation_a_step():
    for descent in (GradientDescent(step_size=0.1), Momentum(step_size=0.1), Adam()):
        assert path(descent, 5)[1].evaluations.tolist() == [6, 6]


@pytest.mark.parametrize("memory", [1, 4])
def test_barzilai_borwein_stays_below_its_recent_maximum(memory):
    start = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    iterates, _ = path(BarzilaiBorwein(memory=memory), 10, Ripples(), start, start)

    energies = torch.stack([rippled(iterates[:, step]) for step in range(11)])
    for step in range(1, 11):
        ceiling = energies[max(0, step - memory) : step].amax(0)
        assert (energies[step] <= ceiling + 1e-12).all()


def test_barzilai_borwein_lengthens_its_step_where_the_energy_bends_downwards():
    start = torch.tensor([[-2.5]], dtype=torch.float64)
    iterates, _ = path(BarzilaiBorwein(), 30, FlatTop(), start, start)

    assert iterates[0, -1].abs().item() < 1e-6


@pytest.mark.parametrize("descent", [Backtracking(), BarzilaiBorwein()])
def test_line_searches_stay_where_nothing_is_lower(descent):
    at = torch.tensor([[0.5, -0.25]], dtype=torch.float64)
    iterates, solution = path(descent, 3, Quadratic(), at, at)

    assert torch.equal(iterates[0], at.expand(4, 2))
    assert solution.energy.item() == 0


class Edge(EnergyFn):
    """Lowest at 0, where it is steep still."""

    def residuals(self, context, y):
        return torch.where(y >= 0, 1 + y, 1 - 2 * y).sqrt()

    def energy(self, context, y):
        return self.residuals(context, y).square().sum(1)


SEARCHING = [Anderson(), Backtracking(), BarzilaiBorwein(), LBFGS(), LevenbergMarquardt()]


@pytest.mark.parametrize("descent", SEARCHING, ids=lambda each: type(each).__name__)
def test_a_search_that_found_nothing_is_not_made_again(descent):
    start = torch.tensor([[0.0], [3.0]], dtype=torch.float64)
    some, more = (
        minimize(Edge(), start, start=start, descent=descent, halting=FixedSteps(steps=steps))
        for steps in (20, 60)
    )

    assert some.y[0].item() == 0
    # Descents that do not settle their steps evaluate where they stay.
    assert (more.evaluations - some.evaluations)[0].item() <= 40


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("descent", [Backtracking(), BarzilaiBorwein()])
def test_tuning_free_descents_do_not_mind_the_scale_of_the_energy(descent, scale):
    animal = BATCHES["bowl"]
    x = animal.x | {"curvature": animal.x["curvature"] * scale}
    solution = minimize(Bowl(), x, start=animal.start, descent=descent, max_steps=200)

    assert solution.check() is solution
    assert animal.distance(solution.y) < 0.03
