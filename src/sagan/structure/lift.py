"""Structure lift: how much more often a rule holds than its parts would meet by chance.

Dimensions: i images, g groups of them, k parts of one, v numbers of a part, s ways to recombine.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sagan.structure.checker import Checker, Parts, abstained
from sagan.structure.checkers import checker_of, read_parts, refuse_unreadable

MOST_ABSTAINED = 0.2
_GROUP = 7  # images recombined with each other: a prime, so that steps of any size reach all
_LEAST_GROUPS = 10
_DRAWS = 4000  # of the bootstrap
_SURE = 0.95


class TooManyAbstained(ValueError):
    """A checker could not read enough of the images for a score to say anything."""

    def __init__(self, name: str, n: int, rate: float) -> None:
        super().__init__(
            f"refused: {rate:.1%} of {n} images cannot be read as {name}, more than "
            f"{MOST_ABSTAINED:.0%}; train longer, or look at the images"
        )
        self.rate = rate


@dataclasses.dataclass(frozen=True)
class StructureScore:
    """How often a set's rule holds in images, and how much of that is more than chance.

    Args:
        name: of the set.
        resolution: of the images, in pixels.
        n: images looked at.
        abstain_rate: share that the checker could not read; all other rates are of the rest.
        pass_rate: share in which the rule holds.
        recombined_rate: the same after each part was taken from another image.
        lift: pass rate minus recombined rate.
        lift_interval: its bootstrap interval at 95 %.
        rules: the numbers behind the rule, each as (in the images, after recombining).
        seed: of groups and bootstrap.

    Example:
        >>> from sagan.data.procedural import render
        >>> score = score_structure("barcode", render("barcode", range(350), resolution=32)[0])
        >>> score.abstain_rate, score.pass_rate, score.rules["bit_agreement"][0]
        (0.0, 1.0, 1.0)
        >>> score.lift_interval[0] < score.lift < score.lift_interval[1]
        True
    """

    name: str
    resolution: int
    n: int
    abstain_rate: float
    pass_rate: float
    recombined_rate: float
    lift: float
    lift_interval: tuple[float, float]
    rules: dict[str, tuple[float, float]]
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        rules = {
            name: {"value": value, "recombined": recombined}
            for name, (value, recombined) in self.rules.items()
        }
        interval = list(self.lift_interval)
        return {**dataclasses.asdict(self), "lift_interval": interval, "rules": rules}


def score_structure(
    name: str, images: NDArray[np.uint8] | Iterable[NDArray[np.uint8]], *, seed: int = 0
) -> StructureScore:
    """Score how well images keep the rule of a procedural set.

    Structure lift is the pass rate minus the pass rate after recombining: the checker's reading of
    one part is kept, and that of each other part is taken from another image. It is zero where
    parts are independent, and where all images are the same, since recombining changes nothing
    then. Real data reach 1 less the chance that parts meet: .99 for `twins`, .98 for `barcode`, and
    .74 for `quadrupeds`, whose parts are the legs left and right of the picture's middle. It is no
    published measure; docs/structure.md argues for it.

    Args:
        name: twins, quadrupeds or barcode.
        images: uint8 `i 3 h w` in [0, 255], an array or batches of it; 16 (not quadrupeds), 32 or
            64 px a side; 70 at least that can be read.
        seed: decides which images are recombined, and the bootstrap.

    Returns:
        Rates, lift with its 95 % interval, and the numbers behind the rule. The interval comes from
        drawing groups of seven images, within which parts are recombined, so that it covers chance
        in both rates.

    Raises:
        ValueError: there is no such set, images are of another kind, too few, or the checker
            abstains from more than 20 % of them: then what it can read says little of the rest.

    Example:
        >>> from sagan.data.procedural import render
        >>> score = score_structure("twins", render("twins", range(700), resolution=16)[0])
        >>> score.pass_rate, score.lift > 0.9
        (1.0, True)
    """
    checker = checker_of(name)
    batches = [_checked(name, batch) for batch in _as_batches(images)]
    sizes = {batch.shape[-1] for batch in batches}
    if len(sizes) > 1:
        raise ValueError(f"images differ in size: {', '.join(map(str, sorted(sizes)))} px")
    n = sum(map(len, batches))
    if not n:
        raise ValueError("there are no images to score")
    parts = read_parts(checker, batches)
    unread = abstained(parts)
    if unread.mean() > MOST_ABSTAINED:
        raise TooManyAbstained(name, n, float(unread.mean()))
    parts = parts[~unread]
    if len(parts) < _GROUP * _LEAST_GROUPS:
        raise ValueError(
            f"{len(parts)} images that can be read are too few: {_GROUP * _LEAST_GROUPS} at least"
        )
    rng = np.random.default_rng(seed)
    parts = parts[rng.permutation(len(parts))]
    recombined = recombine(parts)
    held, by_group = checker.passes(parts), _passes(checker, recombined)
    pass_rate, recombined_rate = float(held.mean()), float(by_group.mean())
    grouped = held[: len(by_group) * _GROUP].reshape(-1, _GROUP).mean(axis=1)
    whole, mixed = checker.rules(parts), checker.rules(recombined.reshape(-1, *parts.shape[1:]))
    return StructureScore(
        name=name,
        resolution=sizes.pop(),
        n=n,
        abstain_rate=float(unread.mean()),
        pass_rate=pass_rate,
        recombined_rate=recombined_rate,
        lift=pass_rate - recombined_rate,
        lift_interval=_interval(grouped - by_group, rng),
        rules={rule: (value, mixed[rule]) for rule, value in whole.items()},
        seed=seed,
    )


def _as_batches(
    images: NDArray[np.uint8] | Iterable[NDArray[np.uint8]],
) -> Iterable[NDArray[np.uint8]]:
    return [images] if isinstance(images, np.ndarray) else images


def _checked(name: str, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[2] != images.shape[3]:
        raise ValueError(
            f"images must be uint8 in [0, 255], n c h w and square; not {images.dtype} of shape "
            f"{images.shape}"
        )
    refuse_unreadable(name, images.shape[2], images.shape[1])
    return images


def recombine(parts: Parts) -> NDArray[np.float64]:
    """Put parts `i k v` (k at most 7) of different images together: `g 7*6 k v`."""
    # Images stand in groups of seven; those too few for another group are left out. In way s (1 to
    # 6) the image at place j keeps its first part, and its next ones come from the places j + s, j
    # + 2 s, ... of its group, going round.
    k = parts.shape[1]
    groups = len(parts) // _GROUP
    whole = parts[: groups * _GROUP].reshape(groups, _GROUP, *parts.shape[1:])
    place, step = np.divmod(np.arange(_GROUP * (_GROUP - 1)), _GROUP - 1)
    source = (place[:, None] + (step[:, None] + 1) * np.arange(k)) % _GROUP
    return whole[:, source, np.arange(k)]


def _passes(checker: Checker, recombined: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pass rate of each group, `g`."""
    flat = recombined.reshape(-1, *recombined.shape[2:])
    return checker.passes(flat).reshape(recombined.shape[:2]).mean(axis=1)


def _interval(lifts: NDArray[np.float64], rng: np.random.Generator) -> tuple[float, float]:
    """Bootstrap interval of the mean over groups, which are independent of each other."""
    count = len(lifts)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=_DRAWS)
    low, high = np.quantile(drawn @ lifts / count, [(1 - _SURE) / 2, (1 + _SURE) / 2])
    return float(low), float(high)
