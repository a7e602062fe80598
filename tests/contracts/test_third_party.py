"""The checks serve parts of a package that is not ours: those of examples/custom_task."""

from importlib import import_module
from pathlib import Path

import pytest

from irem_core.testing import check_descent, check_energy, check_halting, check_task

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
