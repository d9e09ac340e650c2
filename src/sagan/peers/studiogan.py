"""POSTECH-CVLab/PyTorch-StudioGAN, `backbone: resnet`: `model=G-best-weights-step=N.pth` and so on.

Its ReLUs work in place, so each shortcut of the discriminator but the first sees relu(x). Class
tables are spectrally normalised, linear layers `c classes` today and embeddings `classes c`
(`embed0`, `embed1`) before July 2021; they are used as 1 + gain and are baked here, for ours are
plain. Attention has a block number of its own, which shifts the later ones.

Source: `src/models/resnet.py` and `src/utils/ops.py` at 947b35e (2023-08-06); `src/utils/
model_ops.py` at 3abddac (2021-05-08) for the legacy names.
"""

from sagan.peers.shapes import discriminator_fields, generator_fields
from sagan.peers.tensors import Part, State, Tensors, conditional_norm, prefixed

MARKS = {
    "generator": ("linear0.", "bn4.", "conv2d5."),
    "discriminator": ("linear1.", "blocks.0.0.conv2d1."),
}
NETWORK = {"spectral_eps": 1e-6, "norm_eps": 1e-4, "d_shortcut_relu": True}
PRESET = "best"
ASSUMED = "ReLU"

_ATTENTION = {
    "query": "conv1x1_theta",
    "key": "conv1x1_phi",
    "value": "conv1x1_g",
    "output": "conv1x1_attn",
}
_CONVOLUTIONS = {"shortcut": "conv2d0", "conv1": "conv2d1", "conv2": "conv2d2"}


def read_generator(tensors: Tensors) -> Part:
    """Read the generator, or its average."""
    state = tensors.layer("linear0", "linear")
    state |= tensors.batch_norm("bn4", "norm") | tensors.layer("conv2d5", "to_image")
    attention = []
    block = 0
    for i in range(tensors.count("blocks.{}.0.")):
        theirs = f"blocks.{i}.0"
        if tensors.has(f"{theirs}.sigma"):
            attention.append(block - 1)
            state |= _attention(tensors, theirs, block - 1)
            continue
        state |= _convolutions(tensors, theirs, block)
        for norm in (1, 2):
            state |= _norm(tensors, f"{theirs}.bn{norm}", f"blocks.{block}.norm{norm}.norm")
        block += 1
    return Part(generator_fields(state, attention), state)


def read_discriminator(tensors: Tensors) -> Part:
    """Read the discriminator."""
    state: State = {}
    attention = []
    block = 0
    for i in range(tensors.count("blocks.{}.0.")):
        theirs = f"blocks.{i}.0"
        if tensors.has(f"{theirs}.sigma"):
            attention.append(block - 1)
            state |= _attention(tensors, theirs, block - 1)
        else:
            state |= _convolutions(tensors, theirs, block)
            block += 1
    state |= tensors.layer("linear1", "linear")
    if tensors.has("embedding."):
        state |= tensors.layer("embedding", "embedding")
    return Part(discriminator_fields(state, attention, where=tensors.where), state)


def _convolutions(tensors: Tensors, theirs: str, block: int) -> State:
    state: State = {}
    for ours, name in _CONVOLUTIONS.items():
        if ours != "shortcut" or tensors.has(f"{theirs}.{name}."):
            state |= tensors.layer(f"{theirs}.{name}", f"blocks.{block}.{ours}")
    return state


def _norm(tensors: Tensors, theirs: str, ours: str) -> State:
    if tensors.has(f"{theirs}.running_mean"):
        return tensors.batch_norm(theirs, ours)
    statistics = tensors.statistics(f"{theirs}.bn")
    if tensors.has(f"{theirs}.embed0."):
        gain, bias = (tensors.table(f"{theirs}.embed{i}") for i in (0, 1))
    else:
        gain, bias = (tensors.table(f"{theirs}.{name}").t() for name in ("gain", "bias"))
    return conditional_norm(gain, bias, statistics, ours)


def _attention(tensors: Tensors, theirs: str, block: int) -> State:
    names = {ours: f"{theirs}.{name}" for ours, name in _ATTENTION.items()}
    return prefixed(f"attention.{block}", tensors.attention(names, f"{theirs}.sigma"))
