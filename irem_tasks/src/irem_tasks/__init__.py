"""Tasks of the paper and of its published code."""

from irem_tasks.vectors import Add, Negate

__all__ = ["Add", "Negate"]
