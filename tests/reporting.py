"""Small runs of every kind of solver, for tests of reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from irem_core import fit, load_task, recipe
from irem_core.training.callbacks import EvaluateEvery

KINDS: dict[str, tuple[str, str, str | None]] = {
    "vector": ("add(size=4)", "irem(steps=1, max_steps=3)", "mlp(width=8)"),
    "matrix": ("matrix_inverse(size=3)", "irem(steps=1)", "mlp(width=8)"),
    "graph": ("edge-copy", "irem(steps=1)", "gine(width=8)"),
    "image": ("denoise(patch=12)", "irem(steps=1)", "conv(width=4)"),
    "grid": ("sudoku(size=4)", "irem(steps=1)", "factor(width=2)"),
    "scratchpad": ("add(size=4)", "irem(steps=1)", "scratchpad_mlp(width=8)"),
    "recurrent": ("add(size=4)", "recurrent(width=8)", None),
    "one-shot": ("add(size=4)", "feedforward(width=8)", None),
    "closed-form": ("parity", "constant", None),
}


def small_run(kind: str, folder: Path, **options: Any) -> Path:
    """Train a solver of a kind for a moment; its run is in the folder."""
    task_name, solver, energy = KINDS[kind]
    settings: dict[str, Any] = {}
    if kind == "image":
        settings["data"] = str(photographs(folder.parent / f"{folder.name}-images"))
    task = load_task(task_name, **settings)
    task.max_steps = 2  # of evaluations on the way
    made = recipe(task, solver, energy=energy)
    options = {"iterations": 6, "batch_size": 4, "log_every": 2, "out": folder} | options
    watch = EvaluateEvery(3, difficulties=("same",), problems=4, protocol="paper")
    fit(made.solver, task, callbacks=[watch], **options)
    return folder


def photographs(folder: Path) -> Path:
    """Write small pictures of noise."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    for number in range(6):
        pixels = draw.integers(0, 256, (20, 18, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder
