"""A metric's result, with everything that determines it."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Level:
    """A metric's value for some images against others, the mean if it was repeated."""

    value: float
    spread: float | None  # standard deviation over repetitions
    n: tuple[int, int]  # images of both sides
    repeats: int = 1


@dataclass(frozen=True, kw_only=True)
class Score:
    """One metric's record.

    Args:
        metric: name with features, as `fd:pixel`.
        title: the same in words.
        value: the score.
        spread: over subsets (KID) or splits (IS), or the standard error (CAS, 1-NN, memorisation);
            None for other metrics.
        better: lower or higher; for 1-NN and memorisation .5 is best.
        n_generated, n_real: images that the value was computed from.
        real_vs_real: score of real images against other real ones: the floor (for CAS the
            ceiling). None if there are too few.
        at_real_n: the value at the sizes of `real_vs_real`, if those are smaller: compare this one
            with it.
        caution: what makes the number mean less than it seems, in words; often empty.
        protocol: features, their number, resize and range, quantisation, SHA-256 of the weights,
            seed, version, and whatever else determines the value.
        per_class: by class name, for metrics that have it.
        details: further numbers.
        seconds: spent on this metric, including the floor but not the features.

    Example:
        >>> import numpy as np
        >>> from sagan.metrics import evaluate
        >>> images = np.random.default_rng(0).integers(0, 256, (100, 1, 8, 8), np.uint8)
        >>> score = evaluate(images, images, metrics="fd:pixel")["fd:pixel"]
        >>> score.value, score.better, score.n_generated, score.n_real
        (0.0, 'lower', 100, 100)
    """

    metric: str
    title: str
    value: float
    spread: float | None
    better: Better
    n_generated: int
    n_real: int
    real_vs_real: Level | None
    at_real_n: Level | None
    caution: str
    protocol: dict[str, Any]
    per_class: dict[str, float] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON values; non-finite numbers become None."""
        return {key: _plain(value) for key, value in dataclasses.asdict(self).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value
