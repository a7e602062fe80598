"""Energies and their gradients by programs that torch's compiler makes of them."""
