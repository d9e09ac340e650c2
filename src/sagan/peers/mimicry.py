"""kwotsin/mimicry: SAGAN, and SNGAN and cGAN-PD, which lack attention and G's spectral norm.

Upsampling is bilinear. Every discriminator block but the first keeps its input's width inside, and
its in-place ReLU lets the shortcut see relu(x). A class table is `classes 2c`: the gain itself,
then the bias. Attention has one fixed place.

Source: `nets/sagan/`, `nets/sngan/`, `nets/cgan_pd/` and `modules/` at a7fda06 (2022-08-07).
"""

import re

from sagan.peers.residual import Names, read_blocks
from sagan.peers.shapes import SNGAN_HALVINGS, discriminator_fields, generator_fields
from sagan.peers.tensors import Part, State, Tensors, conditional_norm

MARKS = {
    "generator": ("l1.", "block2.c1.", "block2.b1."),
    "discriminator": ("block1.c1.", "block2.c1."),
}
NETWORK = {"g_upsampling": "bilinear", "d_shortcut_relu": True}
PRESET = "best"
ASSUMED = ""

_NAMES = Names(
    block={"conv1": "c1", "conv2": "c2", "shortcut": "c_sc"},
    norm="b",
    attention={"query": "theta", "key": "phi", "value": "g", "output": "o"},
)
# The block that attention follows, by the number of blocks.
_G_ATTENTION = {3: 1, 5: 2}
_D_ATTENTION = {4: 1, 6: 1}


def read_generator(tensors: Tensors) -> Part:
    """Read the generator."""
    blocks = _blocks(tensors, first=2)
    attention = _attention(tensors, len(blocks), _G_ATTENTION)
    state = tensors.layer("l1", "linear")
    state |= read_blocks(tensors, _NAMES, blocks, attention, _norm)
    state |= tensors.batch_norm(f"b{len(blocks) + 2}", "norm")
    state |= tensors.layer(f"c{len(blocks) + 2}", "to_image")
    return Part(generator_fields(state, attention), state)


def read_discriminator(tensors: Tensors) -> Part:
    """Read the discriminator."""
    blocks = _blocks(tensors, first=1)
    attention = _attention(tensors, len(blocks), _D_ATTENTION)
    state = read_blocks(tensors, _NAMES, blocks, attention)
    state |= tensors.layer(f"l{len(blocks) + 1}", "linear")
    if tensors.has("l_y."):
        state |= tensors.layer("l_y", "embedding")
    fields = discriminator_fields(state, attention, where=tensors.where, halvings=SNGAN_HALVINGS)
    return Part(fields, state)


def _blocks(tensors: Tensors, *, first: int) -> list[str]:
    numbers = {int(m[1]) for name in tensors.left if (m := re.match(r"block(\d{1,2})\.", name))}
    count = 0
    while first + count in numbers:
        count += 1
    return [f"block{first + i}" for i in range(count)]


def _attention(tensors: Tensors, blocks: int, places: dict[int, int]) -> dict[int, str]:
    if not tensors.has("attn_block."):
        return {}
    if blocks not in places:
        raise ValueError(f"{tensors.where} has attention in {blocks} blocks: its place is unknown")
    return {places[blocks]: "attn_block"}


def _norm(tensors: Tensors, theirs: str, ours: str) -> State:
    if not tensors.has(f"{theirs}.embed."):
        return tensors.batch_norm(theirs, ours)
    table = tensors.table(f"{theirs}.embed")
    if table.shape[1] % 2:
        raise ValueError(f"{tensors.where}: {theirs}.embed is not a gain and a bias for each class")
    gain, bias = table.chunk(2, dim=1)
    return conditional_norm(gain - 1, bias, tensors.statistics(f"{theirs}.bn"), ours)
