"""Graph colouring: random graphs of several families, files of graphs, and a local search."""

from irem_tasks.coloring.col_files import read_col
from irem_tasks.coloring.search import colouring
from irem_tasks.coloring.task import Coloring

__all__ = ["Coloring", "colouring", "read_col"]
