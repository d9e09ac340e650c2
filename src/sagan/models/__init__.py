"""The networks of both families, built from one configuration."""

from dataclasses import replace
from typing import TypeVar

from torch import nn

from sagan.config import NetworkConfig
from sagan.models.dcgan import DCGANDiscriminator, DCGANGenerator
from sagan.models.folded import fold
from sagan.models.resnet import ResNetDiscriminator, ResNetGenerator
from sagan.nn.norm import ConditionalBatchNorm
from sagan.nn.spectral import power_iteration
from sagan.randomness import seeded

Generator = ResNetGenerator | DCGANGenerator
Discriminator = ResNetDiscriminator | DCGANDiscriminator
_Network = TypeVar("_Network", Generator, Discriminator)

__all__ = ["Discriminator", "Generator", "build_discriminator", "build_generator", "fold"]


def build_generator(config: NetworkConfig, *, seed: int = 0) -> Generator:
    """Build a generator, in train mode; the same seed gives the same weights.

    Args:
        config: the network's sizes; `sagan.preset` has the published ones.
        seed: seed of the weights; PyTorch's global generator is left unchanged.

    Returns:
        A module from latents `b z` and labels `b` (None if unconditional) to images `b c h w` in
        [-1, 1].

    Raises:
        ValueError: attention is asked for on a feature map that the network lacks.

    Source:
        Zhang et al. 2019, by family: the released code, or the code quoted in the article.

    Example:
        >>> import torch
        >>> generator = build_generator(NetworkConfig(resolution=16, g_width=8))
        >>> generator(torch.randn(2, 128)).shape
        torch.Size([2, 3, 16, 16])
    """
    form: type[Generator] = DCGANGenerator if config.family == "dcgan" else ResNetGenerator
    return _seeded(form, config, seed, "generator", config.g_attention)


def build_discriminator(config: NetworkConfig, *, seed: int = 0) -> Discriminator:
    """Build a discriminator, in train mode; the same seed gives the same weights.

    Args:
        config: the network's sizes, the same as the generator's.
        seed: seed of the weights; PyTorch's global generator is left unchanged.

    Returns:
        A module from images `b c h w` in [-1, 1] and labels `b` (None if unconditional) to logits
        `b`, higher for more real. Labels `b n` give logits `b n` for the work of one.

    Raises:
        ValueError: attention is asked for on a feature map that the network lacks.

    Source:
        As `build_generator`.

    Example:
        >>> import torch
        >>> config = NetworkConfig(resolution=16, classes=10, d_width=8)
        >>> build_discriminator(config)(torch.zeros(2, 3, 16, 16), torch.tensor([0, 9])).shape
        torch.Size([2])
    """
    dcgan = config.family == "dcgan"
    form: type[Discriminator] = DCGANDiscriminator if dcgan else ResNetDiscriminator
    return _seeded(form, config, seed, "discriminator", config.d_attention)


def _seeded(
    form: type[_Network],
    config: NetworkConfig,
    seed: int,
    name: str,
    attention: tuple[int, ...],
) -> _Network:
    """Build a network; if paired, its attention has random numbers of its own."""
    paired = config.paired_init and bool(attention)
    with seeded(seed, f"{name} with attention" if paired else name):
        network = form(config)
        _initialise(network, config)
    if paired:
        bare = replace(config, g_attention=(), d_attention=(), d_attention_blocks=())
        shared = _seeded(form, bare, seed, name, ()).state_dict()
        network.load_state_dict({**network.state_dict(), **shared})
    return network


def _initialise(network: nn.Module, config: NetworkConfig) -> None:
    """Initialise weights as configured; the generator's tables of classes stay at 0."""
    if config.init == "default":
        return
    fill = nn.init.xavier_uniform_ if config.init == "xavier" else nn.init.orthogonal_
    tables = {
        id(table)
        for module in network.modules()
        if isinstance(module, ConditionalBatchNorm)
        for table in (module.gain, module.bias)
    } | {id(getattr(network, "class_input", None))}
    for module in network.modules():
        kinds = nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding
        if isinstance(module, kinds) and id(module) not in tables:
            fill(module.weight)
            bias = getattr(module, "bias", None)
            if bias is not None:
                nn.init.zeros_(bias)
    power_iteration(network, steps=15)  # the vectors belong to the old weights
