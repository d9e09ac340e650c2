"""Growing runs: trained at small sizes first, each with the networks grown from those before.

A run's stages are its sizes in order. Steps and images are counted on from stage to stage.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from sagan.config.resized import resized
from sagan.config.run_config import RunConfig


@dataclass(frozen=True)
class Stage:
    """One size of a run, and where it lies in it.

    Args:
        index: from 0; the last one is the run's own size.
        config: as a run of this stage alone would have it: its networks, batch and learning rates.
        first_step, first_images: how far the run is when the stage begins.
        last_step: the step that the stage ends with.
    """

    index: int
    config: RunConfig
    first_step: int
    first_images: int
    last_step: int

    @property
    def images_per_step(self) -> int:
        """Real images of one generator step."""
        return self.config.training.batch_size * self.config.training.d_steps


def stages_of(config: RunConfig) -> list[Stage]:
    """List a run's stages; a run that does not grow has one.

    Raises:
        ValueError: the images are all shown at the smaller sizes.

    Example:
        >>> from sagan.config import GrowthStage, NetworkConfig, TrainingConfig
        >>> small = GrowthStage(resolution=8, images=640, batch_size=64, g_lr=1e-3, d_lr=1e-3)
        >>> config = RunConfig(
        ...     network=NetworkConfig(resolution=16),
        ...     training=TrainingConfig(images=1280, batch_size=32),
        ...     growth=(small,),
        ... )
        >>> [(s.config.network.resolution, s.first_images, s.last_step) for s in stages_of(config)]
        [(8, 0, 10), (16, 640, 30)]
    """
    stages: list[Stage] = []
    step = images = 0
    for index in range(len(config.growth) + 1):
        own = stage_config(config, index)
        per_step = own.training.batch_size * own.training.d_steps
        if index < len(config.growth):
            end = images + config.growth[index].images
        else:
            end = config.training.images
            if end <= images and config.growth:
                raise ValueError(
                    f"{end:,} images are all shown at smaller sizes ({images:,}); "
                    "ask for more --images, or for fewer at the sizes of --grow"
                )
        last_step = step + math.ceil((end - images) / per_step)
        stages.append(Stage(index, own, step, images, last_step))
        images += (last_step - step) * per_step
        step = last_step
    return stages


def parse_growth(text: str) -> dict[int, int | None]:
    """Read sizes in px to grow through, and the images shown at each where they are given.

    Example:
        >>> parse_growth("8,16"), parse_growth("8:64000"), parse_growth("none")
        ({8: None, 16: None}, {8: 64000}, {})
    """
    if text.strip().lower() == "none":
        return {}
    sizes: dict[int, int | None] = {}
    for part in text.split(","):
        px, colon, images = (piece.strip() for piece in part.partition(":"))
        numbers = (px, images) if colon else (px,)
        if not all(number.isascii() and number.isdecimal() for number in numbers):
            raise ValueError(
                f"--grow {text!r} is not sizes in pixels, as 8,16 or 8:64000,16:128000; or none"
            )
        if int(px) in sizes:
            raise ValueError(f"--grow {text!r} names {px} px twice")
        if colon and not int(images):
            raise ValueError(f"--grow {text!r} shows no image at {px} px: leave this size out")
        sizes[int(px)] = int(images) if colon else None
    return sizes


def share_out(sizes: dict[int, int | None], total: int) -> dict[int, int]:
    """Images at each size: those without a number share the total equally with the run's own size.

    Example:
        >>> share_out({8: None, 16: 500}, 3_000)
        {8: 1000, 16: 500}
    """
    share = max(1, total // (len(sizes) + 1))
    return {size: share if n is None else n for size, n in sizes.items()}


def images_at(stages: Sequence[Stage], step: int) -> int:
    """Real images shown to the discriminator by a step of a run."""
    stage = next(stage for stage in reversed(stages) if stage.first_step <= step)
    return stage.first_images + (step - stage.first_step) * stage.images_per_step


def stage_config(config: RunConfig, index: int) -> RunConfig:
    """The configuration of one stage alone."""
    if index == len(config.growth):
        return replace(config, growth=())
    stage = config.growth[index]
    training = replace(
        config.training, batch_size=stage.batch_size, g_lr=stage.g_lr, d_lr=stage.d_lr
    )
    network = resized(config.network, stage.resolution)
    return replace(config, network=network, training=training, growth=())


def ends_of(stages: Sequence[Stage]) -> tuple[int, ...]:
    """The images shown by the end of each stage."""
    return tuple(s.first_images + (s.last_step - s.first_step) * s.images_per_step for s in stages)


def with_ends(config: RunConfig, ends: Sequence[int]) -> RunConfig:
    """The same run with its stages ending at these images.

    Example:
        >>> with_ends(RunConfig(), [640]).training.images
        640
    """
    lengths = [end - begin for begin, end in pairwise((0, *ends))]
    growth = tuple(
        replace(stage, images=images) for stage, images in zip(config.growth, lengths, strict=False)
    )
    training = replace(config.training, images=ends[-1])
    return replace(config, training=training, growth=growth)
