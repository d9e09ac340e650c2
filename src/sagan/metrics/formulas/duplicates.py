"""Near-duplicates among samples: a collapsed generator repeats itself, real images do not.

Dimensions: i images, d features.
"""

import numpy as np
from numpy.typing import NDArray

from sagan.metrics.formulas.neighbours import nearest_squared_within

_NEAR = 0.25  # of the median distance from a real image to its nearest other


def near_duplicate_distance(real: NDArray[np.floating]) -> float:
    """Distance under which two images are near-duplicates, by what is usual among real ones.

    A quarter of the median distance from a real image (`i d`) to its nearest other.
    """
    return _NEAR * float(np.sqrt(np.median(nearest_squared_within(real))))


def near_duplicate_rate(features: NDArray[np.floating], distance: float) -> float:
    """Share of images in [0, 1] with another one nearer than a distance.

    Args:
        features: `i d`, at least 2.
        distance: from `near_duplicate_distance` of real images with the same features.

    Raises:
        ValueError: fewer than 2 images.

    Source:
        Ours, see docs/metrics.md for what it sees.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 16))
        >>> distance = near_duplicate_distance(x)
        >>> near_duplicate_rate(x, distance), near_duplicate_rate(x[:10].repeat(9, 0), distance)
        (0.0, 1.0)
    """
    return float((np.sqrt(nearest_squared_within(features)) < distance).mean())
