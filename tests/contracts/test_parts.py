"""What every descent, halting rule, backpropagation rule and space keeps to."""

import math

import attrs
import pytest
import torch

from irem_core import (
    EdgeSpace,
    EnergyFn,
    Evaluation,
    FixedSteps,
    FullUnroll,
    GradientDescent,
    Iterate,
    LastStep,
    Layout,
    MatrixSpace,
    Outcome,
    Problem,
    VectorSpace,
    minimize,
    settings_of,
    trees,
)
from zoo import DESCENTS, HALTINGS, ZOO


def check_part(part):
    """A part is frozen, rebuilt by its settings, and equal to what they rebuild."""
    assert type(part)(**settings_of(part)) == part
    for name in settings_of(part):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(part, name, None)
    with pytest.raises(TypeError):
        type(part)(**settings_of(part), no_such_setting=1)


def check_descent(descent):
    """It lowers every kind of energy, problem by problem, with a state that can be cut."""
    check_part(descent)
    for name in ("bowl", "ragged", "scratchpad"):
        animal = ZOO[name]
        arguments = animal.arguments() | {"descent": descent, "halting": FixedSteps(steps=6)}
        kept = arguments["start"].clone()
        solution = minimize(**arguments)
        start = minimize(**(arguments | {"max_steps": 0}))

        assert (solution.energy < start.energy).all(), name
        assert torch.equal(arguments["start"].y, kept.y)
        pieces = [
            minimize(**(animal.single(index).arguments() | {"descent": descent, "max_steps": 3}))
            for index in range(animal.count)
        ]
        whole = minimize(**(animal.arguments() | {"descent": descent, "max_steps": 3}))
        together = torch.cat([piece.last for piece in pieces])
        torch.testing.assert_close(whole.last, together, rtol=0, atol=1e-9)


def some_evaluations(layout, steps=5):
    generator = torch.Generator().manual_seed(0)
    energies = torch.rand(steps, layout.count, generator=generator).cumsum(0).flip(0)
    slope = Iterate(torch.ones(layout.rows, 2), layout)
    return [Evaluation(slope, energy, slope) for energy in energies]


def check_halting(rule):
    """It names outcomes per problem, and its state can be cut to some of the problems."""
    check_part(rule)
    layout, chosen = Layout.of_owner(torch.tensor([0, 1, 1, 2])), torch.tensor([0, 2])
    steps = some_evaluations(layout)
    cut = [trees.select(evaluation, layout, chosen) for evaluation in steps]
    state, part = rule.init(steps[0]), rule.init(cut[0])
    for place in range(1, len(steps)):
        outcome, state = rule.update(steps[place - 1], steps[place], state)
        assert outcome.shape == (3,)
        allowed = {Outcome.RUNNING, Outcome.CONVERGED, Outcome.BUDGET_SPENT}
        assert set(outcome.tolist()) <= allowed
        of_part, part = rule.update(cut[place - 1], cut[place], part)
        assert torch.equal(of_part, outcome[chosen])
        part = trees.select(state, layout, chosen)


class Weighted(EnergyFn):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

    def energy(self, context, y):
        return (y - self.weight * context).square().sum(1) / 2


def check_backprop(backprop):
    """It yields as many iterates as asked for, where `minimize` goes, attached to the weights."""
    check_part(backprop)
    energy, x = Weighted(), torch.ones(2, 3, dtype=torch.float64)
    problem, start = Problem(x), Iterate(torch.zeros(2, 3, dtype=torch.float64), Layout(2))
    for descent in DESCENTS.values():
        last = minimize(
            energy, problem, start=start, descent=descent, halting=FixedSteps(steps=3)
        ).last
        for every in (False, True):
            iterates = list(
                backprop.unroll(energy, problem, start, descent=descent, steps=3, every=every)
            )
            assert len(iterates) == (3 if every else 1)
            torch.testing.assert_close(iterates[-1].y.detach(), last, rtol=0, atol=1e-12)
            for iterate in iterates:
                (slope,) = torch.autograd.grad(iterate.y.sum(), energy.weight, retain_graph=True)
                assert slope.isfinite()
        assert energy.weight.grad is None


def check_space(space):
    """It draws starts within its bounds from the generator alone, and knows its own tensors."""
    check_part(space)
    layout = Layout.of_owner(torch.arange(40).repeat_interleave(3)) if space.ragged else Layout(40)

    def draw(seed, **options):
        return space.start(layout, torch.Generator().manual_seed(seed), **options)

    y = draw(0)
    assert y.shape == (layout.rows, *space.shape)
    assert y[0].numel() == space.size
    assert torch.equal(y, draw(0))
    assert not torch.equal(y, draw(1))
    assert draw(0, dtype=torch.float64).dtype == torch.float64
    bounds = (
        (-math.inf if space.low is None else space.low),
        (math.inf if space.high is None else space.high),
    )
    low, high = max(-1, bounds[0]), min(1, bounds[1])
    assert low <= y.min() < y.max() <= high
    space.check("y", y, layout.rows)
    assert torch.equal(space.project(y), y)
    assert torch.equal(space.project(100 * y), (100 * y).clamp(*bounds))
    for wrong in (y[..., None], y.long(), y[0], "y", y / 0):
        with pytest.raises(ValueError, match=r"^y (has|is|holds)"):
            space.check("y", wrong)
    with pytest.raises(ValueError, match=r"^y has"):
        space.check("y", y, layout.rows + 1)
    assert type(space).__name__ in str(space)


@pytest.mark.parametrize("descent", DESCENTS.values(), ids=str)
def test_descents(descent):
    check_descent(descent)


@pytest.mark.parametrize("rule", HALTINGS.values(), ids=str)
def test_halting_rules(rule):
    check_halting(rule)


@pytest.mark.parametrize("backprop", [LastStep(), FullUnroll()], ids=str)
def test_backprops(backprop):
    check_backprop(backprop)


SPACES = [
    VectorSpace(5),
    VectorSpace(5, low=0.0),
    VectorSpace(3, low=-0.5, high=0.25),
    MatrixSpace(2, 4, high=0.5),
    EdgeSpace(),
    EdgeSpace(2, low=0.0),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_spaces(space):
    check_space(space)


class Frozen(GradientDescent):
    """Breaks the contract: it decides for the batch, not for each problem."""

    def step(self, evaluation, state, energy):
        scale = evaluation.energy.mean().item()
        return evaluation.iterate - (self.step_size * scale) * evaluation.slope, state


def test_the_contract_of_descents_finds_one_that_mixes_problems():
    with pytest.raises(AssertionError):
        check_descent(Frozen(step_size=0.1))
