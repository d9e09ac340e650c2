"""The protocol of feature extractors, and the plainest one: pixels.

Dimensions: b images, c channels, h w image sides, d features, k classes.
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

_MOST_PX = 16


class Extracted(NamedTuple):
    """Features `b d` of a batch, and logits `b k` if the network has any."""

    features: NDArray[np.floating]
    logits: NDArray[np.floating] | None = None


class Extractor(Protocol):
    """Turns uint8 images `b c h w` into features; its description goes into each record."""

    @property
    def name(self) -> str:
        """As in a metric's name: pixel, own, inception, inception-clean."""

    @property
    def dim(self) -> int:
        """Features per image, d."""

    @property
    def resize(self) -> str:
        """How images are resized, and to which range of values."""

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the network's weights; empty without a network."""

    def __call__(self, images: Tensor) -> Extracted:
        """Give the features of a batch."""


class PixelFeatures:
    """Pixels in [0, 1], averaged over squares to at most 16 px a side: more costs and says little.

    Example:
        >>> import torch
        >>> pixels = PixelFeatures((3, 64, 64))
        >>> pixels.dim, pixels(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).features.shape
        (768, (2, 768))
    """

    name = "pixel"
    weights_sha256 = ""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        channels, height, width = shape  # of the images
        self._size = (min(height, _MOST_PX), min(width, _MOST_PX))
        self._shrinks = self._size != (height, width)
        self.dim = channels * self._size[0] * self._size[1]

    @property
    def resize(self) -> str:
        """The resize, as records say it."""
        size = f"{self._size[1]}x{self._size[0]} px"
        return f"box average to {size}, [0, 1]" if self._shrinks else f"none ({size}), [0, 1]"

    def __call__(self, images: Tensor) -> Extracted:
        """Give features `b d`, in float64 so that distances of 8-bit pixels keep their ties."""
        pixels = images.double() / 255
        if self._shrinks:
            pixels = adaptive_avg_pool2d(pixels, self._size)
        return Extracted(pixels.flatten(1).cpu().numpy())
