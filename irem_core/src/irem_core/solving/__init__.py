"""Descending an energy until it stops changing (Algorithm 2)."""
