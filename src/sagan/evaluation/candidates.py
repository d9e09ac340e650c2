"""What `sagan evaluate` scores, a run or any images, and the real images beside it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sagan.config import NetworkConfig, RunConfig
from sagan.data import ImageDataset, load_dataset
from sagan.data.decode import Unreadable
from sagan.data.sources.open_source import NAMED, open_source
from sagan.data.threads import read_all
from sagan.files import is_run_folder, refuse_model_file
from sagan.metrics import RealImages, Reference, Score, split_off_test, with_test_split
from sagan.sharing.facts import is_shared

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Subject:
    """Images to score.

    Args:
        resolution, channels: of them; channels 0 takes the real images' own.
        background: laid under transparent real pictures.
        class_names: by label; empty without classes.
        source: of the real images, unless told otherwise; None where there is none.
        available: how many images there are; None where any number can be made.
        make: gives uint8 batches of so many, and their labels.
        facts: for the report.
        run: folder that results are appended in, if any.
    """

    resolution: int
    channels: int
    background: str
    class_names: tuple[str, ...]
    source: str | None
    available: int | None
    make: Callable[[int], tuple[Iterable[Tensor], Labels | None]]
    facts: dict[str, Any]
    run: Path | None


def is_generator(path: Path) -> bool:
    """Whether a path is a run's folder or a checkpoint's, or a generator that was passed on."""
    return is_run_folder(path) or (path / "manifest.json").is_file() or is_shared(path)


def open_maker(
    path: Path,
    *,
    weights: Literal["ema", "raw"],
    device: str | torch.device,
    seed: int,
    batch_size: int,
    standing_batches: int,
) -> Subject:
    """Open a generator that makes the images, from seeds.

    Args:
        path: of a run, a checkpoint or a folder that was passed on, or `hub:OWNER/NAME`.
        weights: ema or raw.
        device: where to make them.
        seed: of the first image, and of standing statistics.
        batch_size: made at once, and for standing statistics.
        standing_batches: batches for standing statistics; 0 keeps the checkpoint's.

    Raises:
        ValueError: there is none.
        CheckpointError: it is damaged.
    """
    from sagan.exchange.open_exported import open_generator
    from sagan.models.standing import standing_statistics

    opened = open_generator(path, weights=weights, device=device)
    generator, config = opened.generator, opened.config
    assert isinstance(generator, nn.Module)
    standing_statistics(
        generator, config.network, batches=standing_batches, batch_size=batch_size, seed=seed
    )
    return Subject(
        resolution=config.network.resolution,
        channels=config.network.channels,
        background=config.data.background,
        class_names=tuple(config.data.class_names) if config.network.classes else (),
        source=config.data.source or None,
        available=None,
        make=lambda num: made_by(generator, config.network, num, seed, batch_size),
        facts={
            "run": str(path),
            "step": opened.facts.step,
            "weights": opened.facts.weights,
            "standing_batches": standing_batches,
        },
        run=None if is_shared(path) else path if is_run_folder(path) else path.parent.parent,
    )


def made_by(
    generator: nn.Module, network: NetworkConfig, num: int, seed: int, batch_size: int = 64
) -> tuple[Iterable[Tensor], Labels | None]:
    """Make images of all classes evenly: image i from seed `seed + i` and its class alone."""
    from sagan.randomness import sample_latents
    from sagan.sampling import generate, spread_labels

    labels = spread_labels(num, network)
    latents = sample_latents(range(seed, seed + num), network.latent_dim)
    batches = generate(generator, latents, labels, batch_size=batch_size)
    return batches, None if labels is None else labels.numpy()


def open_images(
    path: Path, *, resolution: int | None, seed: int, batch_size: int, cache: Path
) -> Subject:
    """Open images of any source, this program's or another's.

    Args:
        path: of a folder, an archive or an array.
        resolution: px that they are brought to; None takes the first one's smaller side.
        seed: of the choice where fewer are asked for.
        batch_size: looked at at once.
        cache: folder for the decoded images.

    Raises:
        ValueError: there are none, or they cannot be read.
    """
    if str(path) not in NAMED and not path.exists():
        raise ValueError(f"{path} does not exist: name a run, or a folder, zip or array of images")
    refuse_model_file(path)
    side = _first_side(str(path)) if resolution is None else resolution
    images = load_dataset(str(path), resolution=side, cache=cache, progress=True)

    def make(num: int) -> tuple[Iterable[Tensor], Labels | None]:
        rows = np.sort(np.random.default_rng(seed).permutation(len(images))[:num])
        batches = (
            torch.tensor(images.images[rows[start : start + batch_size]])
            for start in range(0, num, batch_size)
        )
        return batches, None if images.labels is None else images.labels[rows]

    return Subject(
        resolution=side,
        channels=images.images.shape[1],
        background="white",
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
    raise ValueError(f"{source}: no picture in it is readable")


def open_real(
    source: str, *, resolution: int, channels: int, background: str = "white", seed: int = 0
) -> RealImages:
    """Open real images, apart into training and test: the source's own split, or one by the seed.

    Raises:
        ValueError: the source cannot be used, or has too few images.
    """

    def opened(split: Literal["train", "test"]) -> ImageDataset:
        return load_dataset(
            source,
            resolution=resolution,
            channels=channels,
            split=split,
            background=background,
            progress=True,
        )

    train = opened("train")
    if source not in NAMED:
        return split_off_test(train.images, train.labels, train.class_names, seed=seed)
    test = opened("test")
    return with_test_split(train.images, train.labels, test.images, test.labels, train.class_names)


def renumber(subject: Subject, real: RealImages, source: str) -> NDArray[np.int64] | None:
    """Give the real images' label of each of the subject's classes; None without classes.

    Raises:
        ValueError: the subject has a class that the real images do not.
    """
    if not subject.class_names or real.labels is None:
        return None
    if not set(subject.class_names) <= set(real.class_names):
        whose = "the run's" if subject.available is None else "those of the images"
        raise ValueError(f"the classes of {source} are not {whose}")
    return np.array([real.class_names.index(name) for name in subject.class_names])


def score_generator(
    generator: nn.Module, config: RunConfig, reference: Reference, *, seed: int = 0
) -> list[Score]:
    """Score a generator without truncation, rejection or best-of."""
    batches, labels = made_by(generator, config.network, reference.num, seed)
    return reference.score(batches, labels)
