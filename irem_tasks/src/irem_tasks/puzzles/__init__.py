"""Puzzles: boards, mazes and assignments, whose answers are exact and can be checked."""
