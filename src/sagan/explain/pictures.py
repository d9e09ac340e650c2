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
class Subject:
    """One picture, and where it comes from.

    Args:
        image: `1 c h w` in [-1, 1], on the networks' device.
        labels: `1`, or class weights `1 k` where the class is not known; None if unconditional.
        latents: `1 z` that the generator makes it from; None for a real picture.
        seed: of the latents, if generated.
        file: the name of the file, if real.
        class_name: None where it is not known, or if unconditional.
    """

    image: Tensor
    labels: Tensor | None
    latents: Tensor | None
    seed: int | None
    file: str | None
    class_name: str | None

    @property
    def caption(self) -> str:
        """The class and the origin in a line."""
        origin = self.file if self.seed is None else f"seed {self.seed}"
        return f"{origin}" if self.class_name is None else f"class {self.class_name}, {origin}"

    def pixels(self) -> Tensor:
        """The picture as uint8 `c h w`, on the CPU."""
        return to_uint8(self.image[0]).cpu()

    def record(self) -> dict[str, str | int | None]:
        """What identifies it in a JSON file."""
        return {"seed": self.seed, "file": self.file, "class": self.class_name}


@torch.no_grad()
def generated_subjects(
    generator: Generator,
    config: RunConfig,
    num: int,
    *,
    seed: int = 0,
    classes: Sequence[int] | None = None,
) -> list[Subject]:
    """Generate pictures to explain: image i from seed `seed + i`, spread over the classes.

    Raises:
        ValueError: a class that is not there, or a count below 1.
    """
    device = next(generator.parameters()).device
    labels = spread_labels(num, config.network, classes)
    subjects = []
    for i in range(num):
        z = sample_latents([seed + i], config.network.latent_dim).to(device)
        y = None if labels is None else labels[i : i + 1].to(device)
        name = None if y is None else config.data.class_names[int(y)]
        subjects.append(Subject(generator(z, y), y, z, seed + i, None, name))
    return subjects


def real_subject(
    path: Path,
    config: RunConfig,
    *,
    label: int | None = None,
    device: str | torch.device = "cpu",
) -> Subject:
    """Read a picture as the run reads its training images: centre square, size and channels.

    Args:
        path: of any format in docs/data.md.
        config: of the run.
        label: its class. Where a conditional run is told none, every class weighs the same: that
            changes the discriminator's logit and none of its maps.
        device: where to put it.

    Raises:
        ValueError: there is no such file, or it is no readable picture.
    """
    network = config.network
    try:
        if not path.is_file():
            raise ValueError(f"{path} is {'no file' if path.exists() else 'not there'}")
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"{path} is larger than {MOST_BYTES:,} bytes")
        with quiet_pillow():
            picture = read_picture(path.read_bytes()).image
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except Unreadable as reason:
        raise ValueError(f"{path} is no readable picture: {reason}") from None
    background = parse_background(config.data.background)
    square = to_square(picture, network.resolution, network.channels, background)
    image = to_float(torch.tensor(square).permute(2, 0, 1)[None]).to(device)
    labels, name = _labels(network, label), None
    if label is not None and network.classes:
        name = config.data.class_names[label]
    labels = None if labels is None else labels.to(device)
    return Subject(image, labels, None, None, path.name, name)


def _labels(network: NetworkConfig, label: int | None) -> Tensor | None:
    if not network.classes:
        return None
    if label is None:
        return torch.full((1, network.classes), 1 / network.classes)
    return torch.tensor([label])
