"""Runs on a hub, and the cards that describe them."""
