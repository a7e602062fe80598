"""Energies that add up: against closed forms, and against the energies that they are made of."""

import pytest
import torch

from irem_core import (
    IREM,
    EnergyFn,
    EnergyPlateau,
    FixedSteps,
    GINEEnergy,
    GradientDescent,
    MLPEnergy,
    Problem,
    ScratchpadMLPEnergy,
    SettingError,
    VectorSpace,
    WeightedEnergies,
    load,
    minimize,
)
from irem_core.energies.landscape import differentiate
from irem_core.problems.iterate import Iterate
from irem_core.testing.zoo import Quadratic, ScratchpadQuadratic
from irem_tasks import Add
from irem_tasks.graphs import ShortestPath
from trainings import TASK, ScratchEnergy, bits, small_solver, train


class Toward(EnergyFn):
    """E = |y - c|^2 / 2 for a constant c."""

    def __init__(self, center: float):
        super().__init__()
        self.center = center

    def energy(self, context, y):
        return (y - self.center).square().flatten(1).sum(1) / 2


class NotBelow(EnergyFn):
    """E = sum max(0, low - y)^2 / 2."""

    def __init__(self, low: float = 0.0):
        super().__init__()
        self.low = low

    def energy(self, context, y):
        return (self.low - y).clamp(min=0).square().flatten(1).sum(1) / 2


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def found(energy, x, step_size, start=None):
    descent, halting = GradientDescent(step_size=step_size), EnergyPlateau(tolerance=1e-14)
    start = torch.zeros_like(x) if start is None else start
    return minimize(energy, x, start=start, descent=descent, halting=halting, max_steps=5000).y


def test_the_minimum_of_a_sum_lies_at_the_weighted_mean():
    x = normal(5, 3)
    energy = 2 * Quadratic() + Toward(1.0) * 0.5 + Toward(-3.0)
    expected = (2 * x + 0.5 * 1.0 - 3.0) / 3.5
    torch.testing.assert_close(found(energy, x, 0.2), expected, rtol=0, atol=1e-6)


def test_a_constraint_that_training_never_saw_is_imposed_by_weight():
    """With weight w the answer to x < 0 is x / (1 + w), which a large weight brings to 0."""
    x = normal(50, 4)
    for weight in (1.0, 9.0, 99.0):
        answer = found(Quadratic() + weight * NotBelow(), x, 1 / (1 + weight))
        expected = torch.where(x < 0, x / (1 + weight), x)
        torch.testing.assert_close(answer, expected, rtol=0, atol=1e-5)


def test_energies_and_gradients_are_the_weighted_sums_of_their_own():
    energies = [MLPEnergy(VectorSpace(3), VectorSpace(3)).double(), Quadratic(), Toward(0.3)]
    weights = [0.7, -2.0, 1e-3]
    whole = sum(weight * energy for weight, energy in zip(weights, energies, strict=True))
    assert isinstance(whole, WeightedEnergies)
    assert len(whole.energies) == 3
    x, y = normal(6, 3), normal(6, 3, seed=1)
    iterate = Iterate(y, Problem(x).layout)
    each = [differentiate(one, one.encode(Problem(x)), iterate) for one in energies]
    together = differentiate(whole, whole.encode(whole.problem(x)), iterate)
    expected = sum(w * one.energy for w, one in zip(weights, each, strict=True))
    torch.testing.assert_close(together.energy, expected)
    expected = sum(w * one.slope.y for w, one in zip(weights, each, strict=True))
    torch.testing.assert_close(together.slope.y, expected)
    torch.testing.assert_close(whole(x, y), together.energy)


def test_sums_of_sums_are_flat_and_multiples_multiply():
    a, b, c = Quadratic(), Toward(1.0), Toward(2.0)
    whole = 2 * (a + 3 * b) + (b + c) * 0.5
    assert [(weight, energy) for weight, energy in whole.terms()] == [
        *((2.0, a), (6.0, b), (0.5, b), (0.5, c)),
    ]


def test_each_scratchpad_has_its_own_share():
    """Both reach x only where their own z does; the sum's z is theirs side by side."""
    energy = ScratchpadQuadratic() + 0.5 * ScratchpadQuadratic() + Quadratic()
    assert energy.scratchpad == 6
    x = normal(4, 3)
    solution = minimize(
        energy,
        x,
        start=torch.zeros_like(x),
        descent=GradientDescent(step_size=0.3),
        halting=FixedSteps(steps=400),
        max_steps=400,
    )
    torch.testing.assert_close(solution.y, x, rtol=0, atol=1e-8)
    torch.testing.assert_close(solution.z, x.repeat(1, 2), rtol=0, atol=1e-8)


def test_starts_are_those_of_the_first_energy_and_spaces_of_the_first_that_knows():
    task = Add(size=3)
    learned = MLPEnergy.for_task(task, width=4, seed=0)
    whole = NotBelow() + learned
    problem, _ = task.sample(5, "same", generator=torch.Generator().manual_seed(0))
    starts = [
        energy.start(problem, torch.Generator().manual_seed(1)).y for energy in (whole, learned)
    ]
    assert torch.equal(*starts)
    assert (whole.question, whole.answer) == (learned.question, learned.answer)
    # Without a Problem, too.
    assert minimize(whole, problem.x, descent=GradientDescent(step_size=1.0)).y.shape == (5, 3)


def test_on_graphs_a_penalty_is_a_value_for_each_edge():
    class Least(EnergyFn):
        """E = sum over edges of max(0, bound - y)^2 / 2; bounds are another number of each edge."""

        def encode(self, problem):
            return {"bound": problem.x.bound, "layout": problem.layout}

        def energy(self, context, y):
            return context["layout"].sum((context["bound"] - y).clamp(min=0).square() / 2)

    task = ShortestPath()
    energy = GINEEnergy.for_task(task, width=8, seed=0)
    problem, _ = task.sample(3, "same", generator=torch.Generator().manual_seed(0))
    problem.x.bound = torch.full((problem.layout.rows, 1), 0.7)
    solution = minimize(
        energy + 1e4 * Least(),
        problem,
        descent=GradientDescent(step_size=5e-5),
        halting=FixedSteps(steps=200),
        max_steps=200,
    )
    assert float(solution.y.min()) > 0.69


def test_a_size_free_sum_is_one_of_size_free_energies():
    learned = GINEEnergy.for_task(ShortestPath(), width=4)
    assert (2.0 * learned).size_free
    assert not (learned + Toward(0.0)).size_free


def test_a_sum_is_trained_saved_and_loaded(tmp_path):
    energy = 0.5 * MLPEnergy.for_task(TASK, width=8) + ScratchpadMLPEnergy.for_task(
        TASK, width=8, scratchpad=2
    )
    solver = small_solver()
    solver = IREM(energy, steps=2, replay=32, descent=solver.descent)
    train(tmp_path, solver=solver)
    loaded = load(tmp_path)
    assert bits(loaded) == bits(solver)
    assert loaded.energy.weights == (0.5, 1.0)
    assert loaded.energy.scratchpad == 2


def test_what_is_no_energy_is_not_added():
    energy = Quadratic()
    for operation in (
        lambda: energy + 1,
        lambda: 1 + energy,
        lambda: energy * energy,
        lambda: energy * "2",
        lambda: energy + None,
    ):
        with pytest.raises(TypeError, match=r"unsupported operand|can't multiply"):
            operation()


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_weights_are_finite(weight):
    with pytest.raises(SettingError, match="finite"):
        weight * Quadratic()


def test_every_energy_has_a_weight():
    with pytest.raises(SettingError, match="0 energies"):
        WeightedEnergies([])
    with pytest.raises(SettingError, match="2 energies and 1 weights"):
        WeightedEnergies([Quadratic(), ScratchEnergy(VectorSpace(1), VectorSpace(1))], [1.0])
    with pytest.raises(SettingError, match="expected a Landscape"):
        WeightedEnergies([Quadratic(), 3])
