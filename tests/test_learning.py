"""With the settings that the command line uses by default, solvers learn."""

import pytest
import torch

from irem_core import evaluate, fit, load_task, recipe


@pytest.mark.slow
@pytest.mark.parametrize(
    # A few times as many as it takes.
    ("name", "iterations"),
    [("add", 250), ("edge-copy", 100), ("shortest-path", 120)],
)
def test_a_minute_of_training_halves_the_error_of_the_best_constant(name, iterations):
    torch.set_num_threads(1)
    task = load_task(name)
    made = recipe(task)
    fit(made.solver, task, **{**made.training, "iterations": iterations})

    scores = evaluate(made.solver, task, difficulty="same", problems=100)
    assert scores.mse < task.floor("same").constant / 2
