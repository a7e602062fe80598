"""The public names: type checkers read them here, and lazy_loader when irem_tasks is imported."""

from .factorizations import LU as LU
from .factorizations import QR as QR
from .factorizations import Eigenvector as Eigenvector
from .factorizations import LinearSystem as LinearSystem
from .graphs import ConnectedComponents as ConnectedComponents
from .graphs import EdgeCopy as EdgeCopy
from .graphs import ShortestPath as ShortestPath
from .images import Denoise as Denoise
from .matrices import Determinant as Determinant
from .matrices import MatrixCompletion as MatrixCompletion
from .matrices import MatrixInverse as MatrixInverse
from .matrices import Square as Square
from .puzzles.assignment import Assignment as Assignment
from .puzzles.maze import Maze as Maze
from .puzzles.sudoku import Sudoku as Sudoku
from .sat import Sat as Sat
from .sat import SatEnergy as SatEnergy
from .sat import SatSolver as SatSolver
from .several import InverseKinematics as InverseKinematics
from .several import Roots as Roots
from .sparse_graphs import SparseComponents as SparseComponents
from .sparse_graphs import SparseShortestPath as SparseShortestPath
from .vectors import Add as Add
from .vectors import Negate as Negate
from .vectors import Parity as Parity
from .vectors import Sort as Sort
