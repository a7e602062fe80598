"""Solvers as programs that need no irem where they run."""
