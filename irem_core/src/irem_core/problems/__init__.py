"""What is asked and answered: spaces, problems, iterates, and whose each row is."""

from irem_core.problems import choices, factor_graphs, graphs

__all__ = ["choices", "factor_graphs", "graphs"]
