"""Build a network for given weights, after checking them against the configuration.

A few bytes of configuration may ask for any amount of memory, whatever the weights beside it hold.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor

from sagan.config import NetworkConfig
from sagan.config.channels import discriminator_blocks, generator_blocks
from sagan.models import Discriminator, Generator, build_discriminator, build_generator

_Network = TypeVar("_Network", Generator, Discriminator)


def build_and_load_generator(
    config: NetworkConfig, tensors: Mapping[str, Tensor], where: object
) -> Generator:
    """Build a generator of these weights; ValueError, naming `where`, if they are others."""
    return _build_and_load(
        build_generator, min_generator_parameters(config), config, tensors, where
    )


def build_and_load_discriminator(
    config: NetworkConfig, tensors: Mapping[str, Tensor], where: object
) -> Discriminator:
    """Build a discriminator of these weights; ValueError, naming `where`, if they are others."""
    return _build_and_load(
        build_discriminator, min_discriminator_parameters(config), config, tensors, where
    )


def _build_and_load(
    build: Callable[[NetworkConfig], _Network],
    min_count: int,
    config: NetworkConfig,
    tensors: Mapping[str, Tensor],
    where: object,
) -> _Network:
    mismatch = f"{where} has other weights than its configuration says"
    if min_count > sum(tensor.numel() for tensor in tensors.values()):
        raise ValueError(mismatch)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ValueError(f"{where}: its weights are not finite (NaN or infinity in {name})")
    network = build(config)
    try:
        network.load_state_dict(tensors)
    except RuntimeError:
        raise ValueError(mismatch) from None
    return network


def min_generator_parameters(config: NetworkConfig) -> int:
    """Count a generator's largest weights, a lower bound, without building it.

    Example:
        >>> config = NetworkConfig(resolution=8, g_width=4)
        >>> built = build_generator(config).state_dict()
        >>> min_generator_parameters(config) < sum(tensor.numel() for tensor in built.values())
        True
    """
    blocks = generator_blocks(config)
    if config.family == "dcgan":  # the first block starts from the latent
        return sum(16 * block.c_in * block.c_out for block in blocks)
    seed = 16 * blocks[0].c_in * (config.latent_dim if config.latent == "vector" else 1)
    tables = sum(2 * config.classes * block.c_in for block in blocks)
    tables += 16 * config.classes * blocks[0].c_in if config.class_input else 0
    return seed + tables + sum(9 * block.c_out * (block.c_in + block.c_hidden) for block in blocks)


def min_discriminator_parameters(config: NetworkConfig) -> int:
    """The same of a discriminator."""
    blocks = discriminator_blocks(config)
    if config.family == "dcgan":
        return sum(16 * block.c_in * block.c_out for block in blocks)
    convolutions = sum(9 * block.c_hidden * (block.c_in + block.c_out) for block in blocks)
    return convolutions + config.classes * blocks[-1].c_out
