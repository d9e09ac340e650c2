"""Classification accuracy score: train on generated images, test on real ones.

Dimensions: i j images, c channels, h w image sides, d features.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class CAS:
    """A classification accuracy score in [0, 1], overall and per class."""

    accuracy: float
    per_class: tuple[float, ...]


def classification_accuracy_score(
    images: Images, labels: Labels, test_images: Images, test_labels: Labels
) -> CAS:
    """Train an RBF support vector machine on labelled images and test it on held-out real ones.

    With generated images this is CAS; with the real training split, its ceiling.

    Args:
        images: uint8 `i c h w`.
        labels: int64 `i`, at least two classes.
        test_images: uint8 `j c h w`, real and not used in training.
        test_labels: int64 `j`.

    Raises:
        ValueError: the image shapes differ, or there is only one class.

    Source:
        Ravuri & Vinyals 2019; here with scikit-learn's SVC on pixels (C = 10, gamma "scale").

    Example:
        >>> black, white = np.zeros((9, 1, 8, 8), np.uint8), np.full((9, 1, 8, 8), 255, np.uint8)
        >>> images, labels = np.concatenate([black, white]), np.repeat([0, 1], 9)
        >>> classification_accuracy_score(images, labels, images, labels).accuracy
        1.0
    """
    if images.shape[1:] != test_images.shape[1:]:
        raise ValueError(f"images are {images.shape[1:]}, test images {test_images.shape[1:]}")
    return classification_accuracy(_features(images), labels, _features(test_images), test_labels)


def classification_accuracy(
    features: NDArray[np.floating],
    labels: Labels,
    test_features: NDArray[np.floating],
    test_labels: Labels,
) -> CAS:
    """As `classification_accuracy_score`, on features `i d` and `j d`."""
    from sklearn.svm import SVC

    if len(np.unique(labels)) < 2:
        raise ValueError("CAS needs at least two classes")
    classifier = SVC(C=10.0, gamma="scale").fit(features, labels)
    correct = classifier.predict(test_features) == test_labels
    return CAS(
        accuracy=float(correct.mean()),
        per_class=tuple(float(correct[test_labels == k].mean()) for k in np.unique(test_labels)),
    )


def _features(images: Images) -> NDArray[np.float64]:
    return images.reshape(len(images), -1) / 255.0
