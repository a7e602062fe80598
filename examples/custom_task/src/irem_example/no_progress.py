"""A halting rule: stop once the best energy has not improved for a while."""

from __future__ import annotations

from typing import ClassVar

import attrs
import torch
from torch import Tensor

from irem_core import Evaluation, HaltingCriterion, Outcome, SettingError

State = tuple[Tensor, Tensor]
"""The best energy so far and the steps since, `(B,)` each."""


@attrs.frozen(kw_only=True)
class NoProgress(HaltingCriterion):
    """A problem has converged once `patience` steps in a row brought no lower energy.

    That says nothing of how far it has still to go, so the rule does not promise arrival.

    Args:
        patience: at least 1.
    """

    promises_arrival: ClassVar[bool] = False

    patience: int = 5

    def __attrs_post_init__(self) -> None:
        """Reject a patience that halts before the first step."""
        if self.patience < 1:
            raise SettingError(f"{self} expects a patience of at least 1.")

    def init(self, evaluation: Evaluation) -> State:
        """Start from the first energy."""
        return evaluation.energy, torch.zeros_like(evaluation.energy, dtype=torch.int64)

    def update(self, before: Evaluation, after: Evaluation, state: State) -> tuple[Tensor, State]:
        """Count the steps since the best energy."""
        best, waited = state
        waited = torch.where(after.energy < best, 0, waited + 1)
        outcome = torch.where(waited >= self.patience, int(Outcome.CONVERGED), int(Outcome.RUNNING))
        return outcome, (torch.minimum(best, after.energy), waited)
