"""All metrics, one record each: every other file reads names, defaults and the rest from here."""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sagan.metrics import caution
from sagan.metrics.caution import Caution
from sagan.metrics.collect import ALL, MOST_KEPT, Needs, RealSide, Side
from sagan.metrics.formulas.cas import classification_accuracy
from sagan.metrics.formulas.duplicates import near_duplicate_distance, near_duplicate_rate
from sagan.metrics.formulas.frechet import Gaussian, frechet_distance, frechet_distance_of
from sagan.metrics.formulas.kernel import SUBSETS, kernel_distance
from sagan.metrics.formulas.memorisation import memorisation
from sagan.metrics.formulas.nn1 import nn1
from sagan.metrics.formulas.prdc import NEIGHBOURS, prdc
from sagan.metrics.score import Better


@dataclass(frozen=True)
class Measured:
    """A metric's value for two sides, or one part of it (`recall` of `prdc`)."""

    value: float
    n: tuple[int, int]
    spread: float | None = None
    part: str = ""
    by_class: dict[int, float] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)


Floors = list[list[Measured]]  # a list of values for each repetition of real against real


class Measure(Protocol):
    """How a metric is computed: for generated images, and for real ones in their place."""

    def floors(self, real: RealSide) -> Floors:
        """Score real images against other real ones."""

    def values(self, generated: Side, real: RealSide, floors: Floors) -> list[Measured]:
        """Score generated images."""

    def at_floor_n(self, generated: Side, real: RealSide, floors: Floors) -> Floors:
        """Score as many generated images as the floors have; empty if it cannot be compared."""


@dataclass(frozen=True)
class Pairwise:
    """Compare two sides; for the floor, one half of the real images with the other."""

    compare: Callable[[Side, Any, int, bool], list[Measured]]  # the bool: whether to add a spread

    def floors(self, real: RealSide) -> Floors:
        alone = len(real.halves) == 1  # otherwise the spread is over the halves
        with suppress(ValueError):  # too few images in a half
            return [self.compare(a, b, real.seed, alone) for a, b in real.halves]
        return []

    def values(self, generated: Side, real: RealSide, floors: Floors) -> list[Measured]:
        reference = real.statistics or real.sides.get("reference")
        return self.compare(generated, reference, real.seed, True)

    def at_floor_n(self, generated: Side, real: RealSide, floors: Floors) -> Floors:
        return [self.compare(generated, b, real.seed, False) for _, b in real.halves]


def _fd(generated: Side, real: Side | Gaussian, seed: int, spread: bool) -> list[Measured]:
    assert generated.moments is not None
    if isinstance(real, Side):
        assert real.moments is not None
        real = real.moments.gaussian()
    value = frechet_distance(generated.moments.gaussian(), real)
    return [Measured(value, (generated.n, real.n))]


def _intra_fd(generated: Side, real: Side, seed: int, spread: bool) -> list[Measured]:
    """Fréchet distance within each class, and the mean over classes."""
    x, y = _by_class(generated), _by_class(real)
    by_class = {
        k: frechet_distance_of(x[k], y[k])
        for k in sorted(y)
        if k in x and min(len(x[k]), len(y[k])) > 1
    }
    if not by_class:
        raise ValueError("no class has 2 images on both sides")
    details = {
        "smallest_class": min(min(len(x[k]), len(y[k])) for k in by_class),
        "classes_left_out": sorted(set(y) - set(by_class)),
    }
    mean = float(np.mean(list(by_class.values())))
    return [Measured(mean, (generated.n, real.n), by_class=by_class, details=details)]


def _by_class(side: Side) -> dict[int, NDArray[np.floating]]:
    labels = side.labels
    assert labels is not None
    return {int(k): side.features[labels == k] for k in np.unique(labels)}


def _kid(generated: Side, real: Side, seed: int, spread: bool) -> list[Measured]:
    x, y = generated.features, real.features
    result = kernel_distance(x, y, subsets=SUBSETS if spread else 0, seed=seed)
    return [Measured(result.value, (len(x), len(y)), result.spread)]


_PRDC_PARTS = ("precision", "recall", "density", "coverage")


def _prdc(generated: Side, real: Side, seed: int, spread: bool) -> list[Measured]:
    n = (len(generated.features), len(real.features))
    result = prdc(real.features, generated.features)
    return [Measured(getattr(result, part), n, part=part) for part in _PRDC_PARTS]


def _nn1(generated: Side, real: Side, seed: int, spread: bool) -> list[Measured]:
    n = min(len(generated.features), len(real.features))
    result = nn1(real.subset(n, seed), generated.subset(n, seed))
    details = {"of_real": result.of_real, "of_generated": result.of_generated}
    error = _standard_error(result.accuracy, 2 * n)
    return [Measured(result.accuracy, (n, n), error, details=details)]


def _is(generated: Side, real: Any, seed: int, spread: bool) -> list[Measured]:
    assert generated.inception_score is not None
    value, deviation = generated.inception_score.compute()
    return [Measured(value, (generated.n, 0), deviation)]


class _CAS:
    """Train on one side, test on held-out real images; the real score is a ceiling."""

    def floors(self, real: RealSide) -> Floors:
        return [[self._accuracy(real.sides["train"], real.sides["test"])]]

    def values(self, generated: Side, real: RealSide, floors: Floors) -> list[Measured]:
        measured = self._accuracy(generated, real.sides["test"])
        ((ceiling,),) = floors
        measured.details.update(
            of_class_asked_for=self._accuracy(real.sides["train"], generated).value,
            n_real_train=ceiling.n[0],
            ceiling_per_class={real.class_names[k]: v for k, v in ceiling.by_class.items()},
        )
        return [measured]

    def at_floor_n(self, *_: Any) -> Floors:
        return []

    def _accuracy(self, train: Side, test: Side) -> Measured:
        assert train.labels is not None
        assert test.labels is not None
        score = classification_accuracy(train.features, train.labels, test.features, test.labels)
        present = np.unique(test.labels)
        by_class = {int(k): value for k, value in zip(present, score.per_class, strict=True)}
        n = (len(train.features), len(test.features))
        return Measured(score.accuracy, n, _standard_error(score.accuracy, n[1]), "", by_class)


class _Memorisation:
    """Share nearer to training images; for the floor, half of the held-out ones are scored."""

    def floors(self, real: RealSide) -> Floors:
        train, test = real.sides["train"].features, real.sides["test"].features
        rng = np.random.default_rng([real.seed, 3])
        repeats = real.repeats if len(test) >= 4 else 0  # two in each half
        orders = [rng.permutation(len(test)) for _ in range(repeats)]
        return [[self._share(test[o[::2]], train, test[o[1::2]], real.seed)] for o in orders]

    def values(self, generated: Side, real: RealSide, floors: Floors) -> list[Measured]:
        train, test = real.sides["train"].features, real.sides["test"].features
        return [self._share(generated.features, train, test, real.seed)]

    def at_floor_n(self, *_: Any) -> Floors:
        return []

    def _share(
        self,
        generated: NDArray[np.floating],
        train: NDArray[np.floating],
        held_out: NDArray[np.floating],
        seed: int,
    ) -> Measured:
        result = memorisation(generated, train, held_out, seed=seed)
        error = _standard_error(result.nearer_to_train, min(len(generated), len(held_out)))
        details = {"copies": result.copies, "n_held_out": len(held_out)}
        n = (len(generated), len(train))
        return Measured(result.nearer_to_train, n, error, details=details)


class _Duplicates:
    """Near-duplicates within one side; the real images set the distance."""

    def floors(self, real: RealSide) -> Floors:
        near = near_duplicate_distance(real.sides["reference"].features)
        return [[self._rate(a, near)] for a, _ in real.halves]

    def values(self, generated: Side, real: RealSide, floors: Floors) -> list[Measured]:
        return [self._rate(generated, floors[0][0].details["nearer_than"])]

    def at_floor_n(self, generated: Side, real: RealSide, floors: Floors) -> Floors:
        return [self.values(generated, real, floors)]

    def _rate(self, side: Side, near: float) -> Measured:
        classes = {} if side.labels is None else _by_class(side)
        return Measured(
            near_duplicate_rate(side.features, near),
            (len(side.features), 0),
            by_class={k: near_duplicate_rate(x, near) for k, x in classes.items() if len(x) > 1},
            details={"nearer_than": near},
        )


def _standard_error(share: float, n: int) -> float:
    return math.sqrt(max(share * (1 - share), 0.25 / n) / n)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Everything about a metric. To add one, write its formula and a record in the table below."""

    name: str
    better: Better
    measure: Measure
    needs: Needs
    features: Literal["any", "inception", "pixel"] = "any"  # it is defined for
    by_default: tuple[str, ...] = ()  # features it is computed on unless metrics are named
    parts: tuple[str, ...] = ()  # names of its values, if there are several
    labelled: bool = False  # needs classes on both sides
    needs_images: bool = True  # real ones; False if saved statistics, or nothing, will do
    least: int = 2  # generated images
    wants_test_split: bool = False  # by default only if the data have their own
    protocol: Mapping[str, Any] = field(default_factory=dict)  # added to each score's protocol
    cautions: tuple[Caution, ...] = (caution.few_images, caution.like_real)


_SOME = Needs(keep=MOST_KEPT)
_TABLE = (
    Metric(
        name="fid",
        better="lower",
        measure=Pairwise(_fd),
        needs=Needs(moments=True),
        features="inception",
        by_default=("inception",),
        needs_images=False,
        cautions=(caution.singular_covariance, caution.fewer_than_papers_fid, caution.like_real),
    ),
    Metric(
        name="intra-fid",
        better="lower",
        measure=Pairwise(_intra_fd),
        needs=Needs(keep=ALL),
        features="inception",
        by_default=("inception",),
        labelled=True,
        cautions=(caution.small_classes, caution.skipped_classes, caution.like_real),
    ),
    Metric(
        name="is",
        better="higher",
        measure=Pairwise(_is),
        needs=Needs(logits=True),
        least=10,
        features="inception",
        by_default=("inception",),
        needs_images=False,
        protocol={"splits": 10, "logits": "1008 without bias"},
        cautions=(caution.fewer_than_papers_is, caution.like_real_repeatedly),
    ),
    Metric(
        name="cas",
        better="higher",
        measure=_CAS(),
        needs=_SOME,
        features="pixel",
        by_default=("pixel",),
        labelled=True,
        protocol={"classifier": "SVC, RBF kernel, C = 10, gamma = scale"},
    ),
    Metric(
        name="fd",
        better="lower",
        measure=Pairwise(_fd),
        needs=Needs(moments=True),
        by_default=("own", "pixel"),
        cautions=(caution.singular_covariance, caution.like_real),
    ),
    Metric(
        name="intra-fd",
        better="lower",
        measure=Pairwise(_intra_fd),
        needs=Needs(keep=ALL),
        labelled=True,
        cautions=(caution.small_classes, caution.skipped_classes, caution.like_real),
    ),
    Metric(
        name="kid",
        better="lower",
        measure=Pairwise(_kid),
        needs=_SOME,
        least=4,
        by_default=("inception", "pixel"),
        protocol={
            "kernel": "(x.y / d + 1)^3",
            "estimator": "unbiased, all pairs; spread over subsets",
        },
        cautions=(caution.few_images, caution.like_real_repeatedly),
    ),
    Metric(
        name="prdc",
        better="higher",
        measure=Pairwise(_prdc),
        needs=_SOME,
        by_default=("inception", "pixel"),
        parts=_PRDC_PARTS,
        least=NEIGHBOURS + 1,
        protocol={"neighbours": NEIGHBOURS},
    ),
    Metric(
        name="nn1",
        better="lower",
        measure=Pairwise(_nn1),
        needs=_SOME,
        by_default=("pixel",),
        protocol={"ties": "half"},
    ),
    Metric(
        name="memorisation",
        better="lower",
        measure=_Memorisation(),
        needs=_SOME,
        by_default=("pixel",),
        wants_test_split=True,
        cautions=(caution.few_images, caution.like_real, caution.no_test_split),
    ),
    Metric(
        name="duplicates",
        better="lower",
        measure=_Duplicates(),
        needs=_SOME,
        by_default=("pixel",),
    ),
)
METRICS = {metric.name: metric for metric in _TABLE}
