"""Baselines for learned iterative reasoning, and recursive composition."""

from irem_baselines.feedforward import Feedforward
from irem_baselines.iterative_feedforward import IterativeFeedforward
from irem_baselines.ponder import Ponder
from irem_baselines.recurrent import Recurrent
from irem_baselines.reference import Classical, Constant, Entrywise
from irem_baselines.residual import Residual
from irem_core import compose

__all__ = [
    "Classical",
    "Constant",
    "Entrywise",
    "Feedforward",
    "IterativeFeedforward",
    "Ponder",
    "Recurrent",
    "Residual",
    "compose",
]
