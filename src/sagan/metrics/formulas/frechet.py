"""Fréchet distance between two sets of features as Gaussians, with moments from a stream.

Dimensions: i samples, d features, r rank of a covariance.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.floating]


@dataclass(frozen=True)
class Gaussian:
    """Mean and covariance of a set of features."""

    mean: NDArray[np.float64]  # `d`
    covariance: NDArray[np.float64]  # `d d`
    n: int = 0  # samples that it was estimated from; 0 if unknown

    @cached_property
    def factor(self) -> NDArray[np.float64]:
        """L `d r` with L L^T = covariance, without directions that are only rounding error."""
        values, vectors = np.linalg.eigh(self.covariance)
        kept = values > len(values) * np.finfo(np.float64).eps * max(values[-1], 0.0)
        return vectors[:, kept] * np.sqrt(values[kept])


class Moments:
    """Mean and covariance of a stream of features, in float64 and constant memory."""

    # Deviations from the running mean are summed (Chan, Golub & LeVeque 1983): raw squares would
    # cancel. Sizes and order of batches change the result by rounding only.

    def __init__(self, dim: int) -> None:
        self.n = 0
        self._mean = np.zeros(dim)
        self._scatter = np.zeros((dim, dim))
        self._gaussian: Gaussian | None = None

    def update(self, features: Features) -> None:
        """Add features `i d`."""
        if not len(features):
            return
        rows = features.astype(np.float64)
        mean = rows.mean(0)
        rows = rows - mean
        n, total, shift = len(rows), self.n + len(rows), mean - self._mean
        self._scatter += rows.T @ rows
        self._scatter += np.outer(shift, shift) * (self.n * n / total)
        self._mean = self._mean + shift * (n / total)
        self.n = total

    def gaussian(self) -> Gaussian:
        """Mean and unbiased covariance; the same object until more features come."""
        if self.n < 2:
            raise ValueError(f"a covariance needs at least 2 samples, not {self.n}")
        if self._gaussian is None or self._gaussian.n != self.n:
            self._gaussian = Gaussian(self._mean, self._scatter / (self.n - 1), self.n)
        return self._gaussian


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """|m_a - m_b|^2 + tr S_a + tr S_b - 2 tr (S_a S_b)^(1/2), the squared Fréchet distance."""
    # Dowson & Landau 1982; Heusel et al. 2017 for images.
    # With factors S = L L^T the last trace is the sum of singular values of L_a^T L_b: no root of a
    # non-symmetric product, no small complex parts, and singular covariances (fewer samples than
    # features) are exact too.
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"{len(a.mean)} features cannot be compared with {len(b.mean)}")
    if np.array_equal(a.covariance, b.covariance):
        return float(np.square(a.mean - b.mean).sum())
    cross = a.factor.T @ b.factor
    common = np.linalg.svd(cross, compute_uv=False).sum() if cross.size else 0.0
    traces = np.trace(a.covariance) + np.trace(b.covariance)
    distance = np.square(a.mean - b.mean).sum() + traces - 2 * common
    return max(0.0, float(distance))  # equal ones differ by rounding


def frechet_distance_of(x: Features, y: Features) -> float:
    """Squared Fréchet distance between features `i d` and `j d`.

    With fewer samples than features the singular values are those of the `i j` product of the
    centred features themselves: exact, and much faster for the classes of intra-FID.

    Args:
        x: features of the one set, `i d`.
        y: features of the other, `j d`.

    Raises:
        ValueError: fewer than 2 samples, or different numbers of features.

    Source:
        As `frechet_distance`.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 4))
        >>> round(frechet_distance_of(x, x + 2), 6)  # 4 features, each 2^2
        16.0
    """
    if min(len(x), len(y)) < 2 or max(len(x), len(y)) >= x.shape[1] or x.shape[1] != y.shape[1]:
        return frechet_distance(_moments_of(x), _moments_of(y))
    (mean_x, rows_x), (mean_y, rows_y) = _centred(x), _centred(y)
    common = np.linalg.svd(rows_x @ rows_y.T, compute_uv=False).sum()
    spread = np.square(rows_x).sum() + np.square(rows_y).sum()
    return max(0.0, float(np.square(mean_x - mean_y).sum() + spread - 2 * common))


def _moments_of(x: Features) -> Gaussian:
    moments = Moments(x.shape[1])
    moments.update(x)
    return moments.gaussian()


def _centred(x: Features) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean = x.mean(0, dtype=np.float64)
    return mean, (x - mean) / np.sqrt(len(x) - 1)
