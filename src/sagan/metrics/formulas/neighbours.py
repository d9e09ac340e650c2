"""Nearest neighbours among features, in float64 and in chunks.

Dimensions: i queries, j references, d features, k neighbours.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_CHUNK_BYTES = 2**26
_TIE = 1e-10  # relative to the mean squared norm

Floats = NDArray[np.float64]


def squared_distances(
    x: NDArray[np.floating], y: NDArray[np.floating]
) -> Iterator[tuple[slice, Floats]]:
    """Yield the squared Euclidean distances `i j` in blocks of rows, each with its slice of x."""
    centre = y.mean(0, dtype=np.float64)  # smaller norms lose fewer digits
    x, y = x - centre, y - centre
    x_norms, y_norms = np.square(x).sum(1), np.square(y).sum(1)
    rows = max(1, _CHUNK_BYTES // (8 * len(y)))
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        squared = x[part] @ y.T
        squared *= -2
        squared += x_norms[part, None]
        squared += y_norms
        yield part, np.maximum(squared, 0, out=squared)


def nearest_squared(x: NDArray[np.floating], y: NDArray[np.floating]) -> Floats:
    """Squared distance `i` from each of x to its nearest in y."""
    return np.concatenate([squared.min(1) for _, squared in squared_distances(x, y)])


def nearest_squared_within(x: NDArray[np.floating], k: int = 1) -> Floats:
    """Squared distance `i` from each of x to its k-th nearest other in x.

    Example:
        >>> nearest_squared_within(np.array([[0.0], [1.0], [3.0]])).round(9).tolist()
        [1.0, 1.0, 4.0]
    """
    if len(x) <= k:
        raise ValueError(f"the {k} nearest others need more than {k} images, not {len(x)}")
    found = []
    for part, squared in squared_distances(x, x):
        rows = np.arange(len(squared))
        squared[rows, rows + part.start] = np.inf
        found.append(squared.min(1) if k == 1 else np.partition(squared, k - 1, axis=1)[:, k - 1])
    return np.concatenate(found)


def tie_width(x: NDArray[np.floating]) -> float:
    """Squared distances that differ by less than this are equal up to rounding."""
    return _TIE * float(np.square(x - x.mean(0, dtype=np.float64)).sum(1).mean())
