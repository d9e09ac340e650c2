"""Scoring images against real ones: the real side is prepared once, then scores any number of sets.

Dimensions: i images, c channels, h w image sides.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sagan.metrics.collect import RealSide, Side, Sides, collect
from sagan.metrics.features.classifier import train_own_features
from sagan.metrics.features.extractors import Extractor, PixelFeatures
from sagan.metrics.formulas.frechet import Gaussian
from sagan.metrics.real_images import RealImages
from sagan.metrics.registry import METRICS, Floors, Measured
from sagan.metrics.score import Level, Score
from sagan.metrics.spec import Spec
from sagan.version import __version__

_BATCH = 256
_SPLITS = 4  # comparisons of real with real, if they are cheap:
_CHEAP = 5000  # up to this many real images
_CHEAP_DIM = 1024  # of this many features


def prepare(
    real: RealImages | None,
    specs: Sequence[Spec],
    *,
    num: int,
    seed: int = 0,
    inception: Extractor | None = None,
    statistics: Gaussian | None = None,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> "Reference":
    """Look at the real images once, to score any number of sets of `num` generated images."""
    # The seed is for splits, subsets and the classifier of own features. Saved statistics of
    # Inception features stand in for the real images in `fid`.
    if num < 2:
        raise ValueError(f"at least 2 generated images are needed, not {num}")
    _check(real, specs, num)
    extractors = _extractors(real, specs, seed, inception, device)
    return Reference(specs, num, seed, extractors, real, statistics, progress)


def _check(real: RealImages | None, specs: Sequence[Spec], num: int) -> None:
    for spec in specs:
        if num < spec.metric.least:
            least = spec.metric.least
            raise ValueError(f"{spec.key()} needs at least {least} generated images, not {num}")
        if real is None:
            if spec.metric.needs_images:
                enough = " and ".join(m.name for m in METRICS.values() if not m.needs_images)
                raise ValueError(
                    f"{spec.key()} needs real images; saved statistics are enough for {enough} only"
                )
        elif spec.metric.labelled and (real.labels is None or len(real.class_names) < 2):
            raise ValueError(f"{spec.key()} needs real images of at least two classes")


def _extractors(
    real: RealImages | None,
    specs: Sequence[Spec],
    seed: int,
    inception: Extractor | None,
    device: str | torch.device,
) -> dict[str, Extractor]:
    found: dict[str, Extractor] = {}
    for name in dict.fromkeys(spec.features for spec in specs):
        if name.startswith("inception"):
            if inception is None or inception.name != name:
                raise ValueError(f"no extractor of {name} features was given")
            found[name] = inception
            continue
        assert real is not None
        if name == "pixel":
            found[name] = PixelFeatures(real.shape)
        else:
            found[name] = train_own_features(real, seed=seed, device=device)
    return found


class Reference:
    """The real side of some metrics. Made by `prepare`."""

    def __init__(
        self,
        specs: Sequence[Spec],
        num: int,
        seed: int,
        extractors: Mapping[str, Extractor],
        real: RealImages | None,
        statistics: Gaussian | None,
        progress: bool,
    ) -> None:
        self.specs, self.num, self.seed = tuple(specs), num, seed
        self._extractors, self._progress = extractors, progress
        self._needs = {
            name: reduce(or_, (spec.metric.needs for spec in specs if spec.features == name))
            for name in extractors
        }
        self._class_names = () if real is None else real.class_names
        self.class_counts = None if real is None else real.class_counts  # to generate as many of
        self._test_split: dict[str, Any] = {}
        if real is not None:
            own = real.split_by_seed is None
            self._test_split["test_split"] = "the data's own" if own else f"a fifth, by seed {seed}"
        self._floors: dict[Spec, Floors] = {}
        # halves of the real images: as many as will be scored, against as many as the reference has
        self._n_a = 0 if real is None else min(num, len(real) // 2)
        self._repeats = _SPLITS if real is not None and len(real) <= _CHEAP else 1
        sides = {} if real is None else self._look_at(real)
        self._real = {name: self._real_side(name, sides, statistics) for name in extractors}

    def _look_at(self, real: RealImages) -> Sides:
        total = len(real)
        n_b = min(real.n_reference, total - self._n_a)
        groups = {"reference": real.reference, "train": ~real.held_out, "test": real.held_out}
        rng = np.random.default_rng([self.seed, 1])
        for i in range(self._repeats):
            rank = rng.permutation(total)
            groups[f"a{i}"] = rank < self._n_a
            groups[f"b{i}"] = (rank >= self._n_a) & (rank < self._n_a + n_b)
        batches = real.batches(_BATCH)
        return self._collect(batches, real.labels, groups, title="looking at real images")

    def _real_side(self, features: str, sides: Sides, statistics: Gaussian | None) -> RealSide:
        mine = {group: side for (name, group), side in sides.items() if name == features}
        repeats = self._repeats if self._extractors[features].dim <= _CHEAP_DIM else 1
        return RealSide(
            sides=mine,
            statistics=statistics if features.startswith("inception") else None,
            halves=[(mine[f"a{i}"], mine[f"b{i}"]) for i in range(repeats) if mine],
            repeats=self._repeats,
            class_names=self._class_names,
            seed=self.seed,
        )

    def _collect(
        self,
        batches: Iterable[Tensor],
        labels: NDArray[np.int64] | None,
        groups: Mapping[str, NDArray[np.bool_]],
        *,
        title: str,
    ) -> Sides:
        return collect(
            batches,
            labels,
            groups,
            self._extractors,
            self._needs,
            seed=self.seed,
            title=title,
            progress=self._progress,
        )

    @property
    def statistics(self) -> Gaussian:
        """Mean and covariance of the real images' Inception features; ValueError without `fid`."""
        for spec in self.specs:
            if spec.name == "fid":
                real = self._real[spec.features]
                if real.statistics is not None:
                    return real.statistics
                moments = real.sides["reference"].moments
                assert moments is not None
                return moments.gaussian()
        raise ValueError("saving statistics needs fid among the metrics")

    def score(
        self, batches: Iterable[Tensor], labels: Tensor | NDArray[np.int64] | None = None
    ) -> list[Score]:
        """Score `num` images, uint8 batches `b c h w`, with labels `i` if metrics need classes."""
        labels = None if labels is None else np.asarray(labels, np.int64)
        for spec in self.specs:
            if spec.metric.labelled and labels is None:
                raise ValueError(f"{spec.key()} needs the classes of the generated images")
        if labels is not None and len(labels) != self.num:
            raise ValueError(f"{len(labels)} labels for {self.num} images")
        began = time.monotonic()
        matched = np.random.default_rng([self.seed, 2]).permutation(self.num) < self._n_a
        groups = {"all": np.ones(self.num, bool), "matched": matched}
        made = self._collect(batches, labels, groups, title="looking at generated images")
        looking_sec = {"seconds_looking": round(time.monotonic() - began, 3)}
        scores = []
        for spec in self.specs:
            began = time.monotonic()
            found = self._score(spec, made[spec.features, "all"], made[spec.features, "matched"])
            seconds = round((time.monotonic() - began) / len(found), 3)
            scores += [
                replace(s, seconds=seconds, details={**s.details, **looking_sec}) for s in found
            ]
        return scores

    def _score(self, spec: Spec, generated: Side, matched: Side) -> list[Score]:
        measure, real = spec.metric.measure, self._real[spec.features]
        if keep := spec.metric.needs.keep:  # another metric may have asked for more
            real, generated = real.limited(keep), generated.limited(keep)
            matched = matched.limited(keep)
        if spec not in self._floors:
            self._floors[spec] = measure.floors(real)
        floors = self._floors[spec]
        values = measure.values(generated, real, floors)
        at_floor_n: Floors = []
        if floors and [m.n for m in floors[0]] != [m.n for m in values]:
            at_floor_n = measure.at_floor_n(matched, real, floors)
        return [
            self._record(spec, value, [f[i] for f in floors], [m[i] for m in at_floor_n])
            for i, value in enumerate(values)
        ]

    def _record(
        self,
        spec: Spec,
        value: Measured,
        floors: Sequence[Measured],
        at_floor_n: Sequence[Measured],
    ) -> Score:
        extractor = self._extractors[spec.features]
        score = Score(
            metric=spec.key(value.part),
            title=spec.title(value.part),
            value=value.value,
            spread=value.spread,
            better=spec.metric.better,
            n_generated=value.n[0],
            n_real=value.n[1],
            real_vs_real=_level_of(floors),
            at_real_n=_level_of(at_floor_n),
            caution="",
            protocol={
                "features": spec.features,
                "dimensions": extractor.dim,
                "resize": extractor.resize,
                "quantisation": "uint8",
                "weights_sha256": extractor.weights_sha256,
                "seed": self.seed,
                "version": __version__,
                **spec.metric.protocol,
                **self._test_split,
            },
            per_class={self._class_names[k]: v for k, v in value.by_class.items()},
            details=dict(value.details),
        )
        cautions = (caution(score) for caution in spec.metric.cautions)
        return replace(score, caution="; ".join(filter(None, cautions)))


def _level_of(measured: Sequence[Measured]) -> Level | None:
    """Mean and standard deviation over repetitions, or the spread of the only one."""
    if not measured:
        return None
    values = [m.value for m in measured]
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else measured[0].spread
    return Level(float(np.mean(values)), spread, measured[0].n, len(values))
