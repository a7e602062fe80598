"""What is kept of a training: its weights, its settings, and where it comes from."""
