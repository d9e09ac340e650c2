"""open-mmlab/mmgeneration: one file with `generator.`, `discriminator.` and `generator_ema.`.

The file's `meta` holds its configuration as text; what weights do not tell is read there if it is
there, and otherwise taken as published: ReLU not in place, gain 1 + embedding, batch norm's eps
1e-4. Class tables are embeddings, spectrally normalised unless it was configured as BigGAN-PyTorch,
and are baked here. Images are in BGR order, turned to RGB here;
but the published files that were converted from StudioGAN's, and say so in their name, are in RGB
order and of networks with ReLU in place.

Source: `mmgen/models/architectures/sngan_proj/` and `biggan/modules.py` at ccd1f56 (2023-04-14),
and `mmcv/cnn/bricks/conv_module.py` of mmcv 1.x at 1d8f928 for the inner names.
"""

import re

from torch import Tensor

from sagan.peers.shapes import SNGAN_HALVINGS, discriminator_fields, generator_fields
from sagan.peers.tensors import Part, State, Tensors, conditional_norm, prefixed

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

_ATTENTION = {"query": "theta.conv", "key": "phi.conv", "value": "g.conv", "output": "o.conv"}
_GAIN_ITSELF = r"init_cfg\s*=\s*dict\(\s*type\s*=\s*['\"](sngan|sngan-proj|gan-proj|sagan)['\"]"
_NUMBER = r"\b{}\s*=\s*([\d.]+(?:[eE]-?\d+)?)"
_TOLD = {"norm_eps": "norm_eps", "spectral_eps": "sn_eps"}  # ours -> theirs
_CONVERTED = "convert-studio-rgb"  # in the names of such files
_IN_PLACE = r"type\s*=\s*['\"]ReLU['\"]\s*,\s*inplace\s*=\s*True"


def read_generator(tensors: Tensors) -> Part:
    """Read the generator, or its average."""
    offset = 1.0 if re.search(_GAIN_ITSELF, tensors.notes, re.IGNORECASE) else 0.0
    state = tensors.layer("noise2feat", "linear")
    attention = []
    block = 0
    for i in range(tensors.count("conv_blocks.{}.")):
        theirs = f"conv_blocks.{i}"
        if tensors.has(f"{theirs}.gamma"):
            attention.append(block - 1)
            state |= _attention(tensors, theirs, block - 1)
            continue
        state |= _convolutions(tensors, theirs, f"blocks.{block}")
        for norm in (1, 2):
            ours = f"blocks.{block}.norm{norm}.norm"
            state |= _norm(tensors, f"{theirs}.norm_{norm}", ours, offset)
        block += 1
    state |= tensors.batch_norm("to_rgb.bn", "norm")
    image = tensors.layer("to_rgb.conv", "to_image")
    state |= image if _CONVERTED in tensors.where else _rows_reversed(image)
    told = {ours: re.search(_NUMBER.format(name), tensors.notes) for ours, name in _TOLD.items()}
    constants = {ours: float(match[1]) for ours, match in told.items() if match}
    return Part(generator_fields(state, attention) | constants, state)


def read_discriminator(tensors: Tensors) -> Part:
    """Read the discriminator."""
    state = _convolutions(tensors, "from_rgb", "blocks.0")
    converted = _CONVERTED in tensors.where
    for layer in () if converted else ("conv1", "shortcut"):
        state |= _inputs_reversed(state, f"blocks.0.{layer}")
    attention = []
    block = 1
    for i in range(tensors.count("conv_blocks.{}.")):
        theirs = f"conv_blocks.{i}"
        if tensors.has(f"{theirs}.gamma"):
            attention.append(block - 1)
            state |= _attention(tensors, theirs, block - 1)
        else:
            state |= _convolutions(tensors, theirs, f"blocks.{block}")
            block += 1
    state |= tensors.layer("decision", "linear")
    if tensors.has("proj_y."):
        state |= tensors.layer("proj_y", "embedding")
    fields = discriminator_fields(state, attention, where=tensors.where, halvings=SNGAN_HALVINGS)
    in_place = converted or re.search(_IN_PLACE, tensors.notes) is not None
    return Part(fields | {"d_shortcut_relu": in_place}, state)


def _convolutions(tensors: Tensors, theirs: str, ours: str) -> State:
    state = tensors.layer(f"{theirs}.conv_1.conv", f"{ours}.conv1")
    state |= tensors.layer(f"{theirs}.conv_2.conv", f"{ours}.conv2")
    if tensors.has(f"{theirs}.shortcut."):
        state |= tensors.layer(f"{theirs}.shortcut.conv", f"{ours}.shortcut")
    return state


def _norm(tensors: Tensors, theirs: str, ours: str, offset: float) -> State:
    if not tensors.has(f"{theirs}.weight_embedding."):
        return tensors.batch_norm(f"{theirs}.norm", ours)
    gain = tensors.table(f"{theirs}.weight_embedding") - offset
    bias = tensors.table(f"{theirs}.bias_embedding")
    return conditional_norm(gain, bias, tensors.statistics(f"{theirs}.norm"), ours)


def _attention(tensors: Tensors, theirs: str, block: int) -> State:
    names = {ours: f"{theirs}.{name}" for ours, name in _ATTENTION.items()}
    return prefixed(f"attention.{block}", tensors.attention(names, f"{theirs}.gamma"))


def _rows_reversed(state: State) -> State:
    """Turn the output channels of a layer around; v belongs to its inputs."""
    return {key: t if key.endswith(".v") else t.flip(0) for key, t in state.items()}


def _inputs_reversed(state: State, layer: str) -> State:
    """Turn the input channels of a convolution around, in v too, which runs over `c kh kw`."""

    def turned(key: str, tensor: Tensor) -> Tensor:
        if key.endswith(".weight"):
            return tensor.flip(1)
        pixels = tensor.numel() // channels
        grid: Tensor = tensor.unflatten(0, (channels, pixels))
        return grid.flip(0).flatten()

    weight = next(
        key for key in state if re.fullmatch(rf"{re.escape(layer)}(\.layer)?\.weight", key)
    )
    channels = state[weight].shape[1]
    keys = [key for key in (weight, f"{layer}.v") if key in state]
    return {key: turned(key, state[key]) for key in keys}
