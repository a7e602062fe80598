"""Boolean satisfiability (Section 3.3): a task whose energy is written down, not learned."""

from irem_tasks.sat.clauses import ClauseSpace, unsatisfied
from irem_tasks.sat.dimacs import read_cnf, write_cnf
from irem_tasks.sat.energy import SatEnergy
from irem_tasks.sat.solver import SatSolver, ZeroEnergy
from irem_tasks.sat.task import Sat

__all__ = [
    "ClauseSpace",
    "Sat",
    "SatEnergy",
    "SatSolver",
    "ZeroEnergy",
    "read_cnf",
    "unsatisfied",
    "write_cnf",
]
