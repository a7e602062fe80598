"""Solving files that are larger than memory."""
