"""The problems of the paper and of its published code, with their distributions and oracles.

Classes are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irem_tasks.factorizations import LU as LU
    from irem_tasks.factorizations import QR as QR
    from irem_tasks.factorizations import Eigenvector as Eigenvector
    from irem_tasks.factorizations import LinearSystem as LinearSystem
    from irem_tasks.graphs import ConnectedComponents as ConnectedComponents
    from irem_tasks.graphs import EdgeCopy as EdgeCopy
    from irem_tasks.graphs import ShortestPath as ShortestPath
    from irem_tasks.images import Denoise as Denoise
    from irem_tasks.matrices import Determinant as Determinant
    from irem_tasks.matrices import MatrixCompletion as MatrixCompletion
    from irem_tasks.matrices import MatrixInverse as MatrixInverse
    from irem_tasks.matrices import Square as Square
    from irem_tasks.sat import Sat as Sat
    from irem_tasks.sat import SatEnergy as SatEnergy
    from irem_tasks.sat import SatSolver as SatSolver
    from irem_tasks.sparse_graphs import SparseComponents as SparseComponents
    from irem_tasks.sparse_graphs import SparseShortestPath as SparseShortestPath
    from irem_tasks.vectors import Add as Add
    from irem_tasks.vectors import Negate as Negate
    from irem_tasks.vectors import Parity as Parity
    from irem_tasks.vectors import Sort as Sort

_MODULES = {
    "factorizations": ("Eigenvector", "LU", "LinearSystem", "QR"),
    "graphs": ("ConnectedComponents", "EdgeCopy", "ShortestPath"),
    "images": ("Denoise",),
    "matrices": ("Determinant", "MatrixCompletion", "MatrixInverse", "Square"),
    "sat": ("Sat", "SatEnergy", "SatSolver"),
    "sparse_graphs": ("SparseComponents", "SparseShortestPath"),
    "vectors": ("Add", "Negate", "Parity", "Sort"),
}
_WHERE = {name: module for module, names in _MODULES.items() for name in names}

__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    """Import the module that defines a task, and return the task."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value
