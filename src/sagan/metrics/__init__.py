"""Scores of images, one formula per file. Nothing here knows about models."""

from sagan.metrics.features.inception_features import load_inception
from sagan.metrics.formulas.cas import CAS, classification_accuracy_score
from sagan.metrics.real_images import RealImages, split_off_test, with_test_split
from sagan.metrics.score import Level, Score
from sagan.metrics.score_images import evaluate
from sagan.metrics.scorer import Reference, prepare
from sagan.metrics.spec import Spec, default_metrics, parse_metrics

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
