"""The pictures that are explained: generated ones, and a real one from a file.

Dimensions: b batch, c channels, h w the image's sides, z latent length, k classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sagan.config import NetworkConfig, RunConfig
from sagan.data.decode import (
    MOST_BYTES,
    Unreadable,
    parse_background,
    quiet_pillow,
    read_picture,
    to_square,
)
from sagan.images import to_float, to_uint8
from sagan.models import Generator
from sagan.randomness import sample_latents
from sagan.sampling import spread_labels


@dataclass(frozen=True)
class ExplainedPicture:
    """One picture, and where it comes from."""

    image: Tensor  # `1 c h w` in [-1, 1], on the networks' device
    labels: Tensor | None  # `1`, or class weights `1 k` if the class is unknown
    latents: Tensor | None  # `1 z`; None for a real picture
    seed: int | None  # of the latents; None for a real picture
    file: str | None  # file name of a real picture
    class_name: str | None  # None if unknown or unconditional

    @property
    def is_real(self) -> bool:
        """Whether it was read from a file, so that only D looks at it."""
        return self.latents is None

    @property
    def caption(self) -> str:
        """The class and the origin in one line."""
        origin = self.file if self.seed is None else f"seed {self.seed}"
        return f"{origin}" if self.class_name is None else f"class {self.class_name}, {origin}"

    def pixels(self) -> Tensor:
        """The picture as uint8 `c h w`, on the CPU."""
        return to_uint8(self.image[0]).cpu()

    def record(self) -> dict[str, str | int | None]:
        """What identifies it in a JSON file."""
        return {"seed": self.seed, "file": self.file, "class": self.class_name}


@torch.no_grad()
def generated_pictures(
    generator: Generator,
    config: RunConfig,
    num: int,
    *,
    seed: int = 0,
    classes: Sequence[int] | None = None,
) -> list[ExplainedPicture]:
    """Generate pictures to explain: image i from seed `seed + i`, spread over the classes."""
    device = next(generator.parameters()).device
    labels = spread_labels(num, config.network, classes)
    pictures = []
    for i in range(num):
        z = sample_latents([seed + i], config.network.latent_dim).to(device)
        y = None if labels is None else labels[i : i + 1].to(device)
        name = None if y is None else config.data.name_of(int(y))
        pictures.append(ExplainedPicture(generator(z, y), y, z, seed + i, None, name))
    return pictures


def real_picture(
    path: Path,
    config: RunConfig,
    *,
    label: int | None = None,
    device: str | torch.device = "cpu",
) -> ExplainedPicture:
    """Read a picture as the run reads its training images: rules, crop, size and channels."""
    # Without a label, a conditional run weighs all classes alike: that changes D's logit, but none
    # of its maps.
    network = config.network
    try:
        if not path.is_file():
            raise ValueError(f"{path} {'is not a file' if path.exists() else 'does not exist'}")
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"{path} is larger than {MOST_BYTES:,} bytes")
        with quiet_pillow():
            picture = read_picture(path.read_bytes(), rules=config.data.rules).image
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except Unreadable as reason:
        raise ValueError(f"{path} is not a readable picture: {reason}") from None
    background = parse_background(config.data.background)
    square = to_square(picture, network.resolution, network.channels, background, config.data.crop)
    image = to_float(torch.tensor(square).permute(2, 0, 1)[None]).to(device)
    labels, name = _labels(network, label), None
    if label is not None and network.classes:
        name = config.data.name_of(label)
    labels = None if labels is None else labels.to(device)
    return ExplainedPicture(image, labels, None, None, path.name, name)


def _labels(network: NetworkConfig, label: int | None) -> Tensor | None:
    if not network.classes:
        return None
    if label is not None and not 0 <= label < network.classes:
        raise ValueError(f"there is no class {label}: classes are 0 to {network.classes - 1}")
    if label is None:
        return torch.full((1, network.classes), 1 / network.classes)
    return torch.tensor([label])
