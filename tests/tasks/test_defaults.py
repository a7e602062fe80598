"""What the command line chooses for every task when nothing is said."""

import pytest
import torch

from irem_core import (
    IREM,
    ConvEnergy,
    DescentError,
    ElementwiseEnergy,
    EntrySpace,
    FactorEnergy,
    GINEEnergy,
    GradientDescent,
    MLPEnergy,
    PairwiseEnergy,
    PeriodicEnergy,
    RankingEnergy,
    RationalEnergy,
    SpectralEnergy,
    load_task,
    recipe,
)
from irem_core.problems.space import EdgeSpace, ImageSpace
from irem_core.registry import OBJECTIVES, TASKS, build, plugins

LEARNED = [
    plugin.name
    for plugin in plugins(TASKS)
    if plugin.distribution == "irem-tasks" and load_task(plugin.name).energy() is None
]
ENERGIES = {EdgeSpace: GINEEnergy, EntrySpace: FactorEnergy, ImageSpace: ConvEnergy}
PREFERRED = {
    "edge-copy": ElementwiseEnergy,
    "matrix-completion": SpectralEnergy,
    "matrix-inverse": RationalEnergy,
    "parity": PeriodicEnergy,
    "sort": RankingEnergy,
}
# Answers with a value for each pair, and questions with one.
PAIRWISE = {
    *("edge-copy", "connected-components", "shortest-path"),
    *("matrix-completion", "matrix-inverse", "square"),
}


@pytest.mark.parametrize("name", sorted(PAIRWISE))
def test_a_chosen_energy_is_trained_with_settings_that_are_for_it(name):
    task = load_task(name)
    energy = "gine" if isinstance(task.answer, EdgeSpace) else "mlp"
    spaces = (task.question, task.answer)
    tuned = IREM.presets["tuned"](*spaces)
    chosen_and_expected = {
        energy: ("tuned", tuned, tuned.solver["descent"]),
        "pairwise": ("default", PairwiseEnergy.preset(*spaces), GradientDescent(step_size=1.0)),
        "elementwise": ("default", ElementwiseEnergy.preset(*spaces), GradientDescent(step_size=1)),
    }
    for chosen, (named, expected, descent) in chosen_and_expected.items():
        made = recipe(task, energy=chosen)
        assert made.preset == named
        assert made.solver.descent == descent
        objective = expected.solver.get("objective", DescentError())
        wanted = build(OBJECTIVES, objective) if isinstance(objective, str) else objective
        assert made.solver.objective == wanted
        assert made.training == expected.training
    made = recipe(task, preset="paper")
    assert made.preset == "paper"
    assert type(made.solver.energy) is (GINEEnergy if energy == "gine" else MLPEnergy)


def test_all_but_sat_are_learned():
    names = {plugin.name for plugin in plugins(TASKS) if plugin.distribution == "irem-tasks"}

    assert set(LEARNED) == names - {"sat"}
    assert len(LEARNED) >= 18


@pytest.mark.parametrize("name", LEARNED)
def test_the_energy_of_the_answer_space_is_trained(name):
    task = load_task(name)
    made = recipe(task)
    solver = made.solver
    generator = torch.Generator().manual_seed(0)
    problem, target = task.sample(2, generator=generator)
    loss = solver(problem, target, generator)
    loss.backward()

    assert made.preset == "default"
    expected = PairwiseEnergy if name in PAIRWISE else ENERGIES.get(type(task.answer), MLPEnergy)
    # A task may prefer an energy to what its spaces are given.
    expected = PREFERRED.get(name, expected)
    assert type(solver.energy) is expected
    other = {"denoise": 120_000, "parity": 3_000, "queens": 1_000}
    usual = {GINEEnergy: 10_000, FactorEnergy: 12_000}.get(expected, 2_000)
    assert made.training["iterations"] == other.get(name, usual)
    assert solver.steps == 5
    assert loss.isfinite()
    assert solver.solve(problem, max_steps=1).y.shape == target.shape
