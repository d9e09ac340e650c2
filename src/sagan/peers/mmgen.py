"""open-mmlab/mmgeneration: one file with `generator.`, `discriminator.` and `generator_ema.`.

What the weights do not tell is read from the configuration, kept as text in the file's `meta`. If
it is missing, the published values are assumed: ReLU not in place, gain 1 + embedding, batch norm's
eps 1e-4. Class tables are embeddings, spectrally normalised unless configured as BigGAN-PyTorch,
and are baked here. Images are in BGR order and turned to RGB here, except in the published files
converted from StudioGAN's, which say so in their name: those are RGB, with ReLU in place.

Source: `mmgen/models/architectures/sngan_proj/` and `biggan/modules.py` at ccd1f56 (2023-04-14),
and `mmcv/cnn/bricks/conv_module.py` of mmcv 1.x at 1d8f928 for the inner names.
"""

import re
from functools import partial

from sagan.peers.residual import Names, in_one_list, read_blocks
from sagan.peers.shapes import SNGAN_HALVINGS, discriminator_fields, generator_fields
from sagan.peers.tensors import Part, State, Tensors, conditional_norm

MARKS = {
    "generator": ("noise2feat.", "conv_blocks.0.", "to_rgb."),
    "discriminator": ("from_rgb.", "conv_blocks.0.", "decision."),
}
NETWORK = {"spectral_eps": 1e-12, "norm_eps": 1e-4}
PRESET = "best"
ASSUMED = (
    "channels in BGR order unless converted from StudioGAN; and where a file lacks its "
    "configuration, batch norm's eps 1e-4, ReLU not in place, gains of 1 + embedding"
)

_NAMES = Names(
    block={"conv1": "conv_1.conv", "conv2": "conv_2.conv", "shortcut": "shortcut.conv"},
    norm="norm_",
    attention={"query": "theta.conv", "key": "phi.conv", "value": "g.conv", "output": "o.conv"},
)
_CONVERTED = "convert-studio-rgb"  # in the names of files converted from StudioGAN's
# What the configuration says, in its text.
_GAIN_ITSELF = r"init_cfg\s*=\s*dict\(\s*type\s*=\s*['\"](sngan|sngan-proj|gan-proj|sagan)['\"]"
_IN_PLACE = r"type\s*=\s*['\"]ReLU['\"]\s*,\s*inplace\s*=\s*True"
_NUMBER = r"\b{}\s*=\s*([\d.]+(?:[eE]-?\d+)?)"
_NUMBERS = {"norm_eps": "norm_eps", "spectral_eps": "sn_eps"}  # ours -> theirs


def read_generator(tensors: Tensors) -> Part:
    """Read the generator, or its average."""
    offset = 1.0 if re.search(_GAIN_ITSELF, tensors.notes, re.IGNORECASE) else 0.0
    blocks, attention = in_one_list(tensors, "conv_blocks.{}", _NAMES)
    state = tensors.layer("noise2feat", "linear")
    state |= read_blocks(tensors, _NAMES, blocks, attention, partial(_norm, offset=offset))
    state |= tensors.batch_norm("to_rgb.bn", "norm")
    image = tensors.layer("to_rgb.conv", "to_image")
    state |= image if _CONVERTED in tensors.where else _rows_reversed(image)
    told = {ours: re.search(_NUMBER.format(name), tensors.notes) for ours, name in _NUMBERS.items()}
    constants = {ours: float(match[1]) for ours, match in told.items() if match}
    return Part(generator_fields(state, attention) | constants, state)


def read_discriminator(tensors: Tensors) -> Part:
    """Read the discriminator."""
    blocks, attention = in_one_list(tensors, "conv_blocks.{}", _NAMES, before=["from_rgb"])
    state = read_blocks(tensors, _NAMES, blocks, attention)
    converted = _CONVERTED in tensors.where
    for layer in () if converted else ("conv1", "shortcut"):
        state |= _inputs_reversed(state, f"blocks.0.{layer}")
    state |= tensors.layer("decision", "linear")
    if tensors.has("proj_y."):
        state |= tensors.layer("proj_y", "embedding")
    fields = discriminator_fields(state, attention, where=tensors.where, halvings=SNGAN_HALVINGS)
    in_place = converted or re.search(_IN_PLACE, tensors.notes) is not None
    return Part(fields | {"d_shortcut_relu": in_place}, state)


def _norm(tensors: Tensors, theirs: str, ours: str, *, offset: float) -> State:
    if not tensors.has(f"{theirs}.weight_embedding."):
        return tensors.batch_norm(f"{theirs}.norm", ours)
    gain = tensors.table(f"{theirs}.weight_embedding") - offset
    bias = tensors.table(f"{theirs}.bias_embedding")
    return conditional_norm(gain, bias, tensors.statistics(f"{theirs}.norm"), ours)


def _rows_reversed(state: State) -> State:
    """Reverse a layer's output channels; v belongs to its inputs."""
    return {key: t if key.endswith(".v") else t.flip(0) for key, t in state.items()}


def _inputs_reversed(state: State, layer: str) -> State:
    """Reverse a convolution's input channels, in v too, which runs over `c kh kw`."""
    changed: State = {}
    for weight in (f"{layer}.layer.weight", f"{layer}.weight"):  # with spectral norm, and without
        if weight in state:
            changed[weight] = state[weight].flip(1)
            if (v := state.get(f"{layer}.v")) is not None:
                by_channel = v.unflatten(0, (state[weight].shape[1], -1))
                changed[f"{layer}.v"] = by_channel.flip(0).flatten()
    return changed
