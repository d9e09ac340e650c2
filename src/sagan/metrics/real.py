"""The real images that generated ones are compared with.

Dimensions: i images, c channels, h w the image's sides.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_HELD_OUT_SHARE = 1 / 5
FEWEST = 10


@dataclass(frozen=True, kw_only=True)
class RealImages:
    """Real images, apart into those to fit on and those to test on.

    Args:
        train: uint8 `i c h w`.
        train_labels: int64 `i`, or None.
        test: uint8 `j c h w`.
        test_labels: int64 `j`, or None.
        class_names: by label.
        split_by_seed: the seed by which the test images were taken from the training ones here;
            None where the data have a test split of their own.
    """

    train: NDArray[np.uint8]
    train_labels: NDArray[np.int64] | None
    test: NDArray[np.uint8]
    test_labels: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    split_by_seed: int | None = None

    def __len__(self) -> int:
        return len(self.train) + len(self.test)

    @property
    def n_reference(self) -> int:
        """How many images generated ones are compared with: what the generator was trained on."""
        return len(self.train) if self.split_by_seed is None else len(self)

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Labels of training, then test images."""
        if self.train_labels is None or self.test_labels is None:
            return None
        return np.concatenate([self.train_labels, self.test_labels])

    def batches(self, batch_size: int) -> Iterator[Tensor]:
        """Yield uint8 batches of training, then test images."""
        for images in (self.train, self.test):
            for start in range(0, len(images), batch_size):
                yield torch.tensor(images[start : start + batch_size])


def split_off_test(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64] | None,
    class_names: tuple[str, ...],
    *,
    seed: int,
) -> RealImages:
    """Take a fifth of images that have no test split as one, of every class by its share.

    Raises:
        ValueError: there are fewer than 10 images.

    Example:
        >>> real = split_off_test(np.zeros((50, 1, 8, 8), np.uint8), None, (), seed=0)
        >>> len(real.train), len(real.test)
        (40, 10)
    """
    from sklearn.model_selection import train_test_split

    if len(images) < FEWEST:
        raise ValueError(
            f"{len(images)} real images are too few to compare with; at least {FEWEST}"
        )
    try:
        train, test = train_test_split(
            np.arange(len(images)), test_size=_HELD_OUT_SHARE, random_state=seed, stratify=labels
        )
    except ValueError:  # a class of one image, or more classes than places
        train, test = train_test_split(
            np.arange(len(images)), test_size=_HELD_OUT_SHARE, random_state=seed
        )
    train, test = np.sort(train), np.sort(test)
    return RealImages(
        train=images[train],
        train_labels=None if labels is None else labels[train],
        test=images[test],
        test_labels=None if labels is None else labels[test],
        class_names=class_names,
        split_by_seed=seed,
    )
