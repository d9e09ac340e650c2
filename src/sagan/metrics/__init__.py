"""Scores of images; one formula a file. Nothing here knows a model."""

from sagan.metrics.arrays import evaluate
from sagan.metrics.cas import CAS, classification_accuracy_score
from sagan.metrics.inception_features import load_inception
from sagan.metrics.names import Spec, default_metrics, parse_metrics
from sagan.metrics.real import RealImages, split_off_test, with_test_split
from sagan.metrics.reference import Reference, prepare
from sagan.metrics.score import Level, Score

__all__ = [
    "CAS",
    "Level",
    "RealImages",
    "Reference",
    "Score",
    "Spec",
    "classification_accuracy_score",
    "default_metrics",
    "evaluate",
    "load_inception",
    "parse_metrics",
    "prepare",
    "split_off_test",
    "with_test_split",
]
