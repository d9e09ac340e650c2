"""Each metric's arithmetic on two sides."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sagan.metrics.collect import Side
from sagan.metrics.formulas.cas import classification_accuracy
from sagan.metrics.formulas.duplicates import near_duplicate_rate
from sagan.metrics.formulas.frechet import Gaussian, frechet_distance, frechet_distance_of
from sagan.metrics.formulas.kernel import SUBSETS, kernel_distance
from sagan.metrics.formulas.memorisation import memorisation
from sagan.metrics.formulas.nn1 import nn1
from sagan.metrics.formulas.prdc import NEIGHBOURS, prdc
from sagan.metrics.score import Level


@dataclass(frozen=True)
class Measured:
    """A value, and where there are any its spread, its values by class number, further numbers."""

    part: str
    value: float
    spread: float | None
    n: tuple[int, int]
    by_class: dict[int, float] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)


def _fd(generated: Side, real: Side | Gaussian) -> list[Measured]:
    """Fréchet distance; the real side may be saved statistics."""
    assert generated.moments is not None
    if isinstance(real, Side):
        assert real.moments is not None
        real = real.moments.gaussian()
    value = frechet_distance(generated.moments.gaussian(), real)
    return [Measured("", value, None, (generated.n, real.n))]


def _intra_fd(generated: Side, real: Side) -> list[Measured]:
    """Fréchet distance within each class, and the mean over classes."""
    x, y = _by_class(generated), _by_class(real)
    by_class = {
        k: frechet_distance_of(x[k], y[k])
        for k in sorted(y)
        if k in x and min(len(x[k]), len(y[k])) > 1
    }
    if not by_class:
        raise ValueError("no class has 2 images on both sides")
    missing = sorted(set(y) - set(by_class))
    smallest = min(min(len(x[k]), len(y[k])) for k in by_class)
    details = {"smallest_class": smallest, "classes_left_out": missing}
    value = float(np.mean(list(by_class.values())))
    return [Measured("", value, None, (generated.n, real.n), by_class, details)]


def _by_class(side: Side) -> dict[int, NDArray[np.floating]]:
    labels = side.labels
    assert labels is not None
    return {int(k): side.features[labels == k] for k in np.unique(labels)}


def _kid(generated: Side, real: Side, seed: int, subsets: bool) -> list[Measured]:
    """Kernel distance, its spread over subsets."""
    count = SUBSETS if subsets else 0
    result = kernel_distance(generated.features, real.features, subsets=count, seed=seed)
    n = (len(generated.features), len(real.features))
    return [Measured("", result.value, result.spread, n)]


def _prdc(generated: Side, real: Side) -> list[Measured]:
    """Four values."""
    result = prdc(real.features, generated.features)
    n = (len(generated.features), len(real.features))
    return [
        Measured("precision", result.precision, None, n),
        Measured("recall", result.recall, None, n),
        Measured("density", result.density, None, n),
        Measured("coverage", result.coverage, None, n),
    ]


def _nn1(generated: Side, real: Side, seed: int) -> list[Measured]:
    """Accuracy at as many of both sides as the smaller has."""
    n = min(len(generated.features), len(real.features))
    result = nn1(real.subset(n, seed), generated.subset(n, seed))
    details = {"of_real": result.of_real, "of_generated": result.of_generated}
    error = _standard_error(result.accuracy, 2 * n)
    return [Measured("", result.accuracy, error, (n, n), details=details)]


def _is(generated: Side) -> list[Measured]:
    """Inception Score."""
    assert generated.inception_score is not None
    value, spread = generated.inception_score.compute()
    return [Measured("", value, spread, (generated.n, 0))]


def measure_pair(
    name: str, generated: Side, real: Side | Gaussian | None, seed: int, *, subsets: bool = True
) -> list[Measured]:
    """Compute a metric of two sides.

    Args:
        name: fid, fd, intra-fid, intra-fd, kid, prdc, nn1 or is.
        generated: the one side.
        real: the other; saved statistics do for fid, none for is.
        seed: of subsets.
        subsets: take the spread over subsets, where a metric has that.
    """
    if name == "is":
        return _is(generated)
    if name in ("fid", "fd"):
        assert real is not None
        return _fd(generated, real)
    assert isinstance(real, Side)
    match name:
        case "intra-fid" | "intra-fd":
            return _intra_fd(generated, real)
        case "kid":
            return _kid(generated, real, seed, subsets)
        case "prdc":
            return _prdc(generated, real)
    assert name == "nn1"
    return _nn1(generated, real, seed)


def measure_duplicates(generated: Side, near: float) -> Measured:
    """Near-duplicate rate, overall and within each class."""
    features, labels = generated.features, generated.labels
    by_class = {}
    if labels is not None:
        for k in np.unique(labels):
            if (labels == k).sum() > 1:
                by_class[int(k)] = near_duplicate_rate(features[labels == k], near)
    value = near_duplicate_rate(features, near)
    return Measured("", value, None, (len(features), 0), by_class, {"nearer_than": near})


def measure_memorisation(
    generated: NDArray[np.floating],
    train: NDArray[np.floating],
    held_out: NDArray[np.floating],
    seed: int,
) -> Measured:
    """Share of images nearer to training than to held-out ones."""
    result = memorisation(generated, train, held_out, seed=seed)
    n = (len(generated), len(train))
    details = {"copies": result.copies, "n_held_out": len(held_out)}
    error = _standard_error(result.nearer_to_train, min(len(generated), len(held_out)))
    return Measured("", result.nearer_to_train, error, n, details=details)


def measure_cas(train: Side, test: Side) -> Measured:
    """Accuracy on held-out real images after training on the first side."""
    assert train.labels is not None
    assert test.labels is not None
    score = classification_accuracy(train.features, train.labels, test.features, test.labels)
    present = np.unique(test.labels)
    by_class = {int(k): value for k, value in zip(present, score.per_class, strict=True)}
    n = (len(train.features), len(test.features))
    return Measured("", score.accuracy, _standard_error(score.accuracy, n[1]), n, by_class)


def _standard_error(share: float, n: int) -> float:
    return math.sqrt(max(share * (1 - share), 0.25 / n) / n)


def level_of(measured: Sequence[Measured]) -> Level | None:
    """Mean over repetitions and standard deviation, or one's own spread; None without any."""
    if not measured:
        return None
    values = [m.value for m in measured]
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else measured[0].spread
    return Level(float(np.mean(values)), spread, measured[0].n)


PROTOCOLS: dict[str, dict[str, Any]] = {
    "kid": {"kernel": "(x.y / d + 1)^3", "estimator": "unbiased, all pairs; spread over subsets"},
    "prdc": {"neighbours": NEIGHBOURS},
    "cas": {"classifier": "SVC, RBF kernel, C = 10, gamma = scale"},
    "is": {"splits": 10, "logits": "1008 without bias"},
    "nn1": {"ties": "half"},
}
