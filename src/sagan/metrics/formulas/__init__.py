"""The formulas of the scores, on features: one a file."""
