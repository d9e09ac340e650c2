import numpy as np
import pytest
from numpy.typing import NDArray

from sagan.data import ImageDataset
from sagan.metrics import CAS, classification_accuracy_score


def score(train: ImageDataset, labels: NDArray[np.int64], test: ImageDataset) -> CAS:
    assert test.labels is not None
    return classification_accuracy_score(train.images, labels, test.images, test.labels)


def test_real_digits_reach_the_ceiling(digits: tuple[ImageDataset, ImageDataset]) -> None:
    train, test = digits
    assert train.labels is not None
    assert test.labels is not None
    ceiling = score(train, train.labels, test)
    assert 0.98 < ceiling.accuracy < 1
    assert len(ceiling.per_class) == 10
    assert min(ceiling.per_class) > 0.9
    shares = np.bincount(test.labels) / len(test)
    assert np.dot(ceiling.per_class, shares) == pytest.approx(ceiling.accuracy)


def test_shuffled_labels_score_near_chance(digits: tuple[ImageDataset, ImageDataset]) -> None:
    train, test = digits
    shuffled = np.random.default_rng(0).permutation(train.labels)
    assert 0.03 < score(train, shuffled, test).accuracy < 0.2


def test_swapped_classes_are_wrong_only_where_they_were_swapped(
    digits: tuple[ImageDataset, ImageDataset],
) -> None:
    train, test = digits
    assert train.labels is not None
    swapped = train.labels.copy()
    swapped[train.labels == 3], swapped[train.labels == 5] = 5, 3
    per_class = score(train, swapped, test).per_class
    assert max(per_class[3], per_class[5]) < 0.1
    assert min(per_class[k] for k in range(10) if k not in (3, 5)) > 0.9


def test_a_class_that_is_never_generated_scores_nothing(
    digits: tuple[ImageDataset, ImageDataset],
) -> None:
    train, test = digits
    assert train.labels is not None
    kept = train.labels != 7
    partial = ImageDataset(train.images[kept], train.labels[kept], train.class_names)
    assert partial.labels is not None
    result = score(partial, partial.labels, test)
    assert result.per_class[7] == 0
    assert len(result.per_class) == 10


def test_images_of_another_shape_are_refused(digits: tuple[ImageDataset, ImageDataset]) -> None:
    train, test = digits
    assert train.labels is not None
    assert test.labels is not None
    with pytest.raises(ValueError, match=r"images are \(1, 8, 8\), test images \(1, 4, 4\)"):
        classification_accuracy_score(
            train.images, train.labels, test.images[:, :, ::2, ::2], test.labels
        )


def test_a_single_class_is_refused(digits: tuple[ImageDataset, ImageDataset]) -> None:
    train, test = digits
    with pytest.raises(ValueError, match="at least two classes"):
        score(train, np.zeros(len(train), np.int64), test)
