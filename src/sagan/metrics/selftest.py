"""Which metric sees which fault: faults put into one half of a real set, scored against the other.

Dimensions: i images, c channels, h w the image's sides.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sagan.metrics.features.classifier import train_own_features
from sagan.metrics.features.extractors import Extractor, PixelFeatures
from sagan.metrics.formulas.cas import classification_accuracy
from sagan.metrics.formulas.duplicates import near_duplicate_distance, near_duplicate_rate
from sagan.metrics.formulas.frechet import frechet_distance_of
from sagan.metrics.formulas.kernel import kernel_distance
from sagan.metrics.formulas.nn1 import nn1
from sagan.metrics.formulas.prdc import prdc
from sagan.metrics.real_images import RealImages
from sagan.progress import Bar

SPLITS = 10
_REPEATED = 100
_WRONG_SHARE = 0.1
_BLUR_PX = 0.5

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Fault = Callable[[Images, Labels, np.random.Generator], tuple[Images, Labels]]


@dataclass(frozen=True)
class SelfTest:
    """How each metric moved at each fault.

    Args:
        real_vs_real: by metric, mean and standard deviation over the splits without a fault.
        z: by fault and metric, the mean change over that standard deviation.
        splits: how many halvings.
        n: images in a half.
    """

    real_vs_real: dict[str, tuple[float, float]]
    z: dict[str, dict[str, float]]
    splits: int
    n: int


def selftest(
    images: Images,
    labels: Labels,
    class_names: tuple[str, ...],
    *,
    splits: int | None = None,
    seed: int = 0,
    progress: bool = False,
) -> SelfTest:
    """Halve a labelled set at random, several times; score one half, sound and faulty.

    Args:
        images: uint8 `i c h w`.
        labels: `i`.
        class_names: by label.
        splits: halvings, at least 2; None for 10.
        seed: of all draws.
        progress: show it on stderr.

    Raises:
        ValueError: fewer than 2 splits.
    """
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
            judge = _Judge(images[others], labels[others], class_names, seed + split)
            for name, scores in found.items():
                faulty = (images[some], labels[some])
                if name != "none":
                    faulty = FAULTS[name](*faulty, rng)
                scores.append(judge(*faulty))
                bar.advance()
    metrics = list(found["none"][0])
    base = {m: np.array([scores[m] for scores in found["none"]]) for m in metrics}
    level = {m: (float(values.mean()), float(values.std(ddof=1))) for m, values in base.items()}
    z = {
        name: {
            # a share that never varies is taken to vary by one image
            m: (float(np.mean([s[m] for s in scores])) - level[m][0]) / (level[m][1] or 1 / half)
            for m in metrics
        }
        for name, scores in found.items()
        if name != "none"
    }
    return SelfTest(level, z, splits, half)


class _Judge:
    """Scores images against one half."""

    def __init__(
        self, images: Images, labels: Labels, class_names: tuple[str, ...], seed: int
    ) -> None:
        none = np.zeros(len(images), bool)
        real = RealImages(images=images, labels=labels, held_out=none, class_names=class_names)
        self._labels, self._seed = labels, seed
        self._extractors: dict[str, Extractor] = {
            "pixel": PixelFeatures((images.shape[1], images.shape[2], images.shape[3])),
            "own": train_own_features(real, seed=seed),
        }
        self._real = {
            name: extract(torch.tensor(images)).features
            for name, extract in self._extractors.items()
        }
        self._near = near_duplicate_distance(self._real["pixel"])

    def __call__(self, images: Images, labels: Labels) -> dict[str, float]:
        batch = torch.tensor(images)
        made = {name: extract(batch).features for name, extract in self._extractors.items()}
        pixel, real = made["pixel"], self._real["pixel"]
        balls = prdc(real, pixel)
        n = min(len(pixel), len(real))
        kid = {
            name: kernel_distance(made[name], self._real[name], subsets=0, seed=self._seed).value
            for name in made
        }
        return {
            "fd:pixel": frechet_distance_of(pixel, real),
            "fd:own": frechet_distance_of(made["own"], self._real["own"]),
            "kid:pixel": kid["pixel"],
            "kid:own": kid["own"],
            "nn1": nn1(real[:n], pixel[:n]).accuracy,
            "precision": balls.precision,
            "recall": balls.recall,
            "density": balls.density,
            "coverage": balls.coverage,
            "duplicates": near_duplicate_rate(pixel, self._near),
            "cas": classification_accuracy(pixel, labels, real, self._labels).accuracy,
        }


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
