"""A whole training step (one of D, one of G, the average): ours against the quoted loop.

Both see the same images in memory; neither loads data.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from sagan.bench.harness import Candidate, Comparison, Scale
from sagan.bench.literal import (
    LiteralDiscriminator,
    LiteralForm,
    LiteralGenerator,
    literal_optimizers,
    literal_step,
)
from sagan.config import NetworkConfig, RunConfig, Runtime, TrainingConfig
from sagan.config.presets import preset
from sagan.models import build_discriminator, build_generator
from sagan.models.estimate import estimate
from sagan.training.engine import Engine
from sagan.training.state import new_state
from sagan.training.step import DiscriminatorBatch, GeneratorBatch
from sagan.training.update import run_d_step, run_g_step

# preset, side in pixels, batch
_SIZES: dict[Scale, list[tuple[str, int, int]]] = {
    "tiny": [("article", 32, 2), ("paper", 8, 2)],
    "quick": [("article", 64, 16)],
    "full": [
        *(("article", 64, batch) for batch in (64, 32, 16)),
        ("article", 32, 16),
        ("cifar", 32, 16),
        ("small", 64, 16),
        ("small", 128, 4),
    ],
}
_TINY_WIDTH = 8


def step_case(scale: Scale) -> list[Comparison]:
    """Training steps of several networks, batches and resolutions."""
    return [_comparison(*size, tiny=scale == "tiny") for size in _SIZES[scale]]


def _comparison(name: str, side: int, batch: int, *, tiny: bool) -> Comparison:
    network, training = preset(name, side)
    training = replace(training, batch_size=batch, d_steps=1)
    if tiny:
        network = replace(network, g_width=_TINY_WIDTH, d_width=_TINY_WIDTH)
    if network.family == "resnet":
        network = replace(network, classes=10)
    return Comparison(
        label=f"{name} {side} px b={batch}",
        candidates=[
            Candidate(name="literal", prepare=lambda: _literal(network, training)),
            Candidate(name="sagan", prepare=lambda: training_step(network, training)),
        ],
        parameters={"preset": name, "side": side, "batch": batch},
        items=batch,
        flop=batch * estimate(network, training).train_flop,
        memory=True,
    )


def _draws(network: NetworkConfig, batch: int) -> tuple[list[Tensor], list[Tensor]]:
    """Images and two batches of latents; and labels for each, if there are classes."""
    draw = torch.Generator().manual_seed(0)
    side = network.resolution
    images = torch.rand(batch, network.channels, side, side, generator=draw) * 2 - 1
    latents = [torch.randn(batch, network.latent_dim, generator=draw) for _ in range(2)]
    labels = []
    if network.classes:
        labels = [torch.randint(network.classes, (batch,), generator=draw) for _ in range(3)]
    return [images, *latents], labels


def _literal(network: NetworkConfig, training: TrainingConfig) -> Callable[[], object]:
    if network.family == "dcgan":
        G: nn.Module = LiteralGenerator(network)
        D: nn.Module = LiteralDiscriminator(network)
    else:
        G, D = LiteralForm(build_generator(network)), LiteralForm(build_discriminator(network))
    optimizers = literal_optimizers(G, D, training)
    tensors, labels = _draws(network, training.batch_size)
    batches: list[tuple[Tensor, ...]] = [(tensor,) for tensor in tensors]
    if labels:
        batches = list(zip(tensors, labels, strict=True))
    return lambda: literal_step(G, D, optimizers, *batches)


def training_step(
    network: NetworkConfig, training: TrainingConfig, runtime: Runtime | None = None
) -> Callable[[], object]:
    """Build both networks; return a call that steps both and the average, and synchronises.

    Without augmentation, which the literal form lacks.
    """
    # if a launcher started several processes, each takes a batch of its own
    runtime = runtime or Runtime(device="cpu")
    training = replace(training, augment=())
    engine = Engine(runtime, training.precision)
    engine.launch()
    state = new_state(RunConfig(network=network, training=training), runtime, engine)
    (images, d_latents, g_latents), labels = _draws(network, training.batch_size)
    images, d_latents, g_latents = (
        tensor.to(engine.device) for tensor in (images, d_latents, g_latents)
    )
    labels = [tensor.to(engine.device) for tensor in labels]
    real_labels, d_labels, g_labels = labels or (None, None, None)
    d_batches = [DiscriminatorBatch(images, real_labels, d_latents, d_labels, torch.empty(0))]
    g_batches = [GeneratorBatch(g_latents, g_labels)]

    def call() -> object:
        numbers = run_d_step(state, training, engine, d_batches)
        numbers |= run_g_step(state, training, engine, g_batches)
        state.ema.update(state.generator)
        if engine.device.type == "cuda":
            torch.cuda.synchronize()
        return numbers

    return call
