"""Sample images from a generator and seeds.

Dimensions: b batch, c channels, h w the image's sides, z latent length, k classes.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from sagan.config import NetworkConfig
from sagan.images import to_uint8
from sagan.randomness import sample_latents


class Sampler(Protocol):
    """Makes images from latents and labels: a network of ours, or an exported file."""

    @property
    def config(self) -> NetworkConfig:
        """The network's configuration."""

    def __call__(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Generate images."""


def sample(
    generator: Sampler,
    num: int,
    *,
    classes: Sequence[int] | None = None,
    seed: int = 0,
    truncation: float = 0.0,
    batch_size: int = 64,
) -> Tensor:
    """Make images. Image i depends only on seed `seed + i` and its class.

    Args:
        generator: from `load`, or in training: it runs in eval mode and is left as it was.
        num: total number of images, spread evenly over the classes, in their order.
        classes: class numbers; None takes all classes.
        seed: seed of the first image.
        truncation: resample latent entries until |z| <= truncation; 0 does not truncate.
        batch_size: images per batch; it changes them by rounding at most.

    Returns:
        uint8 `num c h w`, on the CPU.

    Raises:
        ValueError: the generator lacks a class, or the count or the batch size is below 1.

    Example:
        >>> from sagan.config import NetworkConfig
        >>> from sagan.models import build_generator
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
    """Use running statistics, not the batch's, inside; restore every module's mode after."""
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
    num: int,
    config: NetworkConfig,
    classes: Sequence[int] | None = None,
    counts: Tensor | None = None,
) -> Tensor | None:
    """Labels that spread `num` images over classes, in their order; None if unconditional.

    The classes are as frequent as in `counts` (`k`, of all classes), or all equally.

    Example:
        >>> spread_labels(5, NetworkConfig(classes=10), [7, 2]).tolist()
        [7, 7, 7, 2, 2]
        >>> spread_labels(4, NetworkConfig(classes=3), counts=torch.tensor([10, 0, 30])).tolist()
        [0, 2, 2, 2]
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
    weights = torch.ones(config.classes, dtype=torch.int64) if counts is None else counts
    ends = weights[chosen].cumsum(0)
    if not ends[-1]:
        raise ValueError("no image is of any of these classes")
    places = torch.searchsorted(ends, torch.arange(num) * ends[-1] // num, right=True)
    return torch.tensor(chosen)[places]


@torch.no_grad()
def generate(
    generator: Callable[..., Tensor],
    latents: Tensor,
    labels: Tensor | None,
    *,
    batch_size: int = 64,
) -> Iterator[Tensor]:
    """Yield uint8 batches `b c h w` on the CPU for latents `n z` and labels (`n` or `n k`)."""
    if batch_size < 1:
        raise ValueError(f"the batch size must be at least 1, not {batch_size}")
    device = torch.device("cpu")
    if isinstance(generator, nn.Module):
        device = next(generator.parameters()).device
    for start in range(0, len(latents), batch_size):
        z = latents[start : start + batch_size]
        y = None if labels is None else labels[start : start + batch_size].to(device)
        yield to_uint8(generator(z.to(device), y)).cpu()


def of_all_classes(
    generator: Callable[..., Tensor],
    network: NetworkConfig,
    num: int,
    *,
    seed: int,
    counts: Tensor | None = None,
    batch_size: int = 64,
) -> tuple[Iterator[Tensor], Tensor | None]:
    """Stream uint8 images over all classes, with their labels; image i has seed `seed + i`.

    The classes are as frequent as in `counts` (`k`, of real images), or all equally.
    """
    labels = spread_labels(num, network, counts=counts)
    latents = sample_latents(range(seed, seed + num), network.latent_dim)
    return generate(generator, latents, labels, batch_size=batch_size), labels


def interpolation_latents(
    seeds: tuple[int, int], frames: int, config: NetworkConfig, *, truncation: float = 0.0
) -> Tensor:
    """Latents `frames z` from one seed's to another's on the sphere, ends included."""
    # truncation applies to the ends
    if frames < 2:
        raise ValueError(f"an interpolation needs at least 2 frames, not {frames}")
    a, b = sample_latents(seeds, config.latent_dim, truncation=truncation)
    return slerp(a, b, torch.linspace(0, 1, frames)[:, None])


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Interpolate spherically from a (t = 0) to b (t = 1), both `z`; t, `f 1`, gives `f z`.

    Example:
        >>> a, b = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
        >>> round(slerp(a, b, torch.tensor([0.5])).norm().item(), 4)  # lerp would give 1.4142
        2.0
    """
    angle = torch.acos(torch.dot(a / a.norm(), b / b.norm()).clamp(-1, 1))
    if torch.sin(angle) < 1e-4:  # nearly the same direction, or opposite ones
        return a.lerp(b, t)
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


def interpolation_labels(ends: tuple[int, int], frames: int, config: NetworkConfig) -> Tensor:
    """Class weights `frames k` from one class to another, ends included."""
    if frames < 2:
        raise ValueError(f"an interpolation needs at least 2 frames, not {frames}")
    labels = spread_labels(2, config, ends)
    if labels is None:
        raise ValueError("this generator is unconditional: it has no classes to go between")
    rows: Tensor = torch.nn.functional.one_hot(labels, config.classes).float()
    return rows[0].lerp(rows[1], torch.linspace(0, 1, frames)[:, None])
