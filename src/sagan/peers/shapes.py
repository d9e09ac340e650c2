"""What the ResNet implementations share: the configuration, told from the weights' shapes."""

from collections.abc import Mapping, Sequence
from typing import Any

from sagan.peers.tensors import State

# Blocks of the discriminator that halve the map, by the number of blocks.
HALVINGS = {4: 2, 5: 4, 6: 5, 7: 6}
# SNGAN's at 64 px, which mimicry and mmgeneration follow, goes down to 2x2.
SNGAN_HALVINGS = HALVINGS | {5: 5}


def generator_fields(state: State, attention: Sequence[int]) -> dict[str, Any]:
    """Tell a generator's configuration from its weights.

    Args:
        state: all of them, by our names.
        attention: numbers of the blocks that attention stands behind.
    """
    normalised = "linear.u" in state
    inner = ".layer" if normalised else ""
    linear = state[f"linear{inner}.weight"]
    widths = [linear.shape[0] // 16, *_outputs(state, f"conv1{inner}.weight")]
    gain = state.get("blocks.0.norm1.norm.gain.weight")
    return {
        "resolution": 2 << len(widths),
        "channels": state[f"to_image{inner}.weight"].shape[0],
        "classes": 0 if gain is None else gain.shape[0],
        "latent_dim": linear.shape[1],
        "g_channels": tuple(widths),
        "g_attention": tuple(8 << i for i in attention),
        "g_spectral_norm": normalised,
    }


def discriminator_fields(
    state: State,
    attention: Sequence[int],
    *,
    where: str,
    halvings: Mapping[int, int] = HALVINGS,
) -> dict[str, Any]:
    """Tell a discriminator's configuration from its weights.

    Args:
        state: all of them, by our names.
        attention: numbers of the blocks that attention stands behind.
        where: the file's name, for messages.
        halvings: by the number of blocks, how many of them halve the map.

    Raises:
        ValueError: it has no spectral norm, or an unknown number of blocks.
    """
    widths = _outputs(state, "conv2.layer.weight")
    blocks = len(widths)
    if not blocks:
        raise ValueError(f"{where} is a discriminator without spectral norm, which has no place")
    if blocks not in halvings:
        raise ValueError(f"{where} is a discriminator of {blocks} blocks, not of 4 to 7")
    resolution = 2 << blocks
    sides = [resolution >> min(i + 1, halvings[blocks]) for i in range(blocks)]
    embedding = state.get("embedding.layer.weight")
    each_first = all(sides.index(sides[i]) == i for i in attention)
    return {
        "resolution": resolution,
        "channels": state["blocks.0.conv1.layer.weight"].shape[1],
        "classes": 0 if embedding is None else embedding.shape[0],
        "d_channels": tuple(widths),
        "d_hidden": tuple(_outputs(state, "conv1.layer.weight")),
        "d_halvings": halvings[blocks],
        "d_attention": tuple(sides[i] for i in attention),
        "d_attention_blocks": () if each_first else tuple(attention),
    }


def _outputs(state: State, weight: str) -> list[int]:
    widths: list[int] = []
    while (name := f"blocks.{len(widths)}.{weight}") in state:
        widths.append(state[name].shape[0])
    return widths
