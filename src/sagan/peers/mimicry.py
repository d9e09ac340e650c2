"""kwotsin/mimicry: SAGAN, and SNGAN and cGAN-PD, which lack attention and G's spectral norm.

Upsampling is bilinear; a discriminator block but the first keeps its input's width inside, and
its in-place ReLU lets the shortcut see relu(x); the class table is `classes 2c`, the gain itself
first, then the bias. Attention has one fixed place.

Source: `nets/sagan/`, `nets/sngan/`, `nets/cgan_pd/` and `modules/` at a7fda06 (2022-08-07).
"""

import re

from sagan.peers.shapes import SNGAN_HALVINGS, discriminator_fields, generator_fields
from sagan.peers.tensors import Part, State, Tensors, conditional_norm, prefixed

MARKS = {
    "generator": ("l1.", "block2.c1.", "block2.b1."),
    "discriminator": ("block1.c1.", "block2.c1."),
}
NETWORK = {"g_upsampling": "bilinear", "d_shortcut_relu": True}
PRESET = "best"
ASSUMED = ""

_ATTENTION = {"query": "theta", "key": "phi", "value": "g", "output": "o"}
_G_ATTENTION = {3: 1, 5: 2}  # number of blocks -> the one that attention stands behind
_D_ATTENTION = {4: 1, 6: 1}


def read_generator(tensors: Tensors) -> Part:
    """Read the generator."""
    state = tensors.layer("l1", "linear")
    blocks = _count(tensors, first=2)
    for i in range(blocks):
        theirs, ours = f"block{i + 2}", f"blocks.{i}"
        state |= _convolutions(tensors, theirs, ours)
        for norm in (1, 2):
            state |= _norm(tensors, f"{theirs}.b{norm}", f"{ours}.norm{norm}.norm")
    state |= tensors.batch_norm(f"b{blocks + 2}", "norm")
    state |= tensors.layer(f"c{blocks + 2}", "to_image")
    attention = _behind(tensors, blocks, _G_ATTENTION)
    state |= _attention(tensors, attention)
    return Part(generator_fields(state, attention), state)


def read_discriminator(tensors: Tensors) -> Part:
    """Read the discriminator."""
    state: State = {}
    blocks = _count(tensors, first=1)
    for i in range(blocks):
        state |= _convolutions(tensors, f"block{i + 1}", f"blocks.{i}")
    state |= tensors.layer(f"l{blocks + 1}", "linear")
    if tensors.has("l_y."):
        state |= tensors.layer("l_y", "embedding")
    attention = _behind(tensors, blocks, _D_ATTENTION)
    state |= _attention(tensors, attention)
    fields = discriminator_fields(state, attention, where=tensors.where, halvings=SNGAN_HALVINGS)
    return Part(fields, state)


def _count(tensors: Tensors, *, first: int) -> int:
    numbers = {int(m[1]) for name in tensors.left if (m := re.match(r"block(\d{1,2})\.", name))}
    count = 0
    while first + count in numbers:
        count += 1
    return count


def _convolutions(tensors: Tensors, theirs: str, ours: str) -> State:
    state = tensors.layer(f"{theirs}.c1", f"{ours}.conv1")
    state |= tensors.layer(f"{theirs}.c2", f"{ours}.conv2")
    if tensors.has(f"{theirs}.c_sc."):
        state |= tensors.layer(f"{theirs}.c_sc", f"{ours}.shortcut")
    return state


def _norm(tensors: Tensors, theirs: str, ours: str) -> State:
    if not tensors.has(f"{theirs}.embed."):
        return tensors.batch_norm(theirs, ours)
    table = tensors.table(f"{theirs}.embed")
    if table.shape[1] % 2:
        raise ValueError(f"{tensors.where}: {theirs}.embed is not a gain and a bias for each class")
    gain, bias = table.chunk(2, dim=1)
    return conditional_norm(gain - 1, bias, tensors.statistics(f"{theirs}.bn"), ours)


def _behind(tensors: Tensors, blocks: int, places: dict[int, int]) -> list[int]:
    if not tensors.has("attn_block."):
        return []
    if blocks not in places:
        raise ValueError(f"{tensors.where} has attention in {blocks} blocks: its place is unknown")
    return [places[blocks]]


def _attention(tensors: Tensors, blocks: list[int]) -> State:
    state: State = {}
    for i in blocks:
        names = {ours: f"attn_block.{name}" for ours, name in _ATTENTION.items()}
        state |= prefixed(f"attention.{i}", tensors.attention(names, "attn_block.gamma"))
    return state
