"""Training: `fit`, and what can be told of it on the way."""
