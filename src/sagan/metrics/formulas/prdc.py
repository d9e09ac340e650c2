"""Precision and recall, density and coverage, from nearest-neighbour balls.

Dimensions: i real, j generated, d features.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sagan.metrics.formulas.neighbours import nearest_squared_within, squared_distances, tie_width

NEIGHBOURS = 5


@dataclass(frozen=True)
class PRDC:
    """Four shares; only density may exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: NDArray[np.floating], generated: NDArray[np.floating], k: int = NEIGHBOURS) -> PRDC:
    """Compare two sets of features by balls that reach from a sample to its k-th nearest other.

    Precision: generated samples inside any real ball. Recall: real samples inside any generated
    ball. Density: real balls that a generated sample is inside, over k. Coverage: real balls with a
    generated sample inside.

    Args:
        real: `i d`, more than k.
        generated: `j d`, more than k.
        k: neighbours: 5 as in Naeem et al.; Kynkäänniemi et al. use 3.

    Raises:
        ValueError: too few samples.

    Source:
        Kynkäänniemi et al. 2019; Naeem et al. 2020, equations 3 and 4 (strictly inside a ball, as
        their code).

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 2))
        >>> prdc(x, x + 100)
        PRDC(precision=0.0, recall=0.0, density=0.0, coverage=0.0)
    """
    tie = tie_width(real)  # a point on the sphere is not inside, whatever the rounding
    real_radii = nearest_squared_within(real, k) - tie
    generated_radii = nearest_squared_within(generated, k) - tie
    in_real_balls = np.zeros(len(generated), np.int64)
    in_generated_ball = np.zeros(len(real), bool)
    covered = np.zeros(len(real), bool)
    for part, squared in squared_distances(real, generated):
        inside = squared < real_radii[part, None]
        in_real_balls += inside.sum(0)
        covered[part] = inside.any(1)
        in_generated_ball[part] = (squared < generated_radii).any(1)
    return PRDC(
        precision=float((in_real_balls > 0).mean()),
        recall=float(in_generated_ball.mean()),
        density=float(in_real_balls.mean() / k),
        coverage=float(covered.mean()),
    )
