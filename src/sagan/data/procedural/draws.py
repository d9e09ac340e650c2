"""Random numbers of an image, by (seed, set, image) alone: a counter hashed, with no state.

NumPy's generators are keyed one image at a time, which costs more than drawing a small picture;
the hash below is SplitMix64 (Steele, Lea and Flood 2014), which makes those of many images at once.

Dimensions: i images, k numbers of one image.
"""

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIERS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_MOST = 256  # numbers an image may draw


class Draws:
    """The numbers of images `i` of a seed and set, drawn in the order in which they are asked for.

    Example:
        >>> some, others = Draws(0, "twins", np.arange(9)), Draws(0, "twins", np.array([7]))
        >>> bool(some.between(0, 1)[7] == others.between(0, 1)[0])
        True
    """

    def __init__(self, seed: int, purpose: str, indices: NDArray[np.integer]) -> None:
        digest = hashlib.sha256(f"{purpose}:{seed}".encode()).digest()
        self._start = np.uint64(int.from_bytes(digest[:8], "little"))
        self._indices = np.asarray(indices).astype(np.uint64)
        self._drawn = 0

    def between(self, low: float | Floats, high: float | Floats, *size: int) -> Floats:
        """Draw evenly from [low, high): `i`, or `i *size`."""
        count = math.prod(size)
        assert self._drawn + count <= _MOST
        numbers = np.arange(self._drawn + 1, self._drawn + 1 + count, dtype=np.uint64)
        self._drawn += count
        state = (self._indices[:, None] * np.uint64(_MOST) + numbers) * _STEP + self._start
        state = (state ^ (state >> np.uint64(30))) * _MULTIPLIERS[0]
        state = (state ^ (state >> np.uint64(27))) * _MULTIPLIERS[1]
        state ^= state >> np.uint64(31)
        unit = (state >> np.uint64(11)).astype(np.float64) / 2**53
        return low + (high - low) * unit.reshape(len(self._indices), *size)

    def whole(self, below: int, *size: int) -> NDArray[np.int64]:
        """Draw whole numbers from 0 to below `below`, each as likely."""
        return self.between(0, below, *size).astype(np.int64)
