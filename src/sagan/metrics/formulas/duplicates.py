"""Near-duplicates among samples: a collapsed generator repeats itself, real data do not.

Dimensions: i images, d features.
"""

import numpy as np
from numpy.typing import NDArray

from sagan.metrics.formulas.neighbours import nearest_squared_within

_NEAR = 0.25  # of the median distance from a real image to its nearest other


def near_duplicate_distance(real: NDArray[np.floating]) -> float:
    """Distance below which images are near-duplicates, from features `i d` of real ones."""
    return _NEAR * float(np.sqrt(np.median(nearest_squared_within(real))))


def near_duplicate_rate(features: NDArray[np.floating], distance: float) -> float:
    """Share of images that have another one within a distance, in [0, 1].

    Args:
        features: `i d`, at least 2.
        distance: from `near_duplicate_distance`, on the same features of real images.

    Raises:
        ValueError: fewer than 2 images.

    Source:
        Ours; docs/metrics.md says what it sees.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 16))
        >>> distance = near_duplicate_distance(x)
        >>> near_duplicate_rate(x, distance), near_duplicate_rate(x[:10].repeat(9, 0), distance)
        (0.0, 1.0)
    """
    return float((np.sqrt(nearest_squared_within(features)) < distance).mean())
