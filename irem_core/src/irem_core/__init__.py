"""Learned iterative reasoning by energy minimisation.

Names are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irem_core.answer_journal import SolvedFile as SolvedFile
    from irem_core.arrays import read_arrays as read_arrays
    from irem_core.arrays import tensor_of as tensor_of
    from irem_core.arrays import write_arrays as write_arrays
    from irem_core.backprop import Backprop as Backprop
    from irem_core.backprop import FullUnroll as FullUnroll
    from irem_core.backprop import GradientFree as GradientFree
    from irem_core.backprop import LastStep as LastStep
    from irem_core.checkpoint import load as load
    from irem_core.checkpoint import save as save
    from irem_core.composition import Composition as Composition
    from irem_core.composition import compose as compose
    from irem_core.composition_scores import score_composition as score_composition
    from irem_core.descent import Adam as Adam
    from irem_core.descent import Backtracking as Backtracking
    from irem_core.descent import BarzilaiBorwein as BarzilaiBorwein
    from irem_core.descent import CoordinateFlip as CoordinateFlip
    from irem_core.descent import Descent as Descent
    from irem_core.descent import GradientDescent as GradientDescent
    from irem_core.descent import Momentum as Momentum
    from irem_core.descent import Nesterov as Nesterov
    from irem_core.descent import Probe as Probe
    from irem_core.difficulty import Between as Between
    from irem_core.difficulty import Difficulty as Difficulty
    from irem_core.energies import default_energy as default_energy
    from irem_core.energies.combined import WeightedEnergies as WeightedEnergies
    from irem_core.energies.conv import ConvEnergy as ConvEnergy
    from irem_core.energies.distance import DistanceEnergy as DistanceEnergy
    from irem_core.energies.elementwise import ElementwiseEnergy as ElementwiseEnergy
    from irem_core.energies.gine import GINEEnergy as GINEEnergy
    from irem_core.energies.mlp import MLPEnergy as MLPEnergy
    from irem_core.energies.mlp import ScratchpadMLPEnergy as ScratchpadMLPEnergy
    from irem_core.energies.pairwise import PairwiseEnergy as PairwiseEnergy
    from irem_core.energies.periodic import PeriodicEnergy as PeriodicEnergy
    from irem_core.energies.ranking import RankingEnergy as RankingEnergy
    from irem_core.energies.rational import RationalEnergy as RationalEnergy
    from irem_core.energies.sparse_pairwise import SparsePairwiseEnergy as SparsePairwiseEnergy
    from irem_core.energies.spectral import SpectralEnergy as SpectralEnergy
    from irem_core.energy import EnergyFn as EnergyFn
    from irem_core.energy import Evaluation as Evaluation
    from irem_core.energy import Landscape as Landscape
    from irem_core.energy import differentiate as differentiate
    from irem_core.errors import CheckpointError as CheckpointError
    from irem_core.errors import CompileError as CompileError
    from irem_core.errors import DamagedFileWarning as DamagedFileWarning
    from irem_core.errors import EnergyError as EnergyError
    from irem_core.errors import ExportError as ExportError
    from irem_core.errors import HubError as HubError
    from irem_core.errors import InputFileError as InputFileError
    from irem_core.errors import InUseError as InUseError
    from irem_core.errors import IremError as IremError
    from irem_core.errors import IremWarning as IremWarning
    from irem_core.errors import NonFiniteError as NonFiniteError
    from irem_core.errors import NotConvergedError as NotConvergedError
    from irem_core.errors import PluginError as PluginError
    from irem_core.errors import ProcessLostError as ProcessLostError
    from irem_core.errors import RunExistsError as RunExistsError
    from irem_core.errors import SettingError as SettingError
    from irem_core.errors import ShapeError as ShapeError
    from irem_core.errors import SkippedFileWarning as SkippedFileWarning
    from irem_core.errors import StorageError as StorageError
    from irem_core.errors import TrainingDivergedError as TrainingDivergedError
    from irem_core.errors import UnknownNameError as UnknownNameError
    from irem_core.errors import UnknownSettingError as UnknownSettingError
    from irem_core.evaluation import Scores as Scores
    from irem_core.evaluation import auroc as auroc
    from irem_core.evaluation import evaluate as evaluate
    from irem_core.evaluation import rank_correlation as rank_correlation
    from irem_core.export import Exported as Exported
    from irem_core.export import export_solver as export_solver
    from irem_core.file_solving import solve_file as solve_file
    from irem_core.floors import Entries as Entries
    from irem_core.floors import Floor as Floor
    from irem_core.floors import fit_polynomials as fit_polynomials
    from irem_core.floors import monomials as monomials
    from irem_core.floors import squared_errors as squared_errors
    from irem_core.halting import AllOf as AllOf
    from irem_core.halting import AnyOf as AnyOf
    from irem_core.halting import EnergyPlateau as EnergyPlateau
    from irem_core.halting import FixedSteps as FixedSteps
    from irem_core.halting import GradientNorm as GradientNorm
    from irem_core.halting import HaltingCriterion as HaltingCriterion
    from irem_core.halting import all_of as all_of
    from irem_core.halting import any_of as any_of
    from irem_core.irem import IREM as IREM
    from irem_core.iterate import Iterate as Iterate
    from irem_core.layout import Layout as Layout
    from irem_core.loggers import CSVLogger as CSVLogger
    from irem_core.loggers import Logger as Logger
    from irem_core.loggers import TensorBoardLogger as TensorBoardLogger
    from irem_core.minimization import Observer as Observer
    from irem_core.minimization import minimize as minimize
    from irem_core.model_card import card as card
    from irem_core.outcome import Outcome as Outcome
    from irem_core.pairs import PairsTask as PairsTask
    from irem_core.pairs import fit_pairs as fit_pairs
    from irem_core.part import Recorded as Recorded
    from irem_core.part import seeded as seeded
    from irem_core.part import settings_of as settings_of
    from irem_core.problem import Problem as Problem
    from irem_core.program_check import Agreement as Agreement
    from irem_core.progress import Callback as Callback
    from irem_core.progress import Progress as Progress
    from irem_core.progress import Training as Training
    from irem_core.recipes import Recipe as Recipe
    from irem_core.recipes import recipe as recipe
    from irem_core.registry import build as build
    from irem_core.registry import load_task as load_task
    from irem_core.replay import Example as Example
    from irem_core.replay import ReplayBuffer as ReplayBuffer
    from irem_core.report import Measuring as Measuring
    from irem_core.report import write_report as write_report
    from irem_core.scratchpad import ScratchpadEnergy as ScratchpadEnergy
    from irem_core.sharing import pull as pull
    from irem_core.sharing import push as push
    from irem_core.solution import Recorder as Recorder
    from irem_core.solution import Solution as Solution
    from irem_core.solution import Trace as Trace
    from irem_core.solver import Preset as Preset
    from irem_core.solver import Solver as Solver
    from irem_core.space import EdgeSpace as EdgeSpace
    from irem_core.space import ImageSpace as ImageSpace
    from irem_core.space import MatrixSpace as MatrixSpace
    from irem_core.space import Space as Space
    from irem_core.space import VectorSpace as VectorSpace
    from irem_core.standardized import Standardized as Standardized
    from irem_core.streaming import minimize_many as minimize_many
    from irem_core.task import Published as Published
    from irem_core.task import Task as Task
    from irem_core.training import fit as fit

__version__ = "0.1.0"

_MODULES = {
    "answer_journal": ("SolvedFile",),
    "arrays": ("read_arrays", "tensor_of", "write_arrays"),
    "backprop": ("Backprop", "FullUnroll", "GradientFree", "LastStep"),
    "checkpoint": ("load", "save"),
    "composition": ("Composition", "compose"),
    "composition_scores": ("score_composition",),
    "descent": (
        "Adam",
        "Backtracking",
        "BarzilaiBorwein",
        "CoordinateFlip",
        "Descent",
        "GradientDescent",
        "Momentum",
        "Nesterov",
        "Probe",
    ),
    "difficulty": ("Between", "Difficulty"),
    "energies": ("default_energy",),
    "energies.combined": ("WeightedEnergies",),
    "energies.conv": ("ConvEnergy",),
    "energies.distance": ("DistanceEnergy",),
    "energies.elementwise": ("ElementwiseEnergy",),
    "energies.gine": ("GINEEnergy",),
    "energies.mlp": ("MLPEnergy", "ScratchpadMLPEnergy"),
    "energies.pairwise": ("PairwiseEnergy",),
    "energies.periodic": ("PeriodicEnergy",),
    "energies.ranking": ("RankingEnergy",),
    "energies.rational": ("RationalEnergy",),
    "energies.sparse_pairwise": ("SparsePairwiseEnergy",),
    "energies.spectral": ("SpectralEnergy",),
    "energy": ("EnergyFn", "Evaluation", "Landscape", "differentiate"),
    "errors": (
        "CheckpointError",
        "DamagedFileWarning",
        "EnergyError",
        "CompileError",
        "ExportError",
        "HubError",
        "InUseError",
        "InputFileError",
        "IremError",
        "IremWarning",
        "NonFiniteError",
        "NotConvergedError",
        "PluginError",
        "ProcessLostError",
        "RunExistsError",
        "SettingError",
        "ShapeError",
        "SkippedFileWarning",
        "StorageError",
        "TrainingDivergedError",
        "UnknownNameError",
        "UnknownSettingError",
    ),
    "evaluation": ("Scores", "auroc", "evaluate", "rank_correlation"),
    "export": ("Exported", "export_solver"),
    "file_solving": ("solve_file",),
    "floors": ("Entries", "Floor", "fit_polynomials", "monomials", "squared_errors"),
    "halting": (
        "AllOf",
        "AnyOf",
        "EnergyPlateau",
        "FixedSteps",
        "GradientNorm",
        "HaltingCriterion",
        "all_of",
        "any_of",
    ),
    "irem": ("IREM",),
    "iterate": ("Iterate",),
    "layout": ("Layout",),
    "loggers": ("CSVLogger", "Logger", "TensorBoardLogger"),
    "minimization": ("Observer", "minimize"),
    "model_card": ("card",),
    "outcome": ("Outcome",),
    "part": ("Recorded", "seeded", "settings_of"),
    "pairs": ("PairsTask", "fit_pairs"),
    "problem": ("Problem",),
    "program_check": ("Agreement",),
    "progress": ("Callback", "Progress", "Training"),
    "recipes": ("Recipe", "recipe"),
    "registry": ("build", "load_task"),
    "replay": ("Example", "ReplayBuffer"),
    "report": ("Measuring", "write_report"),
    "scratchpad": ("ScratchpadEnergy",),
    "sharing": ("pull", "push"),
    "solution": ("Recorder", "Solution", "Trace"),
    "solver": ("Preset", "Solver"),
    "space": ("EdgeSpace", "ImageSpace", "MatrixSpace", "Space", "VectorSpace"),
    "standardized": ("Standardized",),
    "streaming": ("minimize_many",),
    "task": ("Published", "Task"),
    "training": ("fit",),
}
_WHERE = {name: module for module, names in _MODULES.items() for name in names}

__all__ = ["__version__", *_WHERE]


def __getattr__(name: str) -> Any:
    """Import the module that defines a public name, and return the name's value."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
