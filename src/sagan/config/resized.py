"""A network's configuration at another resolution, so that most of its blocks can stay.

Both networks gain or lose blocks at the image end; every other block keeps its widths and the side
of its map, and so can keep its weights. No torch here.
"""

from dataclasses import replace
from typing import Any

from sagan.config import NetworkConfig
from sagan.config.channels import RESNET_D, RESNET_G, discriminator_blocks, generator_blocks


def resized(config: NetworkConfig, resolution: int) -> NetworkConfig:
    """The networks at another resolution in px, with every block's widths and map kept.

    Attention stays on the maps that remain. ValueError if the family does not have the resolution,
    or if widths cannot be halved as often as needed.

    Example:
        >>> small = NetworkConfig(resolution=32, g_width=8, d_width=8, g_attention=(16,))
        >>> large = resized(small, 64)
        >>> large.g_channels, large.d_channels, large.g_attention
        ((32, 32, 32, 32, 32), (16, 16, 16, 16, 16), (16,))
    """
    if resolution == config.resolution:
        return config
    if config.latent == "spatial":
        raise ValueError(
            f"spatial latents belong to their map: networks of {config.resolution} px cannot be "
            f"brought to {resolution} px"
        )
    bare = replace(
        config, resolution=resolution, g_attention=(), d_attention=(), d_attention_blocks=()
    )  # raises if the family does not have the resolution
    if config.family == "dcgan":
        g_width, d_width = (
            _width_at(name, getattr(config, name), config.resolution, resolution)
            for name in ("g_width", "d_width")
        )
        return _with_attention(replace(bare, g_width=g_width, d_width=d_width), config, 0)
    g_stages, d_stages = generator_blocks(config), discriminator_blocks(config)
    added = len(RESNET_D[resolution][0]) - len(d_stages)
    widths = [g_stages[0].c_in, *(stage.c_out for stage in g_stages)]
    changed = {
        "g_channels": _lengthened(widths, len(RESNET_G[resolution]) - len(widths)),
        "d_channels": _lengthened([s.c_out for s in d_stages][::-1], added)[::-1],
        "d_hidden": _lengthened([s.c_hidden for s in d_stages][::-1], added)[::-1],
        "d_halvings": _halvings(config, resolution),
    }
    return _with_attention(replace(bare, **_by_the_table(bare, changed)), config, added)


def _lengthened(widths: list[int], by: int) -> tuple[int, ...]:
    """Repeat the last width, or drop widths from the end if `by` is negative."""
    return tuple(widths + [widths[-1]] * by if by >= 0 else widths[:by])


def _halvings(config: NetworkConfig, resolution: int) -> int:
    """How many blocks halve the map, for the last one to stay as small as it was."""
    strides = RESNET_D[config.resolution][1]
    halvings = config.d_halvings or strides.count(2)
    halvings += resolution.bit_length() - config.resolution.bit_length()
    return min(max(1, halvings), len(RESNET_D[resolution][1]))


def _by_the_table(config: NetworkConfig, changed: dict[str, Any]) -> dict[str, Any]:
    """Leave out what equals the family's own table."""
    d_multiples, d_strides = RESNET_D[config.resolution]
    if changed["g_channels"] == tuple(m * config.g_width for m in RESNET_G[config.resolution]):
        changed["g_channels"] = ()
    if changed["d_hidden"] == changed["d_channels"]:
        changed["d_hidden"] = ()
    if changed["d_channels"] == tuple(m * config.d_width for m in d_multiples):
        changed["d_channels"] = ()
    if changed["d_halvings"] == d_strides.count(2):
        changed["d_halvings"] = 0
    return changed


def _width_at(name: str, width: int, before_px: int, after_px: int) -> int:
    """The base width at which each map of a dcgan keeps its channels."""
    if width * before_px % after_px:
        raise ValueError(
            f"{name} {width} cannot be kept at {after_px} px: it does not divide by "
            f"{after_px // before_px}"
        )
    return width * before_px // after_px


def _with_attention(new: NetworkConfig, old: NetworkConfig, added: int) -> NetworkConfig:
    """Put attention after the same blocks as before, as far as they remain."""
    g_sides = {stage.size_px for stage in generator_blocks(new)}
    d_sides = [stage.size_px for stage in discriminator_blocks(new)]
    blocks = tuple(i + added for i in old.d_attention_blocks if 0 <= i + added < len(d_sides))
    d_attention = {d_sides[i] for i in blocks} if blocks else set(d_sides) & set(old.d_attention)
    return replace(
        new,
        g_attention=tuple(g_sides & set(old.g_attention)),
        d_attention=tuple(d_attention),
        d_attention_blocks=blocks,
    )
