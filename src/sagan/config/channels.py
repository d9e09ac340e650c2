"""Every network's blocks: widths as multiples of the base width, and where attention fits.

No torch here, so that a command line can be checked before torch is imported.
"""

import math
from typing import NamedTuple

from sagan.config import NetworkConfig

# ResNet generator: the 4x4 seed's width, then each doubling block's output width.
RESNET_G = {
    8: (4, 4),
    16: (4, 4, 2),
    32: (4, 4, 4, 4),
    64: (16, 8, 4, 2, 1),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
}
# ResNet discriminator: each block's output width; a block halves the map where the second row is 2.
RESNET_D = {
    8: ((1, 2, 2), (1, 2, 1)),
    16: ((1, 2, 2), (2, 1, 1)),
    32: ((2, 2, 2, 2), (2, 2, 1, 1)),
    64: ((1, 2, 4, 8, 8), (2, 2, 2, 2, 1)),
    128: ((1, 2, 4, 8, 16, 16), (2, 2, 2, 2, 2, 1)),
    256: ((1, 2, 4, 8, 8, 16, 16), (2, 2, 2, 2, 2, 2, 1)),
}


class BlockShape(NamedTuple):
    """One block."""

    c_in: int
    c_out: int
    size_px: int  # side of its output map
    attention: bool  # after it
    c_hidden: int  # between its two 3x3 convolutions


def generator_blocks(config: NetworkConfig) -> list[BlockShape]:
    """The generator's blocks, from 4x4 up; ValueError if attention or `g_channels` do not fit.

    The first shape of a `dcgan` starts from the latent; a `resnet` starts from its 4x4 seed.

    Example:
        >>> [s.size_px for s in generator_blocks(NetworkConfig(resolution=32, g_attention=(16,)))]
        [8, 16, 32]
    """
    if config.family == "dcgan":
        first = config.resolution // 8  # 64 px: 512, 256, 128, 64 with width 64
        widths = [config.latent_dim]
        sizes: list[int] = []
        while first >= 1:
            widths.append(first * config.g_width)
            sizes.append(4 << len(sizes))
            first //= 2
    else:
        widths = [m * config.g_width for m in RESNET_G[config.resolution]]
        widths = _instead("g_channels", config.g_channels, widths)
        sizes = [8 << i for i in range(len(widths) - 1)]
    behind = _first_of_each(sizes, config.g_attention)
    _check_sides("generator", sizes, config.g_attention, config)
    return _stages("generator", widths, widths[1:], sizes, behind)


def discriminator_blocks(config: NetworkConfig) -> list[BlockShape]:
    """The discriminator's blocks, from the image down; ValueError if attention or lists do not fit.

    Example:
        >>> [s.size_px for s in discriminator_blocks(NetworkConfig(resolution=32))]
        [16, 8, 8, 8]
    """
    side = config.resolution
    if config.family == "dcgan":  # 64 px: 64, 128, 256, 512 with width 64, down to 4x4
        multiples = tuple(2**i for i in range(side.bit_length() - 3))
        strides = (2,) * len(multiples)
    else:
        multiples, strides = RESNET_D[side]
    blocks = len(multiples)
    if config.d_halvings:
        most = min(blocks, side.bit_length() - 1)
        if config.d_halvings > most:
            raise ValueError(f"d_halvings must be at most {most}, not {config.d_halvings}")
        strides = (2,) * config.d_halvings + (1,) * (blocks - config.d_halvings)
    outputs = _instead("d_channels", config.d_channels, [m * config.d_width for m in multiples])
    hidden = _instead("d_hidden", config.d_hidden, outputs)
    sizes = [side // math.prod(strides[: i + 1]) for i in range(blocks)]
    _check_sides("discriminator", sizes, config.d_attention, config)
    behind = set(config.d_attention_blocks) or _first_of_each(sizes, config.d_attention)
    if not behind <= set(range(blocks)) or {sizes[i] for i in behind} != set(config.d_attention):
        raise ValueError(
            f"d_attention_blocks {config.d_attention_blocks} are not of the sides in d_attention "
            f"{config.d_attention}: the blocks' sides are {', '.join(map(str, sizes))}"
        )
    return _stages("discriminator", [config.channels, *outputs], hidden, sizes, behind)


def _instead(name: str, given: tuple[int, ...], table: list[int]) -> list[int]:
    """A configuration's own widths, if it has any, instead of the table's."""
    if given and len(given) != len(table):
        raise ValueError(f"{name} must be {len(table)} widths, not {len(given)}")
    return list(given) or table


def _first_of_each(sizes: list[int], attention: tuple[int, ...]) -> set[int]:
    return {sizes.index(size) for size in attention if size in sizes}


def _check_sides(
    network: str, sizes: list[int], attention: tuple[int, ...], config: NetworkConfig
) -> None:
    missing = set(attention) - set(sizes)
    if missing:
        raise ValueError(
            f"the {network} at {config.resolution} px has no {min(missing)} px feature map for "
            f"attention; it has {', '.join(str(size) for size in sorted(set(sizes)))}"
        )


def _stages(
    network: str, widths: list[int], hidden: list[int], sizes: list[int], behind: set[int]
) -> list[BlockShape]:
    shapes = []
    for i, size in enumerate(sizes):
        attends = i in behind
        if attends and widths[i + 1] < 8:
            raise ValueError(
                f"attention at {size} px needs at least 8 channels in the {network}, "
                f"which has {widths[i + 1]} there; choose a larger base width"
            )
        shapes.append(BlockShape(widths[i], widths[i + 1], size, attends, hidden[i]))
    return shapes
