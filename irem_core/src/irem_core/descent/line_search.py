"""The Armijo line search that the tuning-free descents share."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from irem_core.descent.base import Probe
from irem_core.energies.landscape import Evaluation
from irem_core.problems.iterate import Iterate


def first_step_size(evaluation: Evaluation) -> Float[Tensor, " problems"]:
    """Guess a first step size per problem: the one that moves no entry by more than 1.

    Answers are of the order of 1, as their starts from U(-1, 1) are, so this is the natural length;
    a line search shortens it where it is too long.
    """
    largest = evaluation.slope.amax().detach()
    return torch.where(largest > 0, 1 / largest, torch.ones_like(largest))


def search(
    evaluation: Evaluation,
    step_size: Float[Tensor, " problems"],
    energy: Probe,
    *,
    ceiling: Float[Tensor, " problems"],
    decrease: float,
    shrink: float,
    trials: int,
) -> tuple[Iterate, Float[Tensor, " problems"]]:
    """Shorten each problem's step along its negative gradient until the energy falls enough.

    A step t leads to y' = y - t g, moved within the bounds, and is accepted where
    E(y') <= ceiling - decrease * g . (y - y') (Armijo, 1966; with bounds Bertsekas, 1976). Where no
    trial is accepted, the problem stays where it is, with step size 0.

    Args:
        evaluation: where to step from.
        step_size: `(B,)` the first trial, 0 where the problem stays.
        energy: gives the energies of trial iterates.
        ceiling: `(B,)` the energy to fall below: the current one, or a recent maximum.
        decrease: the fraction of the predicted decrease that is demanded.
        shrink: factor between trials, between 0 and 1.
        trials: how many step sizes are tried at most.

    Returns:
        The next iterates and the accepted step sizes.
    """
    slope = evaluation.slope
    with torch.no_grad():
        accepted = step_size == 0
        for _ in range(trials):
            trial = energy.within(evaluation.iterate - step_size * slope)
            predicted = slope.dot(evaluation.iterate - trial)
            accepted |= energy(trial, ~accepted) <= ceiling - decrease * predicted
            if bool(accepted.all()):
                break
            step_size = torch.where(accepted, step_size, step_size * shrink)
        step_size = torch.where(accepted, step_size, torch.zeros_like(step_size))
    return evaluation.iterate - step_size * slope, step_size
