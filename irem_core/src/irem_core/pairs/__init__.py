"""Pairs of a user's own, as a task."""
