"""Scoring a run, or any images, from Python: what `sagan evaluate` does."""

from sagan.evaluation.evaluate_run import Evaluation

__all__ = ["Evaluation"]
