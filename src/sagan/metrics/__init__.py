"""Scores of images; one formula a file. Nothing here knows a model."""

from sagan.metrics.cas import CAS, classification_accuracy_score

__all__ = ["CAS", "classification_accuracy_score"]
