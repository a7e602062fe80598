"""How good a solver is."""
