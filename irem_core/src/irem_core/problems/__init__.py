"""What is asked and answered: spaces, problems, iterates, and whose each row is."""

from irem_core.problems import graphs

__all__ = ["graphs"]
