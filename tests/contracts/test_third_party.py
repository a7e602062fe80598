"""The checks serve parts of a package that is not ours: those of examples/custom_task."""

from importlib import import_module
from pathlib import Path

import attrs
import pytest
import torch

from irem_core import Descent, FixedSteps, minimize
from irem_core.testing import check_descent, check_energy, check_halting, check_task
from irem_core.testing.zoo import ZOO

SOURCE = Path(__file__).parents[2] / "examples" / "custom_task" / "src"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SOURCE)


def test_its_tasks_energies_descents_and_halting_rules() -> None:
    smooth, written, window, step, rule = (
        import_module(f"irem_example.{name}")
        for name in ("smooth", "written", "window", "unit_step", "no_progress")
    )
    task = smooth.Smooth(size=6)
    check_task(task)
    check_task(written.WrittenSmooth(size=6), floors=False)
    check_energy(window.WindowEnergy.for_task(task, width=8), task)
    check_descent(step.UnitStep())
    check_halting(rule.NoProgress())


@attrs.frozen(kw_only=True)
class Halving(Descent):
    """A descent of before probes gave more than energies: it searches by these alone."""

    shrink: float = 0.5

    def init(self, evaluation):
        return 4 * torch.ones_like(evaluation.energy)

    def step(self, evaluation, state, energy):
        with torch.no_grad():
            for _ in range(12):
                higher = energy(evaluation.iterate - state * evaluation.slope) > evaluation.energy
                state = torch.where(higher, self.shrink * state, state)
        return evaluation.iterate - state * evaluation.slope, state


def test_descents_that_ask_for_energies_alone_keep_the_contract() -> None:
    check_descent(Halving())


def test_their_evaluations_are_counted() -> None:
    known = ZOO["beale"]
    problem, start = known.batch(3)
    solution = minimize(
        known.energy, problem, start=start, descent=Halving(), halting=FixedSteps(steps=4)
    )
    assert solution.energy is not None
    assert (solution.energy < known.energy.energy(None, start)).all()
    assert solution.evaluations.tolist() == [1 + 4 * (12 + 1)] * 3
