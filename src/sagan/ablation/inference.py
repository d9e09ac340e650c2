"""Tests of paired differences: exact sign flips, bootstrap, Holm, and what a test could find.

Dimensions: n pairs, s ways to give them signs, r repetitions.
"""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05
POWER = 0.8
MOST_EXACT = 16  # pairs; 65,536 ways to give them signs
_MOST_SIMULATED = 12
_DRAWS = 10_000  # of the bootstrap
_REPETITIONS = 2_000  # of an experiment, to see how often it finds something
_ROUNDING = 1e-9  # relative, by which equal sums may differ

Floats = NDArray[np.float64]


@cache
def _signs(n: int) -> Floats:
    """All ways to give n numbers signs, `s n`."""
    ways = np.arange(2**n)[:, None] >> np.arange(n) & 1
    return np.asarray(1.0 - 2.0 * ways, np.float64)


def sign_flip_p(differences: Sequence[float] | Floats) -> float:
    """Exact two-sided p that the differences are symmetric about 0.

    The share of all ways to give the differences signs whose mean is at least as far from 0. With n
    pairs it is at least 2 / 2^n. It asks for no distribution, only that without an effect either
    sign was as likely.

    Args:
        differences: of n pairs, 1 to 16.

    Raises:
        ValueError: there are none, or too many to try all ways.

    Source:
        Fisher 1935, "The Design of Experiments", section 21.

    Example:
        >>> sign_flip_p([0.3, 0.1, 0.2, 0.2, 0.4, 0.3])  # 2 / 2**6
        0.03125
    """
    values = np.asarray(differences, np.float64)
    if not 1 <= len(values) <= MOST_EXACT:
        raise ValueError(f"1 to {MOST_EXACT} pairs can be tested exactly, not {len(values)}")
    return float(_ps(values[None])[0])


def _ps(differences: Floats) -> Floats:
    """The same of each row of `r n`."""
    observed = np.abs(differences.sum(1))
    sums = np.abs(differences @ _signs(differences.shape[1]).T)  # r s
    least = observed * (1 - _ROUNDING) - np.abs(differences).sum(1) * _ROUNDING
    return np.asarray((sums >= least[:, None]).mean(1))


def sign_flip_interval(differences: Sequence[float]) -> tuple[float, float]:
    """The shifts that the exact test does not reject at .05: infinite if it can reject none.

    Example:
        >>> low, high = sign_flip_interval([0.3, 0.1, 0.2, 0.2, 0.4, 0.3])
        >>> 0 < low < 0.25 < high
        True
    """
    values = np.asarray(differences, np.float64)
    if 2 / 2 ** len(values) > LEVEL:
        return -math.inf, math.inf
    return _edge(values, float(values.min())), _edge(values, float(values.max()))


def _edge(values: Floats, outside: float) -> float:
    """Where the test begins to reject, between the mean and the outermost value."""
    inside = float(values.mean())
    for _ in range(50):
        middle = (inside + outside) / 2
        if _ps((values - middle)[None])[0] > LEVEL:
            inside = middle
        else:
            outside = middle
    return (inside + outside) / 2


def bootstrap_interval(differences: Sequence[float], *, seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile interval of the mean over pairs drawn again.

    Example:
        >>> low, high = bootstrap_interval([0.3, 0.1, 0.2, 0.2, 0.4, 0.3])
        >>> 0.1 < low < 0.25 < high < 0.4
        True
    """
    values = np.asarray(differences, np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(values), (_DRAWS, len(values)))
    low, high = np.quantile(values[drawn].mean(1), [LEVEL / 2, 1 - LEVEL / 2])
    return float(low), float(high)


def holm(ps: Sequence[float]) -> list[float]:
    """Adjust p values of several tests, so that any false finding has probability .05 at most.

    Source:
        Holm 1979, "A simple sequentially rejective multiple test procedure".

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[i]))
        adjusted[i] = largest
    return adjusted


def power(effect: float, n: int) -> float:
    """How often the test finds an effect, in standard deviations of a difference, with n pairs.

    Simulated with normal differences up to 12 pairs, else by the t test's approximation.

    Example:
        >>> power(0.0, 8) < 0.06, power(2.0, 8) > 0.95, power(9.0, 5)
        (True, True, 0.0)
    """
    if 2 / 2**n > LEVEL:
        return 0.0
    if n > _MOST_SIMULATED:
        from scipy.stats import nct, t  # type: ignore[import-untyped]

        critical = t.ppf(1 - LEVEL / 2, n - 1)
        return float(nct.sf(critical, n - 1, effect * math.sqrt(n)))
    draws = np.random.default_rng(0).standard_normal((_REPETITIONS, n))
    found = [_ps(part + effect) <= LEVEL for part in np.array_split(draws, 20)]
    return float(np.concatenate(found).mean())


@cache
def detectable(n: int) -> float:
    """The effect, in standard deviations of a difference, that n pairs find four times in five.

    Example:
        >>> detectable(5), 1.0 < detectable(8) < 1.4
        (inf, True)
    """
    if 2 / 2**n > LEVEL:
        return math.inf
    low, high = 0.0, 16.0
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, n) >= POWER else (middle, high)
    return high
