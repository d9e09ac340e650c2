"""Scoring images in memory, from any program.

Dimensions: i generated and j real images, b batch, c channels, h w image sides.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sagan.metrics.features.extractors import Extractor
from sagan.metrics.real_images import split_off_test
from sagan.metrics.score import Score
from sagan.metrics.scorer import prepare
from sagan.metrics.spec import default_metrics, parse_metrics

Batch = NDArray[np.uint8] | Tensor
Images = Batch | Iterable[Batch]  # uint8 `i c h w`, or batches `b c h w` of it
Labels = NDArray[np.integer] | Tensor | Sequence[int]

_BATCH = 256


def evaluate(
    generated: Images,
    real: Images,
    *,
    labels: Labels | None = None,
    real_labels: Labels | None = None,
    metrics: str | None = None,
    inception: Extractor | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> dict[str, Score]:
    """Score generated images against real ones, from any program.

    A fifth of the real images, chosen by the seed, is held out for metrics that need a test set. To
    score many sets against the same real images, use your own test split, or stream more images
    than fit into memory, see `sagan.metrics.prepare`; to score a run, `sagan.evaluate_run`.

    Args:
        generated: uint8 `i c h w` in [0, 255], an array or a tensor; or batches of it.
        real: uint8 `j c h w`, likewise, of the same size.
        labels: class numbers `i` from 0, in the images' order; `cas` and `intra-fd` need them for
            both sides.
        real_labels: class numbers `j`.
        metrics: as `fd:pixel,kid,prdc,cas`, see docs/metrics.md; None takes all that the images
            allow.
        inception: from `sagan.metrics.load_inception`, for `fid`, `intra-fid`, `is` and metrics
            that name no features. Without it, the latter take features of a classifier that is
            trained on the real images, in seconds.
        seed: for all choices: what is held out, subsets, the classifier.
        device: for training that classifier.

    Returns:
        Scores by name, as `fd:pixel`: `value`, `real_vs_real` (what real images score against other
        real ones), `caution` and protocol.

    Raises:
        ValueError: images or labels are of the wrong kind or too few, or a metric is unknown, or
            needs labels or features that were not given.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (200, 1, 8, 8), np.uint8)
        >>> scores = evaluate(images[:100], images[100:], metrics="fd:pixel,prdc:pixel")
        >>> scores["fd:pixel"].value < scores["fd:pixel"].real_vs_real.value * 2
        True
        >>> sorted(scores)
        ['coverage:pixel', 'density:pixel', 'fd:pixel', 'precision:pixel', 'recall:pixel']
    """
    made, originals = _as_array(generated, "generated"), _as_array(real, "real")
    if made.shape[1:] != originals.shape[1:]:
        raise ValueError(
            f"generated images are {_size(made)} and real ones {_size(originals)}; resize first"
        )
    made_labels = _as_labels(labels, len(made), "labels")
    original_labels = _as_labels(real_labels, len(originals), "real_labels")
    labelled = made_labels is not None and original_labels is not None
    named = made_labels if original_labels is None else original_labels
    classes = 0 if named is None else int(named.max()) + 1
    if made_labels is not None and made_labels.max() >= classes:
        raise ValueError(
            f"generated images are of class {made_labels.max()}, but the real ones' end at "
            f"{classes - 1}"
        )
    kind = "own" if inception is None else inception.name
    if metrics is None:
        specs = default_metrics(labelled=labelled and classes > 1, held_out=False, features=kind)
    else:
        specs = parse_metrics(metrics, kind)
    reference = prepare(
        split_off_test(originals, original_labels, tuple(map(str, range(classes))), seed=seed),
        specs,
        num=len(made),
        seed=seed,
        inception=inception,
        device=device,
    )
    batches = (torch.tensor(made[i : i + _BATCH]) for i in range(0, len(made), _BATCH))
    return {score.metric: score for score in reference.score(batches, made_labels)}


def _as_array(images: Images, side: Literal["generated", "real"]) -> NDArray[np.uint8]:
    """Check images and join their batches."""
    batches = [images] if isinstance(images, np.ndarray | Tensor) else images
    parts = [_checked(batch, side) for batch in batches]
    if len({part.shape[1:] for part in parts}) > 1:
        sizes = ", ".join(sorted({_size(part) for part in parts}))
        raise ValueError(f"batches of {side} images differ in size: {sizes}")
    if not sum(map(len, parts)):
        raise ValueError(f"there are no {side} images")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _checked(images: Batch, side: str) -> NDArray[np.uint8]:
    if not isinstance(images, np.ndarray | Tensor):
        raise ValueError(
            f"{side} images must be an array or a tensor, uint8 n c h w, or batches; "
            f"not {type(images).__name__}"
        )
    if images.dtype not in (np.uint8, torch.uint8):
        raise ValueError(
            f"{side} images must be uint8 in [0, 255], not {images.dtype}; sagan.to_uint8 converts "
            "tensors in [-1, 1]"
        )
    if images.ndim != 4 or images.shape[1] not in (1, 3, 4):
        raise ValueError(
            f"{side} images must be n c h w with 1, 3 or 4 channels, not {tuple(images.shape)}"
        )
    return images.cpu().numpy() if isinstance(images, Tensor) else images


def _as_labels(labels: Labels | None, num: int, name: str) -> NDArray[np.int64] | None:
    if labels is None:
        return None
    array = np.asarray(labels.cpu() if isinstance(labels, Tensor) else labels)
    if not np.issubdtype(array.dtype, np.integer) or array.shape != (num,):
        raise ValueError(
            f"{name} must be {num} class numbers, one per image; not {array.dtype} of shape "
            f"{array.shape}"
        )
    if array.min() < 0:
        raise ValueError(f"{name} must be class numbers from 0, not {array.min()}")
    return array.astype(np.int64)


def _size(images: NDArray[np.uint8]) -> str:
    return " x ".join(str(side) for side in images.shape[1:])
