"""Memorisation: are generated images nearer to training images than to held-out ones?

Dimensions: i train, j held out, g generated, d features.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sagan.metrics.formulas.neighbours import nearest_squared, tie_width


@dataclass(frozen=True)
class Memorisation:
    """How often training images are nearer, and how often they are copied."""

    # share nearer to the training images than to as many held-out ones: .5 without memorisation;
    # with training images enough for P parts, .5 + .5 / P if all are copies, as each is in one
    nearer_to_train: float
    copies: float  # share as near to a training image as 1 % of held-out ones are, or nearer


def memorisation(
    generated: NDArray[np.floating],
    train: NDArray[np.floating],
    held_out: NDArray[np.floating],
    *,
    seed: int = 0,
) -> Memorisation:
    """Compare distances to the nearest training and the nearest held-out image.

    A larger set has nearer neighbours, so the larger of the two is split into parts of the smaller
    one's size, and the share is the mean over the parts.

    Args:
        generated: `g d`.
        train: `i d`, what the generator was trained on.
        held_out: `j d`, from the same distribution and not trained on.
        seed: for the parts.

    Raises:
        ValueError: fewer than 2 images on a side.

    Source:
        After Meehan et al. 2020, with shares instead of a rank test.

    Example:
        >>> train, held_out, other = np.random.default_rng(0).normal(size=(3, 200, 2))
        >>> memorisation(train + 1e-9, train, held_out).nearer_to_train
        1.0
    """
    if min(len(generated), len(train), len(held_out)) < 2:
        raise ValueError("memorisation needs at least 2 generated, training and held-out images")
    size = min(len(train), len(held_out))
    tie = tie_width(train)
    train_parts = [nearest_squared(generated, part) for part in _deal(train, size, seed)]
    held_out_parts = [nearest_squared(generated, part) for part in _deal(held_out, size, seed)]
    shares = [
        float(np.where(np.abs(a - b) <= tie, 0.5, a < b).mean())
        for a in train_parts
        for b in held_out_parts
    ]
    usual = max(tie, float(np.quantile(nearest_squared(held_out, train), 0.01)))
    copies = float((nearest_squared(generated, train) <= usual).mean())
    return Memorisation(float(np.mean(shares)), copies)


def _deal(x: NDArray[np.floating], size: int, seed: int) -> list[NDArray[np.floating]]:
    order = np.random.default_rng(seed).permutation(len(x))
    return [x[order[i * size : (i + 1) * size]] for i in range(len(x) // size)]
