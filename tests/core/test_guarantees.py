"""What docs/theory.md says is guaranteed of a solution holds on the zoo."""

import pytest
import torch

from irem_core import (
    LBFGS,
    Anderson,
    Backtracking,
    BarzilaiBorwein,
    EnergyPlateau,
    FixedSteps,
    LevenbergMarquardt,
    Monotone,
    NewtonCG,
    Outcome,
    Settled,
    minimize,
)
from irem_core.testing.zoo import ZOO, SquaresEnergy

FALLING = {
    "backtracking": Backtracking(),
    "monotone": Monotone(step_size=1e-2),
    "barzilai-borwein": BarzilaiBorwein(memory=1),
    "lbfgs": LBFGS(),
    "newton-cg": NewtonCG(),
    "anderson": Anderson(),
    "levenberg-marquardt": LevenbergMarquardt(),
}
# The others accept a step by its slope where energies differ by rounding alone.
EXACTLY = ("backtracking", "barzilai-borwein", "monotone")
QUICK = ("rosenbrock", "bard", "absolute", "bounded-quadratic")
WALKS = [
    pytest.param(descent, name, marks=() if name in QUICK else pytest.mark.slow)
    for descent in FALLING
    for name, known in ZOO.items()
    if descent != "levenberg-marquardt" or isinstance(known.energy, SquaresEnergy)
]


def descend(name, descent, halting, steps, **options):
    known = ZOO[name]
    problem, start = known.batch(3, spread=0.3)
    settings = {"descent": descent, "halting": halting, "max_steps": steps}
    return minimize(known.energy, problem, start=start, **settings, **options)


@pytest.mark.parametrize(("descent", "name"), WALKS)
def test_energies_fall_and_the_lowest_is_returned(descent, name):
    halting = FixedSteps(steps=30)
    solution = descend(name, FALLING[descent], halting, 30, record=("energy", "y"))

    for row in range(3):
        trace = solution.trace.of(row)
        rounding = 0 if descent in EXACTLY else 1e-12 * trace.energy[1:].abs()
        assert (trace.energy.diff() <= rounding).all()
        assert solution.energy[row] == trace.energy.min()
        latest = (trace.energy == solution.energy[row]).nonzero()[-1, 0]
        assert torch.equal(solution.y[row], trace.y[latest])


@pytest.mark.parametrize("name", [name for name in ZOO if name in QUICK])
def test_the_lowest_of_a_descent_that_rises_is_returned(name):
    rising = BarzilaiBorwein(memory=10)
    solution = descend(name, rising, FixedSteps(steps=60), 60, record="energy")
    lowest = [solution.trace.of(row).energy.min() for row in range(3)]
    assert solution.energy.tolist() == lowest


@pytest.mark.parametrize("name", QUICK[1:])
def test_backtracking_halts_by_energy_plateau_in_the_end(name):
    solution = descend(name, Backtracking(), EnergyPlateau(), 500)
    assert (solution.outcome == Outcome.CONVERGED).all()


@pytest.mark.parametrize("name", [name for name, known in ZOO.items() if not known.smooth])
def test_an_answer_at_a_kink_is_kept_and_not_called_converged(name):
    known = ZOO[name]
    problem, start = known.batch(1)
    start = torch.tensor(known.minimisers[:1], dtype=start.dtype)
    solution = minimize(
        known.energy, problem, start=start, descent=Backtracking(), halting=Settled()
    )

    torch.testing.assert_close(solution.y, start, rtol=0, atol=1e-6)
    gradient = torch.autograd.functional.jacobian(lambda y: known.energy.energy(None, y), start)
    if gradient.isnan().any():
        assert solution.outcome.tolist() == [Outcome.STALLED]
