"""One side of a comparison: what is kept of a set of images as they stream by.

Dimensions: i images, d features, k classes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sagan.metrics.features.extractors import Extracted, Extractor
from sagan.metrics.features.inception import LOGITS
from sagan.metrics.formulas.frechet import Moments
from sagan.metrics.formulas.inception_score import InceptionScore
from sagan.metrics.spec import Spec
from sagan.progress import Bar

MOST_KEPT = 10_000  # images whose features are kept, where distances between all pairs are taken


@dataclass(frozen=True)
class Needs:
    """What metrics need of a side.

    Args:
        moments: mean and covariance, of all images in memory independent of their number.
        keep: features of at most so many images; None keeps all.
        logits: the Inception Score, of all images likewise.
    """

    moments: bool
    keep: int | None
    logits: bool

    @classmethod
    def of(cls, specs: Sequence[Spec]) -> "Needs":
        """Join the needs of metrics with the same features."""
        names = {spec.name for spec in specs}
        intra = bool(names & {"intra-fd", "intra-fid"})
        pairs = bool(names - {"fd", "fid", "is"})
        return cls(bool(names & {"fd", "fid"}), None if intra else MOST_KEPT * pairs, "is" in names)


class Side:
    """Moments and Inception Score of all images, and the features of all or some of them.

    Args:
        n: how many images will come.
        dim: features of an image.
        needs: what is kept.
        seed: of the choice of images whose features are kept.
    """

    def __init__(self, n: int, dim: int, needs: Needs, seed: int) -> None:
        self.n = n
        self.moments = Moments(dim) if needs.moments else None
        self.inception_score = InceptionScore(LOGITS) if needs.logits else None
        self._kept = np.ones(n, bool)
        if needs.keep is not None and needs.keep < n:
            self._kept[np.random.default_rng(seed).permutation(n)[needs.keep :]] = False
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
        """Kept features, in the order in which they came."""
        if len(self._parts) != 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0]

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Labels of the kept features."""
        return np.concatenate(self._labels) if self._labels else None

    def subset(self, size: int, seed: int) -> NDArray[np.floating]:
        """Features of so many of the kept images, chosen by the seed, in their order."""
        features = self.features
        if size >= len(features):
            return features
        chosen = np.random.default_rng(seed).permutation(len(features))[:size]
        return features[np.sort(chosen)]


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
    """Look once at a stream of images, and collect each group's side for each extractor.

    Args:
        batches: uint8 `b c h w`.
        labels: `i`, or None.
        groups: by name, which images of the stream are in the group: `i`.
        extractors, needs: by the features' name.
        seed: of the choice of images whose features are kept.
        title, progress: of the bar on stderr.

    Raises:
        ValueError: the stream is longer or shorter than the groups say.
    """
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
        raise ValueError(f"{count} images came where {total} were announced")
    return sides
