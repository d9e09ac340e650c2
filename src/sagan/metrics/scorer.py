"""Scoring images against real ones: the real side is prepared once, then scores any number of sets.

Dimensions: i images, c channels, h w the image's sides.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sagan.metrics import registry as measures
from sagan.metrics.caution import caution_of
from sagan.metrics.collect import Needs, Sides, collect
from sagan.metrics.features.classifier import train_own_features
from sagan.metrics.features.extractors import Extractor, PixelFeatures
from sagan.metrics.formulas.duplicates import near_duplicate_distance
from sagan.metrics.formulas.frechet import Gaussian
from sagan.metrics.real_images import RealImages
from sagan.metrics.registry import Measured, level_of, measure_pair
from sagan.metrics.score import Score
from sagan.metrics.spec import BETTER, Spec
from sagan.version import __version__

_BATCH = 256
_SPLITS = 4  # of real against real, where they are cheap
_CHEAP = 5000  # real images up to which they are,
_CHEAP_DIM = 1024  # and features


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
    """Look at the real images once, for scoring generated ones with some metrics.

    Args:
        real: images; None where saved statistics are all there is.
        specs: from `parse_metrics`.
        num: how many generated images will be scored each time.
        seed: of all choices: splits, subsets, the classifier for own features.
        inception: the extractor for Inception features, if any metric needs it.
        statistics: saved moments of Inception features, in place of the real images' for `fid`.
        device: of the classifier for own features.
        progress: show it on stderr.

    Raises:
        ValueError: too few images, or a metric needs labels or images that are not there.

    Example:
        >>> from sagan.metrics import parse_metrics, split_off_test
        >>> draw = np.random.default_rng(0)
        >>> images = draw.integers(0, 256, (60, 1, 8, 8), np.uint8)
        >>> real = split_off_test(images, None, (), seed=0)
        >>> reference = prepare(real, parse_metrics("fd:pixel"), num=20)
        >>> (score,) = reference.score([torch.tensor(images[:20])])
        >>> score.metric, score.n_generated, score.n_real
        ('fd:pixel', 20, 60)
    """
    if num < 2:
        raise ValueError(f"{num} generated images cannot be scored; at least 2")
    _check(real, specs)
    extractors = _extractors(real, specs, seed, inception, device)
    needs = {name: Needs.of([s for s in specs if s.features == name]) for name in extractors}
    reference = Reference(specs, num, seed, extractors, needs, real, statistics, progress)
    return reference


def _check(real: RealImages | None, specs: Sequence[Spec]) -> None:
    for spec in specs:
        if real is None:
            if spec.name not in ("fid", "is"):
                raise ValueError(
                    f"{spec.key()} needs real images; saved statistics do for fid and is only"
                )
        elif spec.labelled and (real.labels is None or len(real.class_names) < 2):
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
        needs: Mapping[str, Needs],
        real: RealImages | None,
        statistics: Gaussian | None,
        progress: bool,
    ) -> None:
        self.specs, self.num, self.seed = tuple(specs), num, seed
        self._extractors, self._needs = extractors, needs
        self._real, self._statistics, self._progress = real, statistics, progress
        self._sides: Sides = {}
        self._floors: dict[Spec, list[list[Measured]]] = {}
        self._splits, self._floor_n = 0, (0, 0)
        if real is not None:
            groups = self._real_groups(real)
            self._sides = collect(
                real.batches(_BATCH),
                real.labels,
                groups,
                extractors,
                needs,
                seed=seed,
                title="looking at real images",
                progress=progress,
            )

    def _real_groups(self, real: RealImages) -> dict[str, NDArray[np.bool_]]:
        """Reference, training and test images; and halves of all, to compare real with real."""
        total = len(real)
        a = min(self.num, total // 2)
        b = min(real.n_reference, total - a)
        self._floor_n = (a, b)
        self._splits = _SPLITS if total <= _CHEAP else 1
        groups = {
            "reference": real.reference,
            "train": ~real.held_out,
            "test": real.held_out,
        }
        rng = np.random.default_rng([self.seed, 1])
        for i in range(self._splits):
            rank = rng.permutation(total)
            groups[f"a{i}"], groups[f"b{i}"] = rank < a, (rank >= a) & (rank < a + b)
        return groups

    @property
    def statistics(self) -> Gaussian:
        """Mean and covariance of the real images' Inception features.

        Raises:
            ValueError: there is no `fid` among the metrics.
        """
        if self._statistics is not None:
            return self._statistics
        for spec in self.specs:
            if spec.name == "fid":
                moments = self._sides[spec.features, "reference"].moments
                assert moments is not None
                return moments.gaussian()
        raise ValueError("saving statistics needs fid among the metrics")

    def score(
        self, batches: Iterable[Tensor], labels: Tensor | NDArray[np.int64] | None = None
    ) -> list[Score]:
        """Score images.

        Args:
            batches: uint8 `b c h w` in any sizes, as many images as were announced to `prepare`.
            labels: int `i`, in the images' order; for metrics that need classes.

        Raises:
            ValueError: there are more or fewer images, or labels are missing.
        """
        labels = None if labels is None else np.asarray(labels, np.int64)
        for spec in self.specs:
            if spec.labelled and labels is None:
                raise ValueError(f"{spec.key()} needs the classes of the generated images")
        if labels is not None and len(labels) != self.num:
            raise ValueError(f"{len(labels)} labels for {self.num} images")
        began = time.monotonic()
        chosen = np.random.default_rng([self.seed, 2]).permutation(self.num) < self._floor_n[0]
        made = collect(
            batches,
            labels,
            {"all": np.ones(self.num, bool), "matched": chosen},
            self._extractors,
            self._needs,
            seed=self.seed,
            title="looking at generated images",
            progress=self._progress,
        )
        looking_sec = time.monotonic() - began
        scores = []
        for spec in self.specs:
            began = time.monotonic()
            found = self._score(spec, made)
            seconds = (time.monotonic() - began) / len(found)
            facts = {"seconds_looking": round(looking_sec, 3)}
            scores += [
                replace(s, seconds=round(seconds, 3), details={**s.details, **facts}) for s in found
            ]
        return scores

    def _score(self, spec: Spec, made: Sides) -> list[Score]:
        match spec.name:
            case "cas":
                return [self._cas(spec, made)]
            case "memorisation":
                return [self._memorisation(spec, made)]
            case "duplicates":
                return [self._duplicates(spec, made)]
        return self._pair(spec, made)

    def _pair(self, spec: Spec, made: Sides) -> list[Score]:
        generated = made[spec.features, "all"]
        real = self._sides.get((spec.features, "reference"))
        values = measure_pair(spec.name, generated, self._statistics or real, self.seed)
        halves = self._halves(spec.features)
        floors = self._floors.get(spec)
        if floors is None:
            floors = self._floors[spec] = [
                measure_pair(spec.name, a, b, self.seed, subsets=len(halves) == 1)
                for a, b in halves
            ]
        at_real_n: list[list[Measured]] = []
        if floors and [m.n for m in floors[0]] != [m.n for m in values]:
            at_real_n = [
                measure_pair(spec.name, made[spec.features, "matched"], b, self.seed, subsets=False)
                for _, b in halves
            ]
        return [
            self._record(spec, value, [f[i] for f in floors], [m[i] for m in at_real_n])
            for i, value in enumerate(values)
        ]

    def _halves(self, features: str) -> list[tuple[Any, Any]]:
        if self._real is None:
            return []
        splits = self._splits if self._extractors[features].dim <= _CHEAP_DIM else 1
        return [
            (self._sides[features, f"a{i}"], self._sides[features, f"b{i}"]) for i in range(splits)
        ]

    def _cas(self, spec: Spec, made: Sides) -> Score:
        train, test = self._sides["pixel", "train"], self._sides["pixel", "test"]
        generated = made["pixel", "all"]
        value = measures.measure_cas(generated, test)
        if spec not in self._floors:
            self._floors[spec] = [[measures.measure_cas(train, test)]]
        ceiling = self._floors[spec][0][0]
        agreement = measures.measure_cas(train, generated).value
        details = {
            "of_class_asked_for": agreement,
            "n_real_train": ceiling.n[0],
            "ceiling_per_class": self._named(ceiling.by_class),
        }
        return self._record(spec, replace(value, details=details), [ceiling], [])

    def _memorisation(self, spec: Spec, made: Sides) -> Score:
        train = self._sides[spec.features, "train"].features
        test = self._sides[spec.features, "test"].features
        generated = made[spec.features, "all"].features
        value = measures.measure_memorisation(generated, train, test, self.seed)
        if spec not in self._floors:
            rng = np.random.default_rng([self.seed, 3])
            floors = []
            for _ in range(_SPLITS if len(test) + len(train) <= _CHEAP else 1):
                order = rng.permutation(len(test))
                some, others = test[order[::2]], test[order[1::2]]
                floors.append(measures.measure_memorisation(some, train, others, self.seed))
            self._floors[spec] = [floors]
        return self._record(spec, value, self._floors[spec][0], [])

    def _duplicates(self, spec: Spec, made: Sides) -> Score:
        if spec not in self._floors:
            near = near_duplicate_distance(self._sides[spec.features, "reference"].features)
            halves = self._halves(spec.features)
            self._floors[spec] = [[measures.measure_duplicates(a, near)] for a, _ in halves]
        near = self._floors[spec][0][0].details["nearer_than"]
        value = measures.measure_duplicates(made[spec.features, "all"], near)
        floors = [floor[0] for floor in self._floors[spec]]
        at_real_n = []
        if floors[0].n != value.n:
            at_real_n = [measures.measure_duplicates(made[spec.features, "matched"], near)]
        return self._record(spec, value, floors, at_real_n)

    def _named(self, by_class: Mapping[int, float]) -> dict[str, float]:
        assert self._real is not None or not by_class
        return {self._real.class_names[k]: v for k, v in by_class.items()} if self._real else {}

    def _record(
        self,
        spec: Spec,
        value: Measured,
        floors: Sequence[Measured],
        at_real_n: Sequence[Measured],
    ) -> Score:
        extractor = self._extractors[spec.features]
        protocol = {
            "features": spec.features,
            "dimensions": extractor.dim,
            "resize": extractor.resize,
            "quantisation": "uint8",
            "weights_sha256": extractor.weights_sha256,
            "seed": self.seed,
            "version": __version__,
            **measures.PROTOCOLS.get(spec.name, {}),
        }
        if self._real is not None:
            own = self._real.split_by_seed is None
            protocol["test_split"] = "the data's own" if own else f"a fifth, by seed {self.seed}"
        score = Score(
            metric=spec.key(value.part),
            title=spec.title(value.part),
            value=value.value,
            spread=value.spread,
            better=BETTER[value.part or spec.name],
            n_generated=value.n[0],
            n_real=value.n[1],
            real_vs_real=level_of(floors),
            at_real_n=level_of(at_real_n),
            caution="",
            protocol=protocol,
            per_class=self._named(value.by_class),
            details=dict(value.details),
        )
        return replace(score, caution=caution_of(spec, score))
