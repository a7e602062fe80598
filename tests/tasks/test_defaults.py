"""What the command line chooses for every task when nothing is said."""

import pytest
import torch

from irem_core import ConvEnergy, GINEEnergy, MLPEnergy, load_task
from irem_core.cli.train import build_solver
from irem_core.registry import TASKS, plugins
from irem_core.space import EdgeSpace, ImageSpace

LEARNED = [
    plugin.name
    for plugin in plugins(TASKS)
    if plugin.distribution == "irem-tasks" and load_task(plugin.name).energy() is None
]
ENERGIES = {EdgeSpace: GINEEnergy, ImageSpace: ConvEnergy}


def test_all_but_sat_are_learned():
    names = {plugin.name for plugin in plugins(TASKS) if plugin.distribution == "irem-tasks"}

    assert set(LEARNED) == names - {"sat"}
    assert len(LEARNED) >= 18


@pytest.mark.parametrize("name", LEARNED)
def test_the_energy_of_the_answer_space_is_trained(name):
    task = load_task(name)
    preset, solver, settings = build_solver("irem", None, None, {}, task, 0)
    generator = torch.Generator().manual_seed(0)
    problem, target = task.sample(2, generator=generator)
    loss = solver(problem, target, generator)
    loss.backward()

    assert preset == "default"
    assert settings["iterations"] == (120_000 if name == "denoise" else 10_000)
    assert type(solver.energy) is ENERGIES.get(type(task.answer), MLPEnergy)
    assert solver.steps == 5
    assert loss.isfinite()
    assert solver.solve(problem, max_steps=1).y.shape == target.shape
