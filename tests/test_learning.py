"""With the settings that the command line uses by default, solvers learn."""

import pytest
import torch

from irem_core import evaluate, fit, load_task, recipe


@pytest.mark.slow
@pytest.mark.parametrize(
    # As many as take less than three minutes on two cores.
    ("name", "iterations"),
    [("add", 1000), ("edge-copy", 1200), ("shortest-path", 1200)],
)
def test_three_minutes_of_training_halve_the_error_of_the_best_constant(name, iterations):
    torch.set_num_threads(2)
    task = load_task(name)
    made = recipe(task)
    fit(made.solver, task, **{**made.training, "iterations": iterations})

    scores = evaluate(made.solver, task, difficulty="same", problems=500)
    assert scores.mse < task.floor("same").constant / 2
