"""Every network's widths, as multiples of the base width, from one table; and where attention fits.

No torch here, so that a command line can be checked before torch is imported.
"""

import math
from typing import Literal, NamedTuple

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


class Stage(NamedTuple):
    """One block: its widths in channels, and its output map's side."""

    c_in: int
    c_out: int
    size_px: int
    attention: bool  # behind it


def generator_stages(config: NetworkConfig) -> list[Stage]:
    """Lay the generator's hidden maps out, from 4x4 up.

    The first stage of a `dcgan` starts from the latent; a `resnet` starts from its 4x4 seed.

    Raises:
        ValueError: attention is wanted on a map that the generator does not have.

    Example:
        >>> [s.size_px for s in generator_stages(NetworkConfig(resolution=32, g_attention=(16,)))]
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
        sizes = [8 << i for i in range(len(widths) - 1)]
    return _stages("generator", widths, sizes, config.g_attention, config)


def discriminator_stages(config: NetworkConfig) -> list[Stage]:
    """Lay the discriminator's blocks out, from the image down.

    Raises:
        ValueError: attention is wanted on a map that the discriminator does not have.

    Example:
        >>> [s.size_px for s in discriminator_stages(NetworkConfig(resolution=32))]
        [16, 8, 8, 8]
    """
    side = config.resolution
    if config.family == "dcgan":  # 64 px: 64, 128, 256, 512 with width 64, down to 4x4
        multiples = tuple(2**i for i in range(side.bit_length() - 3))
        strides = (2,) * len(multiples)
    else:
        multiples, strides = RESNET_D[side]
    widths = [config.channels, *(m * config.d_width for m in multiples)]
    sizes = [side // math.prod(strides[: i + 1]) for i in range(len(strides))]
    return _stages("discriminator", widths, sizes, config.d_attention, config)


def _stages(
    network: Literal["generator", "discriminator"],
    widths: list[int],
    sizes: list[int],
    attention: tuple[int, ...],
    config: NetworkConfig,
) -> list[Stage]:
    missing = set(attention) - set(sizes)
    if missing:
        raise ValueError(
            f"the {network} at {config.resolution} px has no {min(missing)} px feature map for "
            f"attention; it has {', '.join(str(size) for size in sorted(set(sizes)))}"
        )
    stages = []
    for i, size in enumerate(sizes):
        attends = size in attention and size not in sizes[:i]  # behind the first of that size
        if attends and widths[i + 1] % 8:
            raise ValueError(
                f"attention at {size} px needs a multiple of 8 channels in the {network}, "
                f"which has {widths[i + 1]} there; choose another base width"
            )
        stages.append(Stage(widths[i], widths[i + 1], size, attends))
    return stages
