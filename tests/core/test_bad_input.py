"""Mistakes of a Python user: one kind of error each, which says what was expected."""

import math

import numpy as np
import pytest
import torch

from irem_baselines import Feedforward, Residual
from irem_core import (
    IREM,
    LBFGS,
    Adam,
    Anderson,
    Backtracking,
    BarzilaiBorwein,
    ConvEnergy,
    CoordinateFlip,
    EdgeSpace,
    EnergyError,
    EnergyFn,
    EnergyPlateau,
    FixedSteps,
    FullUnroll,
    GradientDescent,
    GradientFree,
    GradientNorm,
    ImageSpace,
    Implicit,
    IremError,
    Iterate,
    Layout,
    LevenbergMarquardt,
    MatrixSpace,
    MLPEnergy,
    Momentum,
    Monotone,
    Nesterov,
    NewtonCG,
    NonFiniteError,
    Outcome,
    Problem,
    ReplayBuffer,
    ScratchpadMLPEnergy,
    SettingError,
    ShapeError,
    Stagnation,
    Standardized,
    Unrolled,
    VectorSpace,
    compose,
    evaluate,
    minimize,
    minimize_many,
    settings_of,
)
from irem_core.descent import Descent
from irem_core.testing.zoo import Quadratic, ScratchpadQuadratic
from irem_tasks import Add, Negate

STEP = GradientDescent(step_size=0.1)
TWO = VectorSpace(2)
IMAGE = ImageSpace(1, 4, 4)
ENERGY = MLPEnergy(TWO, TWO, width=4, depth=1)
SOLVER = IREM(ENERGY)
SCRATCH = ScratchpadMLPEnergy

# Every numeric setting, with values that are out of its range.
NUMBERS = ("3", None, True, math.nan, math.inf, -math.inf)
POSITIVE, AT_LEAST_0 = (0, -1, *NUMBERS), (-1e-9, *NUMBERS)
FRACTION, PROPER = (1, 1.5, -0.1, *NUMBERS), (0, 1, -0.1, 1.5, *NUMBERS)
COUNT, COUNT_OR_0 = (0, -3, 1.5, *NUMBERS), (-3, 1.5, *NUMBERS)
BOUND = tuple(value for value in NUMBERS if value is not None)
# These infinities bound nothing.
LOW = tuple(value for value in BOUND if value != -math.inf)
HIGH = tuple(value for value in BOUND if value != math.inf)
RANGES = [
    (GradientDescent, {}, {"step_size": POSITIVE}),
    (Momentum, {}, {"step_size": POSITIVE, "momentum": FRACTION}),
    (Monotone, {}, {"step_size": POSITIVE, "shrink": (0, -0.1, 1.5, *NUMBERS)}),
    (Nesterov, {}, {"step_size": POSITIVE, "momentum": FRACTION}),
    (
        Adam,
        {},
        {
            "step_size": POSITIVE,
            "decay": FRACTION,
            "square_decay": FRACTION,
            "epsilon": POSITIVE,
        },
    ),
    (
        Backtracking,
        {},
        {"grow": (1, 0.5, *NUMBERS), "shrink": PROPER, "decrease": PROPER, "trials": COUNT},
    ),
    (
        BarzilaiBorwein,
        {},
        {"memory": COUNT, "shrink": PROPER, "decrease": PROPER, "trials": COUNT},
    ),
    (CoordinateFlip, {}, {"tenure": COUNT_OR_0}),
    (
        LBFGS,
        {},
        {"history": COUNT, "decrease": PROPER, "curvature": PROPER, "trials": COUNT},
    ),
    (
        Anderson,
        {},
        {"history": COUNT, "regularization": POSITIVE, "decrease": PROPER, "trials": COUNT},
    ),
    (
        NewtonCG,
        {},
        {
            "radius": POSITIVE,
            "iterations": COUNT,
            "tolerance": PROPER,
            "decrease": PROPER,
            "trials": COUNT,
        },
    ),
    (
        LevenbergMarquardt,
        {},
        {
            "damping": POSITIVE,
            "trials": COUNT,
            "dense": COUNT_OR_0,
            "iterations": COUNT,
            "tolerance": PROPER,
        },
    ),
    (FullUnroll, {}, {"recompute": (1, 0.0, None, "True")}),
    (Implicit, {}, {"tolerance": POSITIVE, "max_steps": COUNT, "damping": AT_LEAST_0}),
    (Unrolled, {}, {"steps": COUNT}),
    (GradientFree, {}, {"pairs": COUNT, "sigma": POSITIVE}),
    (FixedSteps, {}, {"steps": COUNT}),
    (EnergyPlateau, {}, {"tolerance": AT_LEAST_0, "patience": COUNT}),
    (Stagnation, {}, {"tolerance": AT_LEAST_0, "patience": COUNT}),
    (GradientNorm, {}, {"tolerance": AT_LEAST_0}),
    (VectorSpace, {"length": 2}, {"length": COUNT, "low": LOW, "high": HIGH}),
    (MatrixSpace, {"height": 2, "width": 2}, {"height": COUNT, "width": COUNT, "low": LOW}),
    (EdgeSpace, {}, {"channels": COUNT, "high": HIGH}),
    (
        ImageSpace,
        {"channels": 1, "height": 2, "width": 2},
        {"channels": COUNT, "height": COUNT, "width": COUNT, "low": LOW},
    ),
    (
        MLPEnergy,
        {"question": TWO, "answer": TWO},
        {"width": COUNT, "depth": COUNT, "question": (3, EdgeSpace()), "answer": (3, EdgeSpace())},
    ),
    (
        SCRATCH,
        {"question": TWO, "answer": TWO},
        {"width": COUNT, "depth": COUNT, "scratchpad": COUNT, "answer": (EdgeSpace(),)},
    ),
    (
        ConvEnergy,
        {"question": IMAGE, "answer": IMAGE},
        {"width": COUNT, "depth": COUNT, "question": (TWO, 3), "answer": (TWO,)},
    ),
    (
        Residual,
        {"question": IMAGE, "answer": IMAGE},
        {"width": COUNT, "depth": COUNT, "question": (TWO, 3), "answer": (TWO,)},
    ),
    (
        Feedforward,
        {"question": TWO, "answer": TWO},
        {"width": COUNT, "depth": COUNT, "question": (EdgeSpace(),), "answer": (EdgeSpace(),)},
    ),
    (ReplayBuffer, {"capacity": 3}, {"capacity": COUNT, "dtype": ("float32", 16, True)}),
    (Add, {}, {"size": COUNT}),
    (Negate, {}, {"size": COUNT}),
    (
        IREM,
        {"energy": ENERGY},
        {
            "energy": (3, Quadratic),
            "steps": COUNT,
            "descent": (0.1, GradientDescent),
            "halting": (5,),
            "backprop": ("last-step",),
            "replay": COUNT_OR_0,
            "replayed": AT_LEAST_0,
            "replay_dtype": ("half", 16),
            "objective": ("first", 1),
        },
    ),
]
CASES = [
    pytest.param(part, settings | {name: value}, name, id=f"{part.__name__}-{name}-{value!r:.20}")
    for part, settings, ranges in RANGES
    for name, values in ranges.items()
    for value in values
]


@pytest.mark.parametrize(("part", "settings", "name"), CASES)
def test_a_setting_out_of_range_is_one_clear_sentence(part, settings, name):
    with pytest.raises(SettingError) as caught:
        part(**settings)

    error = caught.value
    assert isinstance(error, IremError)
    assert isinstance(error, ValueError)
    assert error.exit_status == 2
    assert name in str(error) or part in (Add, Negate)
    assert "expected" in str(error)
    assert str(error).endswith(".")
    assert "\n" not in str(error)


def test_no_setting_of_a_descent_is_left_unchecked():
    checked = {part: set(ranges) for part, _, ranges in RANGES}
    for part in Descent.__subclasses__():
        if part.__module__.startswith("irem_core"):
            assert checked[part] == set(settings_of(part()))


@pytest.mark.parametrize("part", [part for part, _, _ in RANGES if part is not ReplayBuffer])
def test_a_misspelt_setting_is_a_type_error(part):
    settings = next(settings for owner, settings, _ in RANGES if owner is part)
    with pytest.raises(TypeError):
        part(**settings, stepsize=1)


def test_bounds_must_leave_room():
    with pytest.raises(SettingError, match="low below high"):
        VectorSpace(2, low=1.0, high=1.0)


CALLS = {
    "max_steps": lambda: minimize(
        Quadratic(), torch.zeros(1, 2), start=torch.zeros(1, 2), descent=STEP, max_steps=-1
    ),
    "record": lambda: minimize(
        Quadratic(), torch.zeros(1, 2), start=torch.zeros(1, 2), descent=STEP, record="energies"
    ),
    "k": lambda: compose(torch.add, 0),
    "alg": lambda: compose(3, 2),
    "problems": lambda: evaluate(SOLVER, Negate(size=2), problems=0),
    "count": lambda: Add(size=2).sample(0, generator=torch.Generator()),
    "scale": lambda: Add(size=2).sample(1, "scale=-1", generator=torch.Generator()),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_argument_out_of_range_is_named(name):
    with pytest.raises(SettingError, match=rf"\b{name}\b.*expected"):
        CALLS[name]()


class Broken(EnergyFn):
    """An energy whose result is whatever a function of x and y returns."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def energy(self, context, y):
        return self.function(context, y)

    def value(self, context, iterate):
        # Without the annotation that the tests' own shape checks would read.
        return self.energy(context, iterate.y)


def descend(energy, x=None, **settings):
    x = torch.zeros(3, 2) if x is None else x
    return minimize(energy, x, **({"start": torch.ones(3, 2), "descent": STEP} | settings))


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: (y - x).square().sum(),
        lambda x, y: (y - x).square(),
        lambda x, y: (y - x).square().sum(1, keepdim=True),
        lambda x, y: (y - x).square().sum(1)[:2],
        lambda x, y: 0.5,
        lambda x, y: None,
    ],
)
def test_an_energy_of_the_wrong_shape(function):
    with pytest.raises(ShapeError, match=r"Broken returned .* expected a tensor of shape \(3,\)"):
        descend(Broken(function))
    with pytest.raises(ShapeError, match="Broken returned"):
        Broken(function)(torch.zeros(3, 2), torch.ones(3, 2))


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: x.square().sum(1),
        lambda x, y: (y.detach() - x).square().sum(1),
        lambda x, y: torch.ones(3, requires_grad=True) * 2,
    ],
)
def test_an_energy_that_does_not_depend_on_y(function):
    with pytest.raises(EnergyError, match="Broken does not depend on y") as caught:
        descend(Broken(function))
    assert isinstance(caught.value, ValueError)


def test_an_energy_that_does_not_depend_on_its_scratchpad():
    class Forgetful(ScratchpadQuadratic):
        def energy(self, context, y, z):
            return (y - context).square().sum(1)

    with pytest.raises(EnergyError, match="Forgetful does not depend on z"):
        descend(Forgetful())


@pytest.mark.parametrize("width", [1, 3, 400])
@pytest.mark.parametrize("solver", [SOLVER, Feedforward(TWO, TWO, width=4)])
def test_x_of_the_wrong_width(solver, width):
    with pytest.raises(ShapeError, match=rf"x has shape \(5, {width}\).*\(5, 2\)"):
        solver.solve(torch.zeros(5, width))


def test_x_of_the_wrong_rank_or_kind():
    for x in (torch.zeros(3), torch.zeros(5, 2, 1), torch.zeros(5, 2, dtype=torch.complex64)):
        with pytest.raises(ShapeError, match="x has shape"):
            SOLVER.solve(x)
    with pytest.raises(ShapeError, match=r"torch\.float64"):
        SOLVER.solve(Problem(torch.zeros(5, 2, dtype=torch.float64), TWO))
    for x, words in (
        (torch.zeros(()), "x holds a single number; expected tensors that lead"),
        (3.0, "x is a float without a tensor"),
        ("words", "x is a str without a tensor"),
        ({}, "x is a dict without a tensor"),
        ((torch.zeros(2, 2), torch.zeros(3, 2)), r"x leads with \[2, 3\]"),
    ):
        with pytest.raises(ShapeError, match=words):
            SOLVER.solve(x)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nonfinite_x_or_start(bad):
    good, spoilt = torch.zeros(3, 2), torch.zeros(3, 2)
    spoilt[1, 0] = bad
    for energy in (ENERGY, Quadratic()):
        with pytest.raises(NonFiniteError, match="x holds NaN or infinity, first in row 1"):
            descend(energy, spoilt)
        with pytest.raises(NonFiniteError, match="start holds NaN or infinity, first in row 1"):
            descend(energy, good, start=spoilt)
    with pytest.raises(NonFiniteError, match="x holds NaN"):
        Feedforward(TWO, TWO, width=4).solve(spoilt)


class Rooted(EnergyFn):
    """E = |y - x|^2 + sqrt(x_1), which is NaN where x_1 is negative."""

    def energy(self, context, y):
        return self.residuals(context, y).square().sum(-1)

    def residuals(self, context, y):
        return torch.cat([y - context, context[:, :1].sqrt().sqrt()], -1)


@pytest.mark.parametrize(
    "descent",
    [STEP, BarzilaiBorwein(), Adam(), LBFGS(), NewtonCG(), Anderson(), LevenbergMarquardt()],
    ids=lambda each: type(each).__name__,
)
def test_one_problem_that_is_not_a_number_leaves_the_others(descent):
    x = torch.tensor([[1.0, 0.5], [-1.0, 0.5], [2.0, -0.5]])
    found = minimize(Rooted(), x, start=torch.zeros(3, 2), descent=descent)
    outcomes = [Outcome.CONVERGED, Outcome.NONFINITE, Outcome.CONVERGED]
    assert found.outcome.tolist() == outcomes
    torch.testing.assert_close(found.y[[0, 2]], x[[0, 2]], rtol=0, atol=1e-2)
    assert found.y[1].tolist() == [0, 0]


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.complex64])
def test_a_start_that_cannot_be_descended_from(dtype):
    start = torch.zeros(3, 2, dtype=dtype)
    for energy in (ENERGY, Quadratic()):
        with pytest.raises(ShapeError, match="floating-point"):
            descend(energy, torch.zeros(3, 2), start=start)
    with pytest.raises(ShapeError, match="floating-point"):
        Standardized(SOLVER, question=TWO, answer=TWO).solve(torch.zeros(3, 2), start=start)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_answers_of_too_few_digits(dtype):
    x = torch.zeros(3, 2, dtype=dtype)
    with pytest.raises(ShapeError, match=r"start is of .*float32"):
        descend(Quadratic(), x.float(), start=x)
    with pytest.raises(ShapeError, match=r"x is of .*float32"):
        descend(Quadratic(), Problem(x, VectorSpace(2)), start=None)


class Cast(EnergyFn):
    def __init__(self, dtype):
        super().__init__()
        self.dtype = dtype

    def energy(self, context, y):
        return (y.to(self.dtype) - context).square().sum(1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_energies_of_other_digits_than_answers(dtype):
    for given in (torch.float32, torch.float64):
        start = torch.ones(3, 2, dtype=given)
        found = descend(Cast(dtype), torch.zeros(3, 2, dtype=dtype), start=start)

        assert found.y.dtype == found.energy.dtype == given
        torch.testing.assert_close(found.y, 0 * start, rtol=0, atol=1e-2)


def test_complex_energies():
    with pytest.raises(ShapeError, match="real numbers"):
        descend(Broken(lambda x, y: (y - x).sum(1) * 1j))


@pytest.mark.parametrize("shape", [(), (2,), (2, 2), (4, 2)])
def test_a_start_with_another_number_of_rows(shape):
    with pytest.raises(ShapeError, match="start has shape"):
        descend(Quadratic(), start=torch.ones(shape))


def test_a_start_that_is_not_in_the_answer_space():
    with pytest.raises(ShapeError, match="start has shape"):
        descend(ENERGY, start=torch.ones(3, 5))


@pytest.mark.parametrize(
    "z", [torch.ones(3, 7), torch.ones(2, 3), torch.full((3, 3), math.nan)], ids=str
)
def test_a_scratchpad_that_does_not_fit(z):
    start = Iterate(torch.ones(3, 3), Layout(3), z)
    with pytest.raises((ShapeError, NonFiniteError), match="start"):
        descend(ScratchpadQuadratic(), torch.zeros(3, 3), start=start)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"energy": Quadratic}, "energy="),
        ({"descent": LBFGS}, "descent="),
        ({"descent": "lbfgs"}, "descent='lbfgs'; expected a Descent"),
        ({"halting": "settled"}, "halting='settled'; expected a HaltingCriterion"),
        ({"start": np.zeros((3, 2))}, "expected a Tensor"),
        ({"generator": 3}, "generator=3; expected a Generator"),
    ],
)
def test_parts_that_are_none(given, said):
    parts = {"energy": Quadratic(), "descent": LBFGS(), "start": torch.zeros(3, 2)} | given
    with pytest.raises(SettingError, match=said):
        minimize(parts.pop("energy"), torch.zeros(3, 2), **parts)


def test_parts_of_streams_that_are_none():
    with pytest.raises(SettingError, match="minimize_many got descent='lbfgs'"):
        minimize_many(Quadratic(), [torch.zeros(3, 2)], descent="lbfgs")


def test_no_start_and_no_space_to_draw_one_from():
    with pytest.raises(ShapeError, match="pass start=") as caught:
        descend(Quadratic(), start=None)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "owner",
    [[], [1, 1], [0, 2], [0, 1, 0], [-1, 0], [[0, 1]], [0.0, 1.0]],
)
def test_an_owner_that_leaves_gaps_or_is_out_of_order(owner):
    with pytest.raises(ShapeError, match="owner"):
        Problem(torch.zeros(2, 1), owner=torch.tensor(owner))


def test_a_context_that_all_problems_share():
    class Shared(Quadratic):
        def encode(self, problem):
            return problem.x, torch.ones(7)

        def energy(self, context, y):
            return super().energy(context[0], y)

    x = torch.tensor([[0.0, 0.0], [0.0, 0.0], [9.0, 9.0]])
    with pytest.raises(ShapeError, match=r"shape \(7,\).*must be 3 \(problems\)"):
        descend(Shared(), x, halting=GradientNorm(tolerance=1.3), max_steps=10)


def test_a_rule_that_needs_the_gradient_with_a_descent_that_computes_none():
    class Wander(Descent):
        needs_gradient = False

        def step(self, evaluation, state, energy):
            return evaluation.iterate, state

    with pytest.raises(EnergyError, match="holds no gradient"):
        descend(Quadratic(), descent=Wander(), halting=GradientNorm())


def test_iterates_of_ragged_answers_are_not_recorded():
    problem = Problem(torch.zeros(3, 2), EdgeSpace(2), owner=torch.tensor([0, 0, 1]))
    with pytest.raises(SettingError, match="observer"):
        minimize(Quadratic(), problem, descent=STEP, record="y")
