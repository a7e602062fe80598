"""Energies that are ready to be trained, and which one the answers of a space get by default."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from irem_core.energies.landscape import Landscape
from irem_core.problems.factored import EntrySpace
from irem_core.problems.space import EdgeSpace, ImageSpace, Space

# By module, since torch-geometric takes seconds to import and few tasks need it.
_DEFAULTS = {
    EdgeSpace: ("gine", "GINEEnergy"),
    EntrySpace: ("factor", "FactorEnergy"),
    ImageSpace: ("conv", "ConvEnergy"),
}


def default_energy(answer: Space) -> type[Landscape]:
    """Return the paper's energy for answers of a space: GINE layers on edges, else an MLP.

    Args:
        answer: the space of the answers; images, for which the paper prints no energy, get a
            convolutional one.
    """
    module, name = _DEFAULTS.get(type(answer), ("mlp", "MLPEnergy"))
    return cast(type[Landscape], getattr(import_module(f"{__name__}.{module}"), name))
