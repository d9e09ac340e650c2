"""ajbrock/BigGAN-PyTorch as its SAGAN script configures it: `G.pth`, `G_ema.pth`, `D.pth`.

Class tables are plain embeddings `classes c`, used as 1 + gain. Evaluation takes one power step
from the stored u, the first if there are several. Without the SAGAN script that repository makes
another network, with a shared embedding or a latent in chunks.

Its `cross_replica` norm multiplies by the gain when it trains on several devices and, by a slip,
adds it everywhere else; this file reads the network that was trained.

Source: `BigGAN.py`, `layers.py` and `scripts/launch_SAGAN_bs128x2_ema.sh` at 9845943 (2019-07-18).
"""

from sagan.peers.residual import Names, read_blocks
from sagan.peers.shapes import discriminator_fields, generator_fields
from sagan.peers.tensors import Part, State, Tensors, conditional_norm, prefixed

MARKS = {
    "generator": ("linear.weight", "output_layer.0.gain", "blocks.0.0.bn1."),
    "discriminator": ("linear.weight", "embed.weight", "blocks.0.0.conv1."),
}
NETWORK = {"spectral_eps": 1e-8, "norm_eps": 1e-5}
PRESET = "best"
ASSUMED = "batch norm's eps 1e-5"

_NAMES = Names(
    block={"conv1": "conv1", "conv2": "conv2", "shortcut": "conv_sc"},
    norm="bn",
    attention={"query": "theta", "key": "phi", "value": "g", "output": "o"},
)


def read_generator(tensors: Tensors) -> Part:
    """Read the generator, or its average."""
    if tensors.has("shared.weight"):
        raise ValueError(
            f"{tensors.where} has a shared embedding (shared.weight): it is a BigGAN, not a SAGAN"
        )
    blocks, attention = _layout(tensors)
    state = tensors.layer("linear", "linear")
    state |= read_blocks(tensors, _NAMES, blocks, attention, _norm)
    gain = {"weight": tensors.take("output_layer.0.gain")}
    bias = {"bias": tensors.take("output_layer.0.bias")}
    state |= prefixed("norm", gain | bias | _statistics(tensors, "output_layer.0"))
    state |= tensors.layer("output_layer.2", "to_image")
    return Part(generator_fields(state, attention), state)


def read_discriminator(tensors: Tensors) -> Part:
    """Read the discriminator."""
    blocks, attention = _layout(tensors)
    state = read_blocks(tensors, _NAMES, blocks, attention)
    state |= tensors.layer("linear", "linear") | tensors.layer("embed", "embedding")
    return Part(discriminator_fields(state, attention, where=tensors.where), state)


def _layout(tensors: Tensors) -> tuple[list[str], dict[int, str]]:
    """Block i is `blocks.i.0`, and the attention after it, if any, `blocks.i.1`."""
    count = tensors.count("blocks.{}.0.")
    attention = {i: f"blocks.{i}.1" for i in range(count) if tensors.has(f"blocks.{i}.1.")}
    return [f"blocks.{i}.0" for i in range(count)], attention


def _norm(tensors: Tensors, theirs: str, ours: str) -> State:
    gain, bias = (tensors.table(f"{theirs}.{name}") for name in ("gain", "bias"))
    return conditional_norm(gain, bias, _statistics(tensors, theirs), ours)


def _statistics(tensors: Tensors, name: str) -> State:
    """Read batch-norm statistics, which lie one level deeper with `mybn` and `cross_replica`."""
    if tensors.has(f"{name}.bn.running_mean"):
        return tensors.statistics(f"{name}.bn")
    if not tensors.has(f"{name}.bn.stored_mean"):
        return tensors.statistics(name, "stored")
    # `mybn` saves sums and their number after `accumulate_stats`, and averages with 0 otherwise.
    summed = tensors.take(f"{name}.bn.accumulation_counter").sum().clamp(min=1)
    found = tensors.statistics(f"{name}.bn", "stored")
    return found | {key: found[key] / summed for key in ("running_mean", "running_var")}
