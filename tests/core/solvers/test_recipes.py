"""Recipes: what Python and the command line build alike for a task."""

import pytest
import torch
from typer.testing import CliRunner

from irem_core import (
    IREM,
    DescentError,
    ElementwiseEnergy,
    GINEEnergy,
    GradientDescent,
    MLPEnergy,
    SettingError,
    SparsePairwiseEnergy,
    UnknownNameError,
    UnknownSettingError,
    fit,
    load,
    load_task,
    recipe,
)
from irem_core.cli import app
from irem_tasks.vectors import Add, Parity


def test_the_same_run_comes_from_a_recipe_as_from_the_command_line(tmp_path):
    words = ["train", "parity(bits=4)", "--iterations", "3", "--seed", "5", "--threads", "1"]
    result = CliRunner().invoke(app, [*words, "--problems", "5", "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output

    task = load_task("parity", bits=4)
    made = recipe(task, seed=5)
    fit(made.solver, task, **{**made.training, "iterations": 3, "seed": 5})
    for one, other in zip(
        made.solver.parameters(), load(tmp_path / "run").parameters(), strict=True
    ):
        assert torch.equal(one, other)


def test_an_energy_that_is_there_is_trained_with_settings_that_suit_it():
    task = Add(size=3)
    energy = ElementwiseEnergy.for_task(task, width=4)
    made = recipe(task, energy=energy)
    assert made.solver.energy is energy
    assert made.preset == "default"
    assert made.solver.objective == DescentError(supervise="every")
    assert made.training == energy.preset(task.question, task.answer).training


def test_a_task_may_prefer_an_energy_by_its_settings():
    asked = load_task("sparse-components")
    assert type(recipe(asked).solver.energy) is GINEEnergy
    made = recipe(load_task("sparse-components", every=True))
    assert type(made.solver.energy) is SparsePairwiseEnergy
    assert made.preset == "default"
    assert made.solver.replayed == 3.0


def test_settings_go_before_those_of_the_preset_and_what_is_written_before_all():
    made = recipe(
        Add(size=3), "irem(steps=7)", descent=GradientDescent(step_size=2.0), steps=6, replay=0
    )
    assert isinstance(made.solver, IREM)
    assert (made.solver.steps, made.solver.descent.step_size) == (7, 2.0)
    assert made.solver.buffer is None


def test_a_preset_is_not_moved_by_what_the_task_prefers():
    assert type(recipe(Parity(bits=4), preset="paper").solver.energy) is MLPEnergy


def test_a_solver_without_energies_and_presets_has_a_recipe():
    made = recipe(Add(size=3), "constant")
    assert made.preset is None
    assert made.training == {}


def test_what_does_not_exist_is_named():
    with pytest.raises(UnknownNameError, match="no preset 'papers'"):
        recipe(Add(size=3), preset="papers")
    with pytest.raises(UnknownNameError):
        recipe(Add(size=3), "none-such")
    with pytest.raises(UnknownNameError):
        recipe(Add(size=3), energy="none-such")
    with pytest.raises(UnknownSettingError):
        recipe(Add(size=3), "feedforward", energy="mlp")
    with pytest.raises(SettingError):
        recipe(Add(size=3), steps=0)
