"""IREM: the loss of Algorithm 1, and that it learns."""

import pytest
import torch

from irem_core import (
    IREM,
    Backtracking,
    DescentError,
    EdgeSpace,
    EnergyFn,
    FixedSteps,
    FullUnroll,
    GradientDescent,
    MLPEnergy,
    Outcome,
    Problem,
    VectorSpace,
    evaluate,
    fit,
)
from irem_core.testing.zoo import EdgeQuadratic, Quadratic
from irem_tasks import Add


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Toward(EnergyFn):
    """E = |y - w x|^2 / 2, whose minimum is w x."""

    def __init__(self):
        super().__init__()
        self.answer = VectorSpace(3)
        self.weight = torch.nn.Parameter(torch.tensor(0.5))

    def energy(self, context, y):
        return (y - self.weight * context).square().sum(1) / 2


def draw(count=4):
    x = torch.rand(count, 3, generator=generator(9))
    return Problem(x, VectorSpace(3)), -x


@pytest.mark.parametrize("supervise", ["last", "every"])
def test_the_loss_is_that_of_the_formula(supervise):
    solver = IREM(
        Toward(),
        steps=3,
        descent=GradientDescent(step_size=0.5),
        replay=0,
        objective=DescentError(supervise=supervise),
        backprop=FullUnroll(),
    )
    problem, target = draw()
    start = torch.empty(4, 3).uniform_(-1, 1, generator=generator(2))
    iterates = [0.5 * problem.x + 0.5**n * (start - 0.5 * problem.x) for n in (1, 2, 3)]
    errors = [((y - target) ** 2).mean() for y in iterates]

    loss = solver.loss(problem, target, generator(2))
    expected = errors[-1] if supervise == "last" else sum(errors)
    torch.testing.assert_close(loss.detach(), expected)


def test_replayed_problems_go_on_where_they_stopped():
    # From a replayed iterate the second descent continues: 2 + 2 steps of factor 1/2.
    solver = IREM(Toward(), steps=2, descent=GradientDescent(step_size=0.5), replay=4)
    problem, target = draw()
    solver.loss(problem, target, generator(2))
    start = torch.empty(4, 3).uniform_(-1, 1, generator=generator(2))
    center = 0.5 * problem.x
    held = {name: tensor.clone() for name, tensor in solver.training_state().items()}
    assert torch.equal(held["store0"], problem.x)
    assert torch.equal(held["store1"], target)
    torch.testing.assert_close(held["store2"], center + 0.25 * (start - center))

    loss = solver.loss(problem, target, generator(3))
    again = generator(3)
    fresh = torch.empty(4, 3).uniform_(-1, 1, generator=again)
    chosen = torch.randint(4, (4,), generator=again)
    before = torch.cat([fresh, held["store2"][chosen]])
    center, target = (torch.cat([each, each[chosen]]) for each in (center, target))
    ends = center + 0.25 * (before - center)
    torch.testing.assert_close(loss.detach(), ((ends - target) ** 2).mean())
    # All eight were pushed, the last four of which fit.
    torch.testing.assert_close(solver.training_state()["store2"], ends[4:])


@pytest.mark.parametrize(("replayed", "expected"), [(0, 6), (0.5, 9), (1, 12), (2.0, 18)])
def test_replayed_sets_their_number_per_fresh_problem(replayed, expected):
    counts = []

    class Counting(Toward):
        def energy(self, context, y):
            counts.append(len(y))
            return super().energy(context, y)

    solver = IREM(Counting(), steps=1, replay=50, replayed=replayed)
    for _ in range(2):
        solver.loss(*draw(6), generator())
    assert counts == [6, expected]


def test_the_loss_depends_on_its_generator_alone():
    solver = IREM(Toward(), steps=1, replay=0)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = solver.loss(*draw(), generator(5))

    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(first, solver.loss(*draw(), generator(5)))
    assert not torch.equal(first, solver.loss(*draw(), generator(6)))


def test_ragged_answers_are_trained_and_replayed():
    class Weighted(EdgeQuadratic):
        def __init__(self):
            super().__init__()
            self.answer = EdgeSpace(2)
            self.weight = torch.nn.Parameter(torch.tensor(0.0))

        def energy(self, context, y):
            return super().energy(context, y - self.weight)

    solver = IREM(Weighted(), steps=2, descent=GradientDescent(step_size=0.9), replayed=0.5)
    optimizer, seeded = torch.optim.SGD(solver.parameters(), lr=0.4), generator()
    for round_ in range(20):
        sizes = torch.randint(1, 4, (6,), generator=seeded) + 1
        owner = torch.arange(6).repeat_interleave(sizes)
        x = torch.rand(len(owner), 2, generator=seeded)
        optimizer.zero_grad()
        solver.loss(Problem(x, EdgeSpace(2), owner=owner), x + 0.7, seeded).backward()
        optimizer.step()
        assert len(solver.buffer) == min(9 * round_ + 6, 10_000)

    # The minimum of the energy is x + weight.
    assert solver.energy.weight.item() == pytest.approx(0.7, abs=0.1)


def test_solving_uses_the_descent_and_halting_of_training_unless_told():
    solver = IREM(
        Toward(), descent=GradientDescent(step_size=0.25), halting=FixedSteps(steps=3), replay=0
    )
    x, start = torch.ones(2, 3), torch.zeros(2, 3)
    plain = solver.solve(x, start=start)
    other = solver.solve(x, start=start, descent=Backtracking(), halting=FixedSteps(steps=9))

    torch.testing.assert_close(plain.last, torch.full((2, 3), 0.5 * (1 - 0.75**3)))
    assert plain.steps.tolist() == [3, 3]
    assert plain.outcome.tolist() == [Outcome.BUDGET_SPENT] * 2
    torch.testing.assert_close(other.y, torch.full((2, 3), 0.5))
    assert other.steps.tolist() == [9, 9]


def test_an_energy_without_a_space_is_solved_from_a_given_start():
    solver = IREM(Quadratic(), descent=GradientDescent(step_size=1.0))
    solution = solver.solve(torch.ones(2, 3), start=torch.zeros(2, 3)).check()

    assert torch.equal(solution.y, torch.ones(2, 3))


def test_learns_to_add():
    task = Add(size=8)
    energy = MLPEnergy.for_task(task, width=64, depth=2, seed=0)
    solver = IREM(energy, steps=2, descent=GradientDescent(step_size=20.0), replay=2000)
    before = evaluate(solver, task, problems=200, max_steps=10).mse
    fit(solver, task, iterations=200, batch_size=64, learning_rate=2e-3, seed=0)
    after = evaluate(solver, task, problems=200, max_steps=10)

    constant = task.floor("same").constant
    assert before > constant
    assert after.mse < constant / 4
    assert after.mse_by_step[2] < after.mse_by_step[0]


def test_the_tuned_preset_is_the_papers_but_on_graphs():
    kept, ours = (IREM.presets[name](*2 * [VectorSpace(4)]) for name in ("paper", "tuned"))
    assert kept == ours
    kept, ours = (IREM.presets[name](*2 * [EdgeSpace(1)]) for name in ("paper", "tuned"))
    assert kept.solver["descent"] == GradientDescent(step_size=100.0)
    assert kept.training == {"iterations": 10_000, "batch_size": 64, "learning_rate": 1e-4}
    descent = GradientDescent(step_size=10.0)
    assert ours.solver == {**kept.solver, "descent": descent, "replayed": 3.0}
    # As many problems an iteration as the paper's 64 and 32.
    assert ours.training["batch_size"] * (1 + ours.solver["replayed"]) == 64 + 32
    assert ours.training["iterations"] == kept.training["iterations"]
    assert (ours.training["learning_rate"], ours.training["schedule"]) == (1e-3, "cosine")
