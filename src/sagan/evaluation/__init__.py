"""Scoring a run from Python, as `sagan evaluate` does."""
