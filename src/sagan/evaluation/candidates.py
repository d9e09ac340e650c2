"""What is scored: images that a generator makes, or that are stored."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from sagan.config import READING_RULES, Crop
from sagan.data import load_dataset
from sagan.data.decode import Unreadable
from sagan.data.sources.open_source import NAMED, open_source
from sagan.data.threads import read_all
from sagan.runs.place import RUN_OR_CHECKPOINT, locate
from sagan.sampling import of_all_classes


@dataclass(frozen=True, kw_only=True)
class ImagesToScore:
    """Images to score."""

    resolution: int
    channels: int  # 0: as the real images
    crop: Crop  # by which they are made square
    background: str  # laid under transparent real pictures
    rules: int  # by which real pictures are read
    class_names: tuple[str, ...]  # by label; empty without classes
    source: str | None  # of the real images, unless another is given
    available: int | None  # stored images; None: any number can be made
    # N images and their labels, of classes as frequent as in counts `k` if it generates them
    make: Callable[[int, Tensor | None], tuple[Iterable[Tensor], Tensor | None]]
    facts: dict[str, Any]  # for the report
    run: Path | None  # folder that scores are recorded in

    def in_channels(self, channels: int) -> "ImagesToScore":
        """Grey images in three equal channels, if that is how the real images are; else itself."""
        if (self.channels, channels) != (1, 3):
            return self

        def make(num: int, counts: Tensor | None) -> tuple[Iterable[Tensor], Tensor | None]:
            batches, labels = self.make(num, counts)
            return (batch.expand(-1, 3, -1, -1) for batch in batches), labels

        return replace(self, channels=3, make=make)


def open_images_to_score(
    path: Path,
    *,
    weights: Literal["ema", "raw"],
    device: str | torch.device,
    seed: int,
    batch_size: int,
    standing_batches: int,
    resolution: int | None,
    cache: Path,
    progress: bool,
) -> ImagesToScore:
    """Open a generator (a run, a checkpoint, an export, the hub's), or stored images."""
    if locate(path).kind not in (*RUN_OR_CHECKPOINT, "shared folder", "hub"):
        return _open_stored(
            path,
            resolution=resolution,
            seed=seed,
            batch_size=batch_size,
            cache=cache,
            progress=progress,
        )
    if resolution is not None:
        raise ValueError("--resolution is for images; a run has its own")
    return open_generated(
        path,
        weights=weights,
        device=device,
        seed=seed,
        batch_size=batch_size,
        standing_batches=standing_batches,
    )


def open_generated(
    path: Path,
    *,
    weights: Literal["ema", "raw"],
    device: str | torch.device,
    seed: int,
    batch_size: int,
    standing_batches: int,
) -> ImagesToScore:
    """Open a generator of a run, a checkpoint, an export or `hub:OWNER/NAME`."""
    # the seed is that of the first image and of standing statistics, which 0 batches leave alone
    from sagan.exchange.open_exported import open_generator
    from sagan.models.standing import standing_statistics

    opened = open_generator(path, weights=weights, device=device)
    generator, config = opened.generator, opened.config
    assert isinstance(generator, nn.Module)
    standing_statistics(
        generator,
        config.network,
        batches=standing_batches,
        batch_size=config.training.batch_size // config.training.accumulate,
        seed=seed,
    )
    return ImagesToScore(
        resolution=config.network.resolution,
        channels=config.network.channels,
        crop=config.data.crop,
        background=config.data.background,
        rules=config.data.rules,
        class_names=tuple(config.data.class_names) if config.network.classes else (),
        source=config.data.source or None,
        available=None,
        make=lambda num, counts: of_all_classes(
            generator, config.network, num, seed=seed, counts=counts, batch_size=batch_size
        ),
        facts={
            "run": str(path),
            "step": opened.facts.step,
            "weights": opened.facts.weights,
            "standing_batches": standing_batches,
        },
        run=locate(path).run,
    )


def _open_stored(
    path: Path,
    *,
    resolution: int | None,
    seed: int,
    batch_size: int,
    cache: Path,
    progress: bool,
) -> ImagesToScore:
    """Open images of a folder, an archive or an array, resized to a square of `resolution` px."""
    # None takes the first image's smaller side; if fewer are asked for, the seed chooses them
    place = locate(path)
    if place.kind == "nothing" and str(path) not in NAMED:
        raise ValueError(f"{path} does not exist: name a run, or a folder, zip or array of images")
    place.require("file", "folder", "nothing")
    side = _first_side(str(path)) if resolution is None else resolution
    images = load_dataset(str(path), resolution=side, cache=cache, progress=progress)

    def make(num: int, _: Tensor | None) -> tuple[Iterable[Tensor], Tensor | None]:
        rows = np.sort(np.random.default_rng(seed).permutation(len(images))[:num])
        batches = (
            torch.tensor(images.images[rows[start : start + batch_size]])
            for start in range(0, num, batch_size)
        )
        return batches, None if images.labels is None else torch.tensor(images.labels[rows])

    return ImagesToScore(
        resolution=side,
        channels=images.images.shape[1],
        crop="center",
        background="white",
        rules=READING_RULES,
        class_names=images.class_names if images.labels is not None else (),
        source=None,
        available=len(images),
        make=make,
        facts={"images": str(path), "resolution": side, "left_out": len(images.excluded)},
        run=None,
    )


def _first_side(source: str) -> int:
    for _, side in read_all(open_source(source), lambda picture: min(picture.image.size)):
        if not isinstance(side, Unreadable):
            return side
    raise ValueError(f"{source}: none of its pictures can be read")
