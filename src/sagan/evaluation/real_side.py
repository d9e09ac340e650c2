"""The real images that a candidate is compared with."""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from sagan.config import READING_RULES, Crop
from sagan.data import ImageDataset, load_dataset
from sagan.data.load import has_test_split
from sagan.evaluation.candidates import ImagesToScore
from sagan.metrics import RealImages, split_off_test, with_test_split
from sagan.metrics.features.inception import FEATURES
from sagan.metrics.formulas.frechet import Gaussian
from sagan.metrics.formulas.statistics import is_statistics, read_statistics


def open_real(
    source: str,
    *,
    resolution: int,
    channels: int,
    background: str = "white",
    crop: Crop = "center",
    rules: int = READING_RULES,
    seed: int = 0,
    progress: bool = True,
) -> RealImages:
    """Open real images split into training and test: by the source itself, else by the seed."""

    def opened(split: Literal["train", "test"], channels: int) -> ImageDataset:
        return load_dataset(
            source,
            resolution=resolution,
            channels=channels,
            split=split,
            background=background,
            crop=crop,
            rules=rules,
            progress=progress,
        )

    train = opened("train", channels)
    if not has_test_split(source, rules):
        return split_off_test(train.images, train.labels, train.class_names, seed=seed)
    test = opened("test", train.images.shape[1])
    return with_test_split(train.images, train.labels, test.images, test.labels, train.class_names)


def open_real_side(
    source: str, candidate: ImagesToScore, seed: int, progress: bool
) -> tuple[RealImages | None, Gaussian | None]:
    """Open real images, or saved statistics of some."""
    if is_statistics(Path(source)):
        return None, read_statistics(Path(source), FEATURES)

    def opened(channels: int) -> RealImages:
        return open_real(
            source,
            resolution=candidate.resolution,
            channels=channels,
            background=candidate.background,
            crop=candidate.crop,
            rules=candidate.rules,
            seed=seed,
            progress=progress,
        )

    if candidate.available is None or candidate.channels != 1:
        return opened(candidate.channels), None
    # stored images may be grey for want of colour, which must count against them
    real = opened(0)
    return (real if real.images.shape[1] in (1, 3) else opened(3)), None


def class_numbers(
    candidate: ImagesToScore, real: RealImages, source: str, *, needed: bool
) -> Tensor | None:
    """The real images' label of each of the candidate's classes; None without classes."""
    # other classes are an error only where a metric needs them
    if not candidate.class_names or real.labels is None:
        return None
    if not set(candidate.class_names) <= set(real.class_names):
        if not needed:
            return None
        whose = "the run's" if candidate.available is None else "those of the images"
        raise ValueError(f"the classes of {source} are not {whose}")
    return torch.tensor([real.class_names.index(name) for name in candidate.class_names])
