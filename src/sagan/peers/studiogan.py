"""POSTECH-CVLab/PyTorch-StudioGAN, `backbone: resnet`: `model=G-best-weights-step=N.pth` and so on.

Its ReLUs work in place, so each shortcut of the discriminator but the first sees relu(x). Class
tables are spectrally normalised and used as 1 + gain: linear layers `c classes` today, embeddings
`classes c` (`embed0`, `embed1`) before July 2021. They are baked here, because ours are plain.
Attention layers are numbered among the blocks.

Source: `src/models/resnet.py` and `src/utils/ops.py` at 947b35e (2023-08-06); `src/utils/
model_ops.py` at 3abddac (2021-05-08) for the legacy names.
"""

from sagan.peers.residual import Names, in_one_list, read_blocks
from sagan.peers.shapes import discriminator_fields, generator_fields
from sagan.peers.tensors import Part, State, Tensors, conditional_norm

MARKS = {
    "generator": ("linear0.", "bn4.", "conv2d5."),
    "discriminator": ("linear1.", "blocks.0.0.conv2d1."),
}
NETWORK = {"spectral_eps": 1e-6, "norm_eps": 1e-4, "d_shortcut_relu": True}
PRESET = "best"
ASSUMED = "ReLU"

_NAMES = Names(
    block={"shortcut": "conv2d0", "conv1": "conv2d1", "conv2": "conv2d2"},
    norm="bn",
    attention={
        "query": "conv1x1_theta",
        "key": "conv1x1_phi",
        "value": "conv1x1_g",
        "output": "conv1x1_attn",
    },
    gamma="sigma",
)


def read_generator(tensors: Tensors) -> Part:
    """Read the generator, or its average."""
    blocks, attention = in_one_list(tensors, "blocks.{}.0", _NAMES)
    state = tensors.layer("linear0", "linear")
    state |= read_blocks(tensors, _NAMES, blocks, attention, _norm)
    state |= tensors.batch_norm("bn4", "norm") | tensors.layer("conv2d5", "to_image")
    return Part(generator_fields(state, attention), state)


def read_discriminator(tensors: Tensors) -> Part:
    """Read the discriminator."""
    blocks, attention = in_one_list(tensors, "blocks.{}.0", _NAMES)
    state = read_blocks(tensors, _NAMES, blocks, attention)
    state |= tensors.layer("linear1", "linear")
    if tensors.has("embedding."):
        state |= tensors.layer("embedding", "embedding")
    return Part(discriminator_fields(state, attention, where=tensors.where), state)


def _norm(tensors: Tensors, theirs: str, ours: str) -> State:
    if tensors.has(f"{theirs}.running_mean"):
        return tensors.batch_norm(theirs, ours)
    statistics = tensors.statistics(f"{theirs}.bn")
    if tensors.has(f"{theirs}.embed0."):
        gain, bias = (tensors.table(f"{theirs}.embed{i}") for i in (0, 1))
    else:
        gain, bias = (tensors.table(f"{theirs}.{name}").t() for name in ("gain", "bias"))
    return conditional_norm(gain, bias, statistics, ours)
