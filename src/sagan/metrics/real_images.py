"""The real images that generated ones are compared with.

Dimensions: i j images, c channels, h w image sides.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_HELD_OUT_SHARE = 1 / 5
_FEWEST = 10


@dataclass(frozen=True, kw_only=True)
class RealImages:
    """Real images, some of them held out. Made by `split_off_test` or `with_test_split`."""

    images: NDArray[np.uint8]  # `i c h w`; may be mapped from a file
    labels: NDArray[np.int64] | None  # `i`
    held_out: NDArray[np.bool_]  # `i`
    class_names: tuple[str, ...]  # by label
    # the seed that chose the held-out images, which a generator may have been trained on; None if
    # the data have a test split of their own
    split_by_seed: int | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def reference(self) -> NDArray[np.bool_]:
        """Mask `i` of the images to compare with: all that a generator was trained on."""
        return ~self.held_out if self.split_by_seed is None else np.ones(len(self), bool)

    @property
    def n_reference(self) -> int:
        """The number of those."""
        return int(self.reference.sum())

    @property
    def class_counts(self) -> Tensor | None:
        """How many of those there are of each class, `k`; None without classes."""
        if self.labels is None:
            return None
        labels = torch.from_numpy(self.labels[self.reference])
        return labels.bincount(minlength=len(self.class_names))

    @property
    def shape(self) -> tuple[int, int, int]:
        """`c h w`."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def batches(self, batch_size: int) -> Iterator[Tensor]:
        """Yield uint8 batches of all images, in order."""
        for start in range(0, len(self), batch_size):
            yield torch.tensor(self.images[start : start + batch_size])


def with_test_split(
    train: NDArray[np.uint8],
    train_labels: NDArray[np.int64] | None,
    test: NDArray[np.uint8],
    test_labels: NDArray[np.int64] | None,
    class_names: tuple[str, ...],
) -> RealImages:
    """Join training images `i c h w` and their test split `j c h w`, uint8."""
    both = train_labels is not None and test_labels is not None
    return RealImages(
        images=np.concatenate([train, test]),
        labels=np.concatenate([train_labels, test_labels]) if both else None,
        held_out=np.arange(len(train) + len(test)) >= len(train),
        class_names=class_names,
    )


def split_off_test(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64] | None,
    class_names: tuple[str, ...],
    *,
    seed: int,
) -> RealImages:
    """Hold out a fifth of the images, stratified by class, if the data have no test split."""
    from sklearn.model_selection import train_test_split

    if len(images) < _FEWEST:
        raise ValueError(f"{len(images)} real images are too few; at least {_FEWEST} are needed")
    index, size = np.arange(len(images)), round(_HELD_OUT_SHARE * len(images))
    counts = np.unique(labels, return_counts=True)[1] if labels is not None else np.array([])
    by_class = labels if len(counts) and counts.min() > 1 and len(counts) <= size else None
    _, test = train_test_split(index, test_size=size, random_state=seed % 2**32, stratify=by_class)
    held_out = np.zeros(len(images), bool)
    held_out[test] = True
    return RealImages(
        images=images,
        labels=labels,
        held_out=held_out,
        class_names=class_names,
        split_by_seed=seed,
    )
