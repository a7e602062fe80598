"""Ready-made energies."""
