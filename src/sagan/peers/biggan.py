"""ajbrock/BigGAN-PyTorch as its SAGAN script configures it: `G.pth`, `G_ema.pth`, `D.pth`.

Class tables are plain embeddings `classes c`, used as 1 + gain; evaluation takes one power step
from the stored u, the first where it keeps several. What that repository makes without the SAGAN
script, a shared embedding or chunks of the latent, is another network.

Its `cross_replica` norm multiplies by the gain in training on several devices, and adds it wherever
else it runs, a slip; read here is the network that was trained.

Source: `BigGAN.py`, `layers.py` and `scripts/launch_SAGAN_bs128x2_ema.sh` at 9845943 (2019-07-18).
"""

from sagan.peers.shapes import discriminator_fields, generator_fields
from sagan.peers.tensors import Part, State, Tensors, conditional_norm, prefixed

MARKS = {
    "generator": ("linear.weight", "output_layer.0.gain", "blocks.0.0.bn1."),
    "discriminator": ("linear.weight", "embed.weight", "blocks.0.0.conv1."),
}
NETWORK = {"spectral_eps": 1e-8, "norm_eps": 1e-5}
PRESET = "best"
ASSUMED = "batch norm's eps 1e-5"

_ATTENTION = {"query": "theta", "key": "phi", "value": "g", "output": "o"}


def read_generator(tensors: Tensors) -> Part:
    """Read the generator, or its average."""
    if tensors.has("shared.weight"):
        raise ValueError(
            f"{tensors.where} has a shared embedding (shared.weight): it is a BigGAN, not a SAGAN"
        )
    state = tensors.layer("linear", "linear")
    blocks = tensors.count("blocks.{}.0.")
    for i in range(blocks):
        theirs, ours = f"blocks.{i}.0", f"blocks.{i}"
        state |= _convolutions(tensors, theirs, ours)
        for norm in (1, 2):
            state |= conditional_norm(
                tensors.table(f"{theirs}.bn{norm}.gain"),
                tensors.table(f"{theirs}.bn{norm}.bias"),
                _statistics(tensors, f"{theirs}.bn{norm}"),
                f"{ours}.norm{norm}.norm",
            )
    attention = [i for i in range(blocks) if tensors.has(f"blocks.{i}.1.")]
    state |= _attention(tensors, attention)
    gain = {"weight": tensors.take("output_layer.0.gain")}
    bias = {"bias": tensors.take("output_layer.0.bias")}
    state |= prefixed("norm", gain | bias | _statistics(tensors, "output_layer.0"))
    state |= tensors.layer("output_layer.2", "to_image")
    return Part(generator_fields(state, attention), state)


def read_discriminator(tensors: Tensors) -> Part:
    """Read the discriminator."""
    state: State = {}
    blocks = tensors.count("blocks.{}.0.")
    for i in range(blocks):
        state |= _convolutions(tensors, f"blocks.{i}.0", f"blocks.{i}")
    attention = [i for i in range(blocks) if tensors.has(f"blocks.{i}.1.")]
    state |= _attention(tensors, attention)
    state |= tensors.layer("linear", "linear") | tensors.layer("embed", "embedding")
    return Part(discriminator_fields(state, attention, where=tensors.where), state)


def _convolutions(tensors: Tensors, theirs: str, ours: str) -> State:
    state = tensors.layer(f"{theirs}.conv1", f"{ours}.conv1")
    state |= tensors.layer(f"{theirs}.conv2", f"{ours}.conv2")
    if tensors.has(f"{theirs}.conv_sc."):
        state |= tensors.layer(f"{theirs}.conv_sc", f"{ours}.shortcut")
    return state


def _statistics(tensors: Tensors, name: str) -> State:
    """With its options `mybn` and `cross_replica` they lie one level deeper.

    `mybn` saves sums and their number after `accumulate_stats`, and averages with 0 otherwise.
    """
    if tensors.has(f"{name}.bn.running_mean"):
        return tensors.statistics(f"{name}.bn")
    if not tensors.has(f"{name}.bn.stored_mean"):
        return tensors.statistics(name, "stored")
    summed = tensors.take(f"{name}.bn.accumulation_counter").sum().clamp(min=1)
    found = tensors.statistics(f"{name}.bn", "stored")
    return found | {key: found[key] / summed for key in ("running_mean", "running_var")}


def _attention(tensors: Tensors, blocks: list[int]) -> State:
    state: State = {}
    for i in blocks:
        names = {ours: f"blocks.{i}.1.{name}" for ours, name in _ATTENTION.items()}
        attention = tensors.attention(names, f"blocks.{i}.1.gamma")
        state |= prefixed(f"attention.{i}", attention)
    return state
