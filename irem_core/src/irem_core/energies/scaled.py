"""Settings that suit energies which have few weights and learn their own scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor

from irem_core.part import Preset
from irem_core.problems.space import Space


def scaled(
    answer: Space,
    *,
    solver: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> Preset:
    """Return this library's settings for an energy with few weights that learns its own scale.

    So steps have size 1, and the learning rate is large. Solving is by L-BFGS: the steps of a fixed
    size that training learns by are many where an energy is flat, as on harder problems, and go to
    and fro for ever where it is steep.

    Args:
        answer: the space of the answers.
        solver: arguments of the solver to set otherwise.
        training: likewise of `fit`.
    """
    return Preset(
        source="this library",
        solver={
            "steps": 5,
            "descent": "gradient(step_size=1.0)",
            "solving": "lbfgs",
            "replayed": 1.0,
            **(solver or {}),
        },
        training={
            "iterations": 2_000,
            "batch_size": 24 if answer.ragged else 12,
            "learning_rate": 1e-2,
            "schedule": "cosine",
            "clip_norm": 1.0,
            **(training or {}),
        },
    )


def scaled_residuals(
    residual: Float[Tensor, "*rows width"], log_scale: Float[Tensor, ""]
) -> Float[Tensor, "*rows width"]:
    """Return residuals whose squares add up to scale / 2 sum mean_c r_c^2."""
    return (log_scale.exp() / 2 / residual.shape[-1]).sqrt() * residual
