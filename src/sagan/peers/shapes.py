"""Infers a residual network's configuration from the shapes of its weights."""

from collections.abc import Collection, Mapping
from typing import Any

from sagan.peers.tensors import State

# How many of the discriminator's blocks halve the map, by the number of blocks.
HALVINGS = {4: 2, 5: 4, 6: 5, 7: 6}
# At 64 px mimicry and mmgeneration follow SNGAN, which goes down to 2x2.
SNGAN_HALVINGS = HALVINGS | {5: 5}


def generator_fields(state: State, attention: Collection[int]) -> dict[str, Any]:
    """Infer a generator's fields from its weights and the blocks that attention follows."""
    normalised = "linear.u" in state
    inner = ".layer" if normalised else ""
    linear = state[f"linear{inner}.weight"]
    widths = [linear.shape[0] // 16, *_widths(state, f"conv1{inner}.weight")]
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
    attention: Collection[int],
    *,
    where: str,
    halvings: Mapping[int, int] = HALVINGS,
) -> dict[str, Any]:
    """Infer a discriminator's fields from its weights; refuse it without spectral norm."""
    widths = _widths(state, "conv2.layer.weight")
    blocks = len(widths)
    if not blocks:
        raise ValueError(f"{where} is a discriminator without spectral norm: not supported")
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
        "d_hidden": tuple(_widths(state, "conv1.layer.weight")),
        "d_halvings": halvings[blocks],
        "d_attention": tuple(sides[i] for i in attention),
        "d_attention_blocks": () if each_first else tuple(attention),
    }


def _widths(state: State, weight: str) -> list[int]:
    widths: list[int] = []
    while (name := f"blocks.{len(widths)}.{weight}") in state:
        widths.append(state[name].shape[0])
    return widths
