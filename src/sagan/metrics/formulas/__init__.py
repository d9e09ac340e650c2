"""The formulas of the scores, on features: one per file."""
