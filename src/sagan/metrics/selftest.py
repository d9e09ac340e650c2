"""Which metric sees which fault: faults put into half of a real set, scored against the other half.

Dimensions: i images, c channels, h w image sides.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from sagan.metrics.real_images import with_test_split
from sagan.metrics.scorer import Reference, prepare
from sagan.metrics.spec import parse_metrics
from sagan.progress import Bar

SPLITS = 10
_REPEATED = 100
_WRONG_SHARE = 0.1
_BLUR_PX = 0.5
_METRICS = "fd:pixel,fd:own,kid:pixel,kid:own,nn1:pixel,prdc:pixel,duplicates:pixel,cas"

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Fault = Callable[[Images, Labels, np.random.Generator], tuple[Images, Labels]]


@dataclass(frozen=True)
class SelfTest:
    """How far each fault moved each metric."""

    real_vs_real: dict[str, tuple[float, float]]  # by metric: mean and sd over splits, no fault
    z: dict[str, dict[str, float]]  # by fault and metric: the mean change over that sd
    splits: int  # random halvings
    n: int  # images in a half


def selftest(
    images: Images,
    labels: Labels,
    class_names: tuple[str, ...],
    *,
    splits: int | None = None,
    seed: int = 0,
    progress: bool = False,
) -> SelfTest:
    """Halve a labelled set at random, 10 times by default; score one half, sound and faulty."""
    splits = SPLITS if splits is None else splits
    if splits < 2:
        raise ValueError(f"a self-test needs at least 2 splits, not {splits}")
    half = len(images) // 2
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ("none", *FAULTS)}
    with Bar("self-test", splits * len(found), enabled=progress) as bar:
        for split in range(splits):
            rng = np.random.default_rng([seed, split])
            order = rng.permutation(len(images))
            some, others = order[:half], order[half : 2 * half]
            score = _scorer(images[others], labels[others], class_names, seed + split)
            for name, scores in found.items():
                faulty = (images[some], labels[some])
                if name != "none":
                    faulty = FAULTS[name](*faulty, rng)
                scores.append(score(*faulty))
                bar.advance()
    base = {m: np.array([scores[m] for scores in found["none"]]) for m in found["none"][0]}
    level = {m: (float(values.mean()), float(values.std(ddof=1))) for m, values in base.items()}
    z = {
        name: {
            # a share that never varies is taken to vary by one image
            m: (float(np.mean([s[m] for s in scores])) - mean) / (sd or 1 / half)
            for m, (mean, sd) in level.items()
        }
        for name, scores in found.items()
        if name != "none"
    }
    return SelfTest(level, z, splits, half)


def _scorer(
    images: Images, labels: Labels, class_names: tuple[str, ...], seed: int
) -> Callable[[Images, Labels], dict[str, float]]:
    """Score as `sagan evaluate` does, against these images, for comparing and for testing CAS."""
    real = with_test_split(images, labels, images, labels, class_names)
    specs = parse_metrics(_METRICS)

    @cache  # a fault may change the number of images, which `prepare` has to know
    def reference(num: int) -> Reference:
        return prepare(real, specs, num=num, seed=seed)

    def score(images: Images, labels: Labels) -> dict[str, float]:
        scores = reference(len(images)).score([torch.tensor(images)], labels)
        names = [score.metric.partition(":")[0] for score in scores]
        return {
            name if names.count(name) == 1 else score.metric: score.value
            for name, score in zip(names, scores, strict=True)
        }

    return score


def _drop_a_class(
    images: Images, labels: Labels, rng: np.random.Generator
) -> tuple[Images, Labels]:
    kept = labels != rng.choice(np.unique(labels))
    return images[kept], labels[kept]


def _repeat(images: Images, labels: Labels, rng: np.random.Generator) -> tuple[Images, Labels]:
    few = rng.permutation(len(images))[:_REPEATED]
    rows = np.resize(few, len(images))
    return images[rows], labels[rows]


def _mix_halves(images: Images, labels: Labels, rng: np.random.Generator) -> tuple[Images, Labels]:
    mixed, middle = images.copy(), images.shape[3] // 2
    for k in np.unique(labels):
        rows = np.flatnonzero(labels == k)
        mixed[rows, :, :, middle:] = images[rng.permutation(rows)][..., middle:]
    return mixed, labels


def _wrong_labels(
    images: Images, labels: Labels, rng: np.random.Generator
) -> tuple[Images, Labels]:
    wrong, classes = labels.copy(), int(labels.max()) + 1
    rows = rng.permutation(len(labels))[: int(_WRONG_SHARE * len(labels))]
    wrong[rows] = (wrong[rows] + rng.integers(1, classes, len(rows))) % classes
    return images, wrong


def _blur(images: Images, labels: Labels, rng: np.random.Generator) -> tuple[Images, Labels]:
    from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped]

    blurred = gaussian_filter(images.astype(np.float64), (0, 0, _BLUR_PX, _BLUR_PX))
    return blurred.round().astype(np.uint8), labels


FAULTS: dict[str, Fault] = {
    "a class dropped": _drop_a_class,
    "100 images repeated": _repeat,
    "halves mixed, same class": _mix_halves,
    "10 % labels wrong": _wrong_labels,
    "blur": _blur,
}
