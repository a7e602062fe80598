"""What is trained: IREM (Algorithm 1 as an object), its parts, and compositions of solvers."""
