"""Answers of 0 and 1: recognised, scored as exact or not, and rounded."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from irem_core import PairsTask, evaluate, recipe
from irem_core.runs.description import describe, rebuild

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(120, 4))
ONE_HOT = np.eye(3)[X[:, :3].argmax(1)]
MATRICES = np.stack([ONE_HOT, ONE_HOT[:, ::-1]], 1)


@pytest.mark.parametrize(
    ("y", "kind"),
    [
        (X[:, :1] > 0, "binary"),
        ((X[:, :2] > 0).astype(int), "binary"),
        (ONE_HOT, "one-hot"),
        (MATRICES, "one-hot"),
        (2 * ONE_HOT, None),
        (X, None),
    ],
)
def test_kinds_of_answers_are_told_apart(y, kind) -> None:
    task = PairsTask.of(X, y)
    assert task.discrete == kind
    assert rebuild(describe(task)).discrete == kind
    assert any("Answers are" in each for each in task.remarks) == (kind is not None)
    rounded = task.rounded(torch.tensor(y, dtype=torch.float32) * 0.2 + 0.35)
    if kind is None:
        assert rounded is None
    else:
        np.testing.assert_array_equal(rounded, y)


@pytest.mark.parametrize("y", [(X[:, :2] > 0) * 1.0, ONE_HOT])
def test_solved_is_the_share_that_is_exact_once_rounded(y) -> None:
    task = PairsTask.of(X, y)
    solver = recipe(task, energy="distance(width=8, depth=2)").solver
    found = solver.solve(torch.tensor(X[task.held], dtype=torch.float32), max_steps=0).y.numpy()
    exact = found > 0.5 if y.shape[1] == 2 else found == found.max(1, keepdims=True)
    shares = task.measures(None, torch.tensor(found), torch.tensor(y[task.held]).float())
    np.testing.assert_array_equal(shares["solved"], (exact == y[task.held]).all(1))
    assert "solved" in evaluate(solver, task, max_steps=0).measures
