"""Baselines for learned iterative reasoning, and recursive composition."""

from irem_baselines.feedforward import Feedforward
from irem_baselines.residual import Residual
from irem_core import compose

__all__ = ["Feedforward", "Residual", "compose"]
