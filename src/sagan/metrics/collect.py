"""One side of a comparison: what is kept of a set of images as they stream past.

Dimensions: i images, d features, k classes.
"""

import copy
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sagan.metrics.features.extractors import Extracted, Extractor
from sagan.metrics.features.inception import LOGITS
from sagan.metrics.formulas.frechet import Gaussian, Moments
from sagan.metrics.formulas.inception_score import InceptionScore
from sagan.progress import Bar

MOST_KEPT = 10_000  # images whose features are kept for distances between all pairs
ALL = sys.maxsize


@dataclass(frozen=True)
class Needs:
    """What a metric needs to know of a side; `a | b` is enough for both."""

    moments: bool = False  # mean and covariance of all images, in constant memory
    keep: int = 0  # features of at most this many images
    logits: bool = False  # the Inception Score of all images, in constant memory

    def __or__(self, other: "Needs") -> "Needs":
        return Needs(
            self.moments or other.moments,
            max(self.keep, other.keep),
            self.logits or other.logits,
        )


class Side:
    """Moments and Inception Score of all n images, and the features of all or some of them."""

    def __init__(self, n: int, dim: int, needs: Needs, seed: int) -> None:
        self.n = n
        self.moments = Moments(dim) if needs.moments else None
        self.inception_score = InceptionScore(LOGITS) if needs.logits else None
        self._order = np.random.default_rng(seed).permutation(n)  # chooses which features are kept
        self._kept = np.zeros(n, bool)
        self._kept[self._order[: needs.keep]] = True
        self._seen = 0
        self._parts: list[NDArray[np.floating]] = []
        self._labels: list[NDArray[np.int64]] = []

    def update(self, extracted: Extracted, labels: NDArray[np.int64] | None) -> None:
        """Add a batch."""
        features, logits = extracted
        if self.moments is not None:
            self.moments.update(features)
        if self.inception_score is not None and logits is not None:
            self.inception_score.update(logits)
        kept = self._kept[self._seen : self._seen + len(features)]
        self._seen += len(features)
        self._parts.append(features[kept])
        if labels is not None:
            self._labels.append(labels[kept])

    @property
    def features(self) -> NDArray[np.floating]:
        """Kept features `i d`, in the order of the stream."""
        if len(self._parts) != 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0]

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Labels of the kept features."""
        return np.concatenate(self._labels) if self._labels else None

    def limited(self, most: int) -> "Side":
        """This side as if the features of at most so many images had been kept."""
        if most >= len(self.features):
            return self
        rows = np.searchsorted(np.flatnonzero(self._kept), np.sort(self._order[:most]))
        fewer = copy.copy(self)
        fewer._parts = [self.features[rows]]
        fewer._labels = [] if self.labels is None else [self.labels[rows]]
        return fewer

    def subset(self, size: int, seed: int) -> NDArray[np.floating]:
        """Features of `size` kept images chosen by the seed, in their order."""
        features = self.features
        if size >= len(features):
            return features
        chosen = np.random.default_rng(seed).permutation(len(features))[:size]
        return features[np.sort(chosen)]


@dataclass(frozen=True, kw_only=True)
class RealSide:
    """The real images, as one kind of features sees them."""

    sides: Mapping[str, Side]  # reference, train and test; empty without real images
    statistics: Gaussian | None  # saved ones, to use instead of the reference
    halves: Sequence[tuple[Side, Side]]  # disjoint, for comparing real with real
    repeats: int  # comparisons of real with real
    class_names: tuple[str, ...]
    seed: int

    def limited(self, most: int) -> "RealSide":
        """See `Side.limited`."""
        sides = {group: side.limited(most) for group, side in self.sides.items()}
        halves = [(a.limited(most), b.limited(most)) for a, b in self.halves]
        return replace(self, sides=sides, halves=halves)


Sides = dict[tuple[str, str], Side]  # by features and group


def collect(
    batches: Iterable[Tensor],
    labels: NDArray[np.int64] | None,
    groups: Mapping[str, NDArray[np.bool_]],
    extractors: Mapping[str, Extractor],
    needs: Mapping[str, Needs],
    *,
    seed: int,
    title: str,
    progress: bool,
) -> Sides:
    """Read a stream of uint8 batches once; collect each group's side for each feature."""
    # groups are masks `i` over the stream's images; extractors and needs are by feature name
    total = len(next(iter(groups.values())))
    sides = {
        (name, group): Side(int(mask.sum()), extractor.dim, needs[name], seed)
        for name, extractor in extractors.items()
        for group, mask in groups.items()
    }
    seen = 0
    with Bar(title, total, enabled=progress) as bar:
        for batch in batches:
            part = slice(seen, seen + len(batch))
            seen += len(batch)
            if seen > total:
                break
            for name, extractor in extractors.items():
                features, logits = extractor(batch)
                for group, mask in groups.items():
                    rows = mask[part]
                    chosen = Extracted(features[rows], None if logits is None else logits[rows])
                    sides[name, group].update(
                        chosen, None if labels is None else labels[part][rows]
                    )
            for _ in range(len(batch)):
                bar.advance()
    if seen != total:
        count = f"more than {total}" if seen > total else str(seen)
        raise ValueError(f"expected {total} images, got {count}")
    return sides
