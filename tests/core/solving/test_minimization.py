"""What a descent costs, what it leaves alone, and how it fails."""

import pytest
import torch

from irem_core import (
    Backtracking,
    BarzilaiBorwein,
    EdgeSpace,
    EnergyFn,
    EnergyPlateau,
    FixedSteps,
    GradientDescent,
    GradientNorm,
    Iterate,
    NotConvergedError,
    Outcome,
    Problem,
    VectorSpace,
    minimize,
)
from irem_core.testing.zoo import BATCHES, Bowl, Quadratic

STEP = GradientDescent(step_size=0.5)


class Counted(Bowl):
    """Counts calls, and the rows that each call evaluates."""

    def __init__(self):
        super().__init__()
        self.rows, self.encoded = [], 0

    def encode(self, problem):
        self.encoded += 1
        return super().encode(problem)

    def energy(self, context, y):
        self.rows.append(y.shape[0])
        return super().energy(context, y)


def test_cost_follows_the_steps_that_each_problem_needs():
    count = 300
    curvature = torch.logspace(-1.6, 0.25, count, dtype=torch.float64)[:, None]
    curvature = curvature[torch.randperm(count, generator=torch.Generator().manual_seed(0))]
    energy, start = Counted(), torch.ones(count, 1, dtype=torch.float64)
    x = {"curvature": curvature, "center": torch.zeros_like(start)}
    solution = minimize(
        energy,
        x,
        start=start,
        descent=GradientDescent(step_size=1.0),
        halting=GradientNorm(tolerance=3e-4),
        max_steps=200,
    )

    assert int(solution.steps.min()) < 6
    assert int(solution.steps.max()) > 140
    assert sum(energy.rows) <= 1.25 * int((solution.steps + 1).sum())
    assert energy.encoded == 1
    assert len(energy.rows) == int(solution.steps.max()) + 1
    remaining = (1 - curvature) ** solution.steps[:, None]
    torch.testing.assert_close(solution.last, remaining, rtol=0, atol=1e-9)


def test_the_answer_is_the_lowest_iterate_and_not_the_last():
    # Each step of 2.4 multiplies the distance by -1.4.
    start = torch.tensor([[0.1], [0.3]], dtype=torch.float64)
    solution = minimize(
        Quadratic(),
        torch.zeros(2, 1, dtype=torch.float64),
        start=start,
        descent=GradientDescent(step_size=2.4),
        halting=FixedSteps(steps=3),
    )

    assert torch.equal(solution.y, start)
    torch.testing.assert_close(solution.energy, start.square()[:, 0] / 2, rtol=0, atol=1e-15)
    torch.testing.assert_close(solution.last, start * (-1.4) ** 3, rtol=0, atol=1e-14)


def test_no_step_at_all_returns_the_start():
    start = torch.ones(2, 3)
    solution = minimize(Quadratic(), torch.zeros(2, 3), start=start, descent=STEP, max_steps=0)

    assert torch.equal(solution.y, start)
    assert solution.steps.tolist() == [0, 0]
    assert solution.evaluations.tolist() == [1, 1]
    assert solution.outcome.tolist() == [Outcome.BUDGET_SPENT] * 2


def test_the_budget_ends_what_has_not_converged():
    solution = minimize(**BATCHES["bowl"].arguments(), descent=STEP, max_steps=2)

    assert solution.outcome.tolist() == [Outcome.BUDGET_SPENT] * 4
    assert solution.steps.tolist() == [2] * 4
    with pytest.raises(NotConvergedError, match=r"4 \(0, 1, 2, 3\): spent its budget"):
        solution.check()


class Cliff(Quadratic):
    """A quadratic that turns `bad` below -0.9; or higher, with a gradient of NaN."""

    def __init__(self, bad, gradient_alone=False):
        super().__init__()
        self.bad, self.gradient_alone = bad, gradient_alone

    def energy(self, context, y):
        energy = super().energy(context, y)
        fallen = (y < -0.9).any(1)
        if self.gradient_alone:
            # The root of 0 has an infinite slope, times 0 in the chain rule: NaN.
            hidden = torch.where(fallen, 0.0, 1.0)
            return energy + 9 * fallen + 0 * (y.sum(1) * hidden).square().sqrt()
        return torch.where(fallen, self.bad, energy)


@pytest.mark.parametrize(
    "energy",
    [
        Cliff(torch.nan),
        Cliff(torch.inf),
        Cliff(-torch.inf),
        Cliff(0.0, gradient_alone=True),
    ],
)
@pytest.mark.parametrize("position", [0, 2, 11])
def test_a_problem_that_turns_nonfinite_stops_there_and_disturbs_nobody(energy, position):
    count = 12
    x = torch.linspace(-0.5, 0.5, count, dtype=torch.float64)[:, None].repeat(1, 2)
    start = torch.full((count, 2), 0.8, dtype=torch.float64)
    settings = {"descent": STEP, "halting": GradientNorm(tolerance=1e-6), "max_steps": 60}
    clean = minimize(Quadratic(), x, start=start, **settings)
    x[position] = -2.0
    solution = minimize(energy, x, start=start, **settings)

    # Towards -2 by halves: 0.8, -0.6, -1.3; the last of these lies over the cliff.
    at = torch.full((2,), -0.6, dtype=torch.float64)
    torch.testing.assert_close(solution.last[position], at, rtol=0, atol=1e-14)
    torch.testing.assert_close(solution.y[position], at, rtol=0, atol=1e-14)
    assert solution.energy[position].item() == pytest.approx(1.4**2)
    assert solution.steps[position].item() == 1
    assert solution.outcome[position].item() == Outcome.NONFINITE

    others = torch.arange(count) != position
    assert torch.equal(solution.y[others], clean.y[others])
    assert torch.equal(solution.steps[others], clean.steps[others])
    assert (solution.outcome[others] == Outcome.CONVERGED).all()
    with pytest.raises(NotConvergedError, match=rf"1 \({position}\): turned NaN or infinite"):
        solution.check()


def test_a_problem_that_starts_nonfinite_takes_no_step():
    start = torch.tensor([[-1.0, 0.0], [0.5, 0.0]])
    solution = minimize(Cliff(torch.nan), torch.zeros(2, 2), start=start, descent=STEP)

    assert solution.outcome.tolist() == [Outcome.NONFINITE, Outcome.CONVERGED]
    assert solution.steps[0].item() == 0
    assert torch.equal(solution.y[0], start[0])


@pytest.mark.parametrize("descent", [Backtracking(), BarzilaiBorwein()])
def test_line_searches_shrink_away_from_a_cliff(descent):
    x = torch.tensor([[-0.85, 0.3], [0.1, 0.2]], dtype=torch.float64)
    start = torch.full((2, 2), 0.9, dtype=torch.float64)
    solution = minimize(
        Cliff(torch.inf), x, start=start, descent=descent, halting=GradientNorm(tolerance=1e-4)
    )

    solution.check()
    torch.testing.assert_close(solution.y, x, rtol=0, atol=1e-4)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("name", BATCHES)
def test_works_in_every_grad_mode(name, mode):
    plain = minimize(**BATCHES[name].arguments(), descent=STEP)
    with mode():
        arguments = BATCHES[name].arguments()
        solution = minimize(**arguments, descent=STEP)

    assert torch.equal(solution.y, plain.y)
    assert not solution.y.requires_grad


def test_leaves_what_it_was_given_as_it_was():
    x, start = torch.zeros(3, 2), torch.ones(3, 2)
    for tensor in (x, start):
        tensor.requires_grad_()
    kept = x.detach().clone(), start.detach().clone()
    state = torch.get_rng_state()
    solution = minimize(Quadratic(), x, start=start, descent=STEP)
    minimize(Quadratic(), Problem(x, VectorSpace(2)), descent=STEP)

    assert torch.equal(x, kept[0])
    assert torch.equal(start, kept[1])
    assert x.requires_grad
    assert start.requires_grad
    assert x.grad is None
    assert start.grad is None
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    solution.y.add_(5.0)
    solution.last.add_(5.0)
    assert torch.equal(start, kept[1])


def test_starts_come_from_the_generator_alone():
    problem = Problem(torch.zeros(2000, 3), VectorSpace(3))

    def start(seed=None):
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return minimize(Quadratic(), problem, descent=STEP, max_steps=0, generator=generator).y

    torch.manual_seed(5)
    first = start()
    torch.manual_seed(6)
    assert torch.equal(first, start())
    assert torch.equal(first, start(0))
    assert not torch.equal(first, start(1))
    assert first.abs().max() <= 1
    # Standard errors of the moments of U(-1, 1) from 6,000 draws: 0.0075 and 0.0038.
    assert abs(first.mean()) < 0.04
    assert abs(first.square().mean() - 1 / 3) < 0.02


def test_ragged_starts_have_one_row_an_edge():
    owner = torch.tensor([0, 0, 0, 1])
    energy = BATCHES["ragged"].energy
    problem = Problem(torch.zeros(4, 2), EdgeSpace(2), owner=owner)
    solution = minimize(energy, problem, descent=STEP)

    assert solution.y.shape == (4, 2)
    assert solution.steps.shape == (2,)


@pytest.mark.parametrize("descent", [STEP, Backtracking(), BarzilaiBorwein()])
def test_bounded_answers_stay_within_their_bounds(descent):
    space = VectorSpace(2, low=0.0, high=0.75)
    x = torch.tensor([[-1.0, 0.5], [2.0, 0.25]], dtype=torch.float64)
    seen = []
    solution = minimize(
        Quadratic(),
        Problem(x, space),
        descent=descent,
        max_steps=30,
        halting=EnergyPlateau(tolerance=1e-9),
        observer=lambda step, problems, evaluation: seen.append(evaluation.iterate.y),
    )

    torch.testing.assert_close(solution.y, x.clamp(0.0, 0.75), rtol=0, atol=1e-3)
    assert all(bool(((y >= 0) & (y <= 0.75)).all()) for y in seen)


def test_a_start_outside_the_bounds_is_moved_within():
    problem = Problem(torch.zeros(1, 2), VectorSpace(2, low=0.0))
    start = torch.tensor([[-3.0, 3.0]])
    solution = minimize(Quadratic(), problem, start=start, descent=STEP, max_steps=0)

    assert solution.y.tolist() == [[0.0, 3.0]]


def test_the_trace_holds_each_problem_as_long_as_it_ran():
    x = {"curvature": torch.tensor([[1.0], [0.2], [0.5]]), "center": torch.zeros(3, 1)}
    start = torch.tensor([[1.0], [1.0], [0.5]])
    solution = minimize(
        Bowl(),
        x,
        start=start,
        descent=GradientDescent(step_size=1.0),
        halting=GradientNorm(tolerance=0.1),
        record=("energy", "gradient_norm", "y"),
    )

    assert solution.steps.tolist() == [1, 4, 2]
    trace = solution.trace
    assert trace.problem.tolist() == [0] * 2 + [1] * 5 + [2] * 3
    assert trace.step.tolist() == [0, 1, 0, 1, 2, 3, 4, 0, 1, 2]
    slow = trace.of(1)
    expected = 0.8 ** torch.arange(5.0)
    torch.testing.assert_close(slow.y[:, 0], expected)
    torch.testing.assert_close(slow.energy, 0.1 * expected**2)
    torch.testing.assert_close(slow.gradient_norm, 0.2 * expected)


def test_an_observer_sees_problems_by_their_number_while_they_run():
    x = {"curvature": torch.tensor([[1.0], [0.2]]), "center": torch.zeros(2, 1)}
    seen = []
    minimize(
        Bowl(),
        x,
        start=torch.ones(2, 1),
        descent=GradientDescent(step_size=1.0),
        halting=GradientNorm(tolerance=0.15),
        observer=lambda step, problems, evaluation: seen.append((step, problems.tolist())),
    )

    assert seen == [(0, [0, 1]), (1, [0, 1]), (2, [1])]


def test_an_iterate_is_a_start_too():
    layout = Problem(torch.zeros(2, 2)).layout
    start = Iterate(torch.ones(2, 2), layout)
    solution = minimize(Quadratic(), torch.zeros(2, 2), start=start, descent=STEP, max_steps=1)

    assert torch.equal(solution.y, torch.full((2, 2), 0.5))


def test_an_energy_with_weights_leaves_them_without_gradients():
    class Weighted(EnergyFn):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))

        def energy(self, context, y):
            return self.scale * (y - context).square().sum(1)

    energy = Weighted()
    minimize(energy, torch.zeros(1, 2), start=torch.ones(1, 2), descent=STEP)

    assert energy.scale.grad is None
