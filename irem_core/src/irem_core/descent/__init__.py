"""Ways to step down an energy."""

from irem_core.descent.adam import Adam
from irem_core.descent.anderson import Anderson
from irem_core.descent.backtracking import Backtracking
from irem_core.descent.barzilai_borwein import BarzilaiBorwein
from irem_core.descent.base import Descent, Probe
from irem_core.descent.coordinate_flip import CoordinateFlip
from irem_core.descent.gradient import GradientDescent
from irem_core.descent.lbfgs import LBFGS
from irem_core.descent.levenberg_marquardt import LevenbergMarquardt
from irem_core.descent.momentum import Momentum, Nesterov
from irem_core.descent.monotone import Monotone
from irem_core.descent.newton_cg import NewtonCG

__all__ = [
    "LBFGS",
    "Adam",
    "Anderson",
    "Backtracking",
    "BarzilaiBorwein",
    "CoordinateFlip",
    "Descent",
    "GradientDescent",
    "LevenbergMarquardt",
    "Momentum",
    "Monotone",
    "Nesterov",
    "NewtonCG",
    "Probe",
]
