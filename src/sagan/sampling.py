"""From a checkpoint and seeds to images.

Dimensions: b batch, c channels, h w the image's sides, z latent length, k classes.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from sagan.config import NetworkConfig
from sagan.facts import Facts
from sagan.models import Discriminator, Generator, build_discriminator, build_generator
from sagan.models import fold as folded
from sagan.models.standing import average_statistics
from sagan.randomness import sample_latents
from sagan.run import find_checkpoint

_MIN_GRID_PX = 640  # grids narrower than this are enlarged to be looked at


class Sampler(Protocol):
    """What makes images of latents and labels: a network of ours, or a file in another's format."""

    @property
    def config(self) -> NetworkConfig:
        """Of the network."""

    def __call__(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Generate images."""


def load(
    path: str | os.PathLike[str],
    *,
    weights: Literal["ema", "raw"] = "ema",
    device: str | torch.device = "cpu",
    fold: bool = False,
) -> Generator:
    """Open the generator of a run or checkpoint, in eval mode.

    Args:
        path: a run folder (its best checkpoint, else its latest) or a checkpoint folder.
        weights: `ema` for the averaged weights that sampling uses, `raw` for the trained ones; both
            with standing statistics where the recipe has them.
        device: where to put it.
        fold: work its norms into its weights, for sampling alone (see `sagan.models.fold`): the
            same images but for rounding, sooner.

    Returns:
        A module: latents `b z` and labels `b` (none when unconditional) to images `b c h w` in
        [-1, 1]. Its `config` says its sizes.

    Raises:
        ValueError: there is no run at the path, or the weights' name is unknown.
        CheckpointError: the checkpoint is damaged.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sagan.config import RunConfig
        >>> from sagan.run import Run
        >>> config = RunConfig(network=NetworkConfig(resolution=8, g_width=4))
        >>> weights = build_generator(config.network).state_dict()
        >>> run = Run(Path(tempfile.mkdtemp()))
        >>> _ = run.save(1, {"ema": weights}, config=config, keep=1)
        >>> load(run.path)(torch.randn(2, 128)).shape
        torch.Size([2, 3, 8, 8])
    """
    if weights not in ("ema", "raw"):
        raise ValueError(f"unknown weights {weights!r}: ema or raw")
    checkpoint = find_checkpoint(path)
    network = build_generator(checkpoint.config.network)
    network.load_state_dict(checkpoint.tensors("ema" if weights == "ema" else "generator"))
    network.facts = Facts(checkpoint.config, checkpoint.step, weights)
    network.to(device).eval().requires_grad_(False)
    if weights == "raw":  # saved with the running statistics, which training goes on with
        average_statistics(network, checkpoint.config.training)
    return folded(network) if fold else network


def load_discriminator(
    path: str | os.PathLike[str], *, device: str | torch.device = "cpu"
) -> Discriminator:
    """Open the discriminator of a run or checkpoint, in eval mode.

    Args:
        path: a run folder (its best checkpoint, else its latest) or a checkpoint folder.
        device: where to put it.

    Returns:
        A module: images `b c h w` in [-1, 1] and labels `b` (none when unconditional) to logits
        `b`, the higher the more real.

    Raises:
        ValueError: there is no run at the path.
        CheckpointError: the checkpoint is damaged, or has no discriminator.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sagan.config import RunConfig
        >>> from sagan.run import Run
        >>> config = RunConfig(network=NetworkConfig(resolution=8, d_width=4))
        >>> weights = build_discriminator(config.network).state_dict()
        >>> run = Run(Path(tempfile.mkdtemp()))
        >>> _ = run.save(1, {"discriminator": weights}, config=config, keep=1)
        >>> load_discriminator(run.path)(torch.randn(2, 3, 8, 8)).shape
        torch.Size([2])
    """
    checkpoint = find_checkpoint(path)
    network = build_discriminator(checkpoint.config.network)
    network.load_state_dict(checkpoint.tensors("discriminator"))
    return network.to(device).eval().requires_grad_(False)


def sample(
    generator: Sampler,
    num: int,
    *,
    classes: Sequence[int] | None = None,
    seed: int = 0,
    truncation: float = 0.0,
    batch_size: int = 64,
) -> Tensor:
    """Make images. Image i comes from seed `seed + i` and its class alone.

    Args:
        generator: from `load`, or in training: it runs in eval mode here, and is left as it was.
        num: how many in all, spread evenly over the classes, in their order.
        classes: class numbers; None takes all of them.
        seed: of the first image.
        truncation: resample latent entries until |z| <= truncation; 0 does not truncate.
        batch_size: images made at once; it does not change them but for rounding.

    Returns:
        uint8 `num c h w`, on the CPU.

    Raises:
        ValueError: a class that the generator does not have, or a count below 1.

    Example:
        >>> from sagan.config import NetworkConfig
        >>> generator = build_generator(NetworkConfig(resolution=8, classes=3, g_width=4)).eval()
        >>> sample(generator, 6, classes=[0, 2]).shape
        torch.Size([6, 3, 8, 8])
    """
    labels = spread_labels(num, generator.config, classes)
    latents = sample_latents(
        range(seed, seed + num), generator.config.latent_dim, truncation=truncation
    )
    with _in_eval_mode(generator):
        return torch.cat(list(generate(generator, latents, labels, batch_size=batch_size)))


@contextmanager
def _in_eval_mode(generator: object) -> Iterator[None]:
    """Use the running statistics inside, not the batch's, and leave every module as it was."""
    modules = list(generator.modules()) if isinstance(generator, nn.Module) else []
    modes = [module.training for module in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


def spread_labels(
    num: int, config: NetworkConfig, classes: Sequence[int] | None = None
) -> Tensor | None:
    """Spread a number of images evenly over classes, in their order; None when unconditional.

    Raises:
        ValueError: a class that is not there, or a count below 1.

    Example:
        >>> spread_labels(5, NetworkConfig(classes=10), [7, 2]).tolist()
        [7, 7, 7, 2, 2]
    """
    if num < 1:
        raise ValueError(f"the number of images must be at least 1, not {num}")
    if not config.classes:
        if classes:
            raise ValueError("this generator is unconditional: it has no classes to choose from")
        return None
    chosen = list(range(config.classes)) if classes is None else list(classes)
    for label in chosen:
        if not 0 <= label < config.classes:
            raise ValueError(f"class {label} is not in 0 to {config.classes - 1}")
    if not chosen:
        raise ValueError("no classes were given")
    return torch.tensor([chosen[i * len(chosen) // num] for i in range(num)])


@torch.no_grad()
def generate(
    generator: Callable[..., Tensor],
    latents: Tensor,
    labels: Tensor | None,
    *,
    batch_size: int = 64,
) -> Iterator[Tensor]:
    """Yield uint8 batches `b c h w` on the CPU for latents `n z` and labels (`n` or `n k`)."""
    device = torch.device("cpu")
    if isinstance(generator, nn.Module):
        device = next(generator.parameters()).device
    for start in range(0, len(latents), batch_size):
        z = latents[start : start + batch_size]
        y = None if labels is None else labels[start : start + batch_size].to(device)
        yield to_uint8(generator(z.to(device), y)).cpu()


def to_uint8(images: Tensor) -> Tensor:
    """Turn images in [-1, 1] into uint8 in [0, 255], rounding.

    Args:
        images: float, of any shape; what is outside of [-1, 1] is cut off.

    Example:
        >>> to_uint8(torch.tensor([-1.0, 0.0, 1.0])).tolist()
        [0, 128, 255]
    """
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def to_float(images: Tensor) -> Tensor:
    """Turn uint8 images in [0, 255] into float32 in [-1, 1]; `to_uint8` undoes it exactly.

    Args:
        images: of any shape.

    Example:
        >>> to_float(torch.tensor([0, 255], dtype=torch.uint8)).tolist()
        [-1.0, 1.0]
    """
    return images.float() / 127.5 - 1


def interpolation_latents(
    seeds: tuple[int, int], frames: int, config: NetworkConfig, *, truncation: float = 0.0
) -> Tensor:
    """Walk from one seed's latent to another's on the sphere: `frames z`, ends included.

    It is the ends that are truncated.

    Raises:
        ValueError: fewer than 2 frames.
    """
    if frames < 2:
        raise ValueError(f"an interpolation needs at least 2 frames, not {frames}")
    a, b = sample_latents(seeds, config.latent_dim, truncation=truncation)
    return slerp(a, b, torch.linspace(0, 1, frames)[:, None])


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Go from one vector to another on the sphere; t is 0 at the one and 1 at the other.

    Example:
        >>> a, b = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
        >>> round(slerp(a, b, torch.tensor([0.5])).norm().item(), 4)  # lerp would give 1.4142
        2.0
    """
    angle = torch.acos(torch.dot(a / a.norm(), b / b.norm()).clamp(-1, 1))
    if angle < 1e-4:
        return a.lerp(b, t)
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


def interpolation_labels(ends: tuple[int, int], frames: int, config: NetworkConfig) -> Tensor:
    """Walk from one class to another as class weights `frames k`, ends included.

    Raises:
        ValueError: a class that is not there, or fewer than 2 frames.
    """
    if frames < 2:
        raise ValueError(f"an interpolation needs at least 2 frames, not {frames}")
    labels = spread_labels(2, config, ends)
    if labels is None:
        raise ValueError("this generator is unconditional: it has no classes to go between")
    rows: Tensor = torch.nn.functional.one_hot(labels, config.classes).float()
    return rows[0].lerp(rows[1], torch.linspace(0, 1, frames)[:, None])


def image_grid(images: Tensor, columns: int, *, scale: int = 0, gutter: int = 2) -> Image.Image:
    """Lay uint8 images out in rows with a gutter, enlarged by whole pixels.

    Args:
        images: uint8 `b c h w`.
        columns: images a row.
        scale: enlargement; 0 picks one that makes the grid at least 640 px wide.
        gutter: width in source pixels between images.

    Returns:
        A Pillow image of mode L, RGB or RGBA.

    Example:
        >>> image_grid(torch.zeros(6, 1, 8, 8, dtype=torch.uint8), 3, scale=1).size
        (32, 22)
    """
    b, c, h, w = images.shape
    rows = math.ceil(b / columns)
    cell_h, cell_w = h + gutter, w + gutter
    canvas = np.full((rows * cell_h + gutter, columns * cell_w + gutter, c), 128, np.uint8)
    for i, image in enumerate(images.permute(0, 2, 3, 1).numpy()):
        y, x = gutter + i // columns * cell_h, gutter + i % columns * cell_w
        canvas[y : y + h, x : x + w] = image
    picture = array_to_image(canvas)
    scale = scale or max(1, math.ceil(_MIN_GRID_PX / picture.width))
    size = (picture.width * scale, picture.height * scale)
    return picture.resize(size, Image.Resampling.NEAREST)


def array_to_image(array: NDArray[np.uint8]) -> Image.Image:
    """Make a Pillow image of uint8 `h w c`."""
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
