"""Kernel distance (KID): the squared maximum mean discrepancy under a cubic kernel.

Dimensions: i j samples, d features.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SUBSETS = 50
_SUBSET_SIZE = 1000
_CHUNK = 256  # rows, so that kernel values stay in the cache


@dataclass(frozen=True)
class KernelDistance:
    """A kernel distance and its standard deviation over random subsets."""

    value: float
    spread: float


def kernel_distance(
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    *,
    subsets: int = SUBSETS,
    subset_size: int = _SUBSET_SIZE,
    seed: int = 0,
) -> KernelDistance:
    """Unbiased squared MMD of all samples, under the kernel (x.y / d + 1)^3.

    Reference implementations average it over random subsets of 1000, which has the same expected
    value but more variance, and depends on the draw; here the subsets give the spread only.

    Args:
        x: features of one set, `i d`, at least 4.
        y: features of the other, `j d`, at least 4.
        subsets: for the spread; 0 skips it.
        subset_size: upper limit, as is half of the smaller side.
        seed: for the subsets.

    Raises:
        ValueError: too few samples.

    Source:
        Binkowski et al. 2018, equation 4 and appendix.

    Example:
        >>> draw = np.random.default_rng(0).normal
        >>> kernel_distance(draw(size=(500, 4)), draw(1, size=(500, 4))).value > 1
        True
    """
    if min(len(x), len(y)) < 4:
        raise ValueError(f"KID needs at least 4 images a side, not {len(x)} and {len(y)}")
    x, y = x.astype(np.float64), y.astype(np.float64)
    size = min(subset_size, len(x) // 2, len(y) // 2)
    rng = np.random.default_rng(seed)
    values = [
        _unbiased(
            x[rng.choice(len(x), size, replace=False)], y[rng.choice(len(y), size, replace=False)]
        )
        for _ in range(subsets)
    ]
    return KernelDistance(_unbiased(x, y), float(np.std(values)) if values else 0.0)


def _unbiased(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    within_x = (_kernel_sum(x, x) - _diagonal_sum(x)) / (len(x) * (len(x) - 1))
    within_y = (_kernel_sum(y, y) - _diagonal_sum(y)) / (len(y) * (len(y) - 1))
    return within_x + within_y - 2 * _kernel_sum(x, y) / (len(x) * len(y))


def _kernel_sum(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    total = 0.0
    for start in range(0, len(x), _CHUNK):
        base = x[start : start + _CHUNK] @ y.T / x.shape[1] + 1
        total += float(np.vdot(base * base, base))
    return total


def _diagonal_sum(x: NDArray[np.floating]) -> float:
    return float(((np.square(x).sum(1) / x.shape[1] + 1) ** 3).sum())
