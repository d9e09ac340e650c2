"""What every source becomes: uint8 images, in memory or mapped from a file, and their labels.

Dimensions: i images, c channels, h w the image's sides.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

_AT_A_TIME = 1024
Split = Literal["train", "test"]
LeftOut = tuple[str, str]  # name, reason


@dataclass(frozen=True)
class ImageDataset:
    """Decoded images.

    Args:
        images: uint8 `i c h w` in [0, 255]; read-only where mapped from a packed cache.
        labels: int64 `i`, or None.
        class_names: one per class, in label order.
        fingerprint: SHA-256 of images, labels and class names; empty if not computed.
        excluded: what was left out, as (name, reason).

    Example:
        >>> images, labels = np.zeros((2, 3, 8, 8), np.uint8), np.array([0, 1])
        >>> len(ImageDataset(images, labels, ("cat", "dog")))
        2
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    fingerprint: str = ""
    excluded: tuple[LeftOut, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def at(self, resolution: int) -> "ImageDataset":
        """The same images at a smaller size: means of blocks of pixels, rounded.

        Raises:
            ValueError: the size does not divide that of the images.

        Example:
            >>> images = np.array([[[[0, 10], [20, 30]]]], np.uint8)
            >>> ImageDataset(images, None, ()).at(1).images.tolist()
            [[[[15]]]]
        """
        side = self.images.shape[-1]
        if resolution == side:
            return self
        if resolution < 1 or side % resolution:
            raise ValueError(f"images of {side} px cannot be made {resolution} px by whole blocks")
        i, c = self.images.shape[:2]
        small = np.empty((i, c, resolution, resolution), np.uint8)
        block = side // resolution
        for start in range(0, i, _AT_A_TIME):  # so that a mapped file is never in memory whole
            part = self.images[start : start + _AT_A_TIME]
            blocks = part.reshape(-1, c, resolution, block, resolution, block)
            small[start : start + len(part)] = blocks.mean((3, 5)).round()
        return replace(self, images=small)


def fingerprint_of(
    shape: tuple[int, ...], images_sha256: str, labels_sha256: str, class_names: tuple[str, ...]
) -> str:
    """Identify decoded data by their content alone."""
    facts = [list(shape), images_sha256, labels_sha256, list(class_names)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def sha256_of(array: NDArray[np.generic] | None) -> str:
    """Compute the SHA-256 of an array's bytes; empty for None."""
    if array is None:
        return ""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
