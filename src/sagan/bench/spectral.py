"""Spectral norm: its work in one training step, compared with the whole step."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from sagan.bench.harness import Candidate, Comparison, Scale
from sagan.bench.steps import training_step
from sagan.config import NetworkConfig, TrainingConfig
from sagan.config.presets import preset
from sagan.models import build_discriminator, build_generator
from sagan.nn import SpectralNorm, power_iteration

# preset, side in pixels, batch
_SIZES: dict[Scale, list[tuple[str, int, int]]] = {
    "tiny": [("digits", 8, 2)],
    "quick": [("digits", 8, 64)],
    "full": [("digits", 8, 64), ("article", 64, 64), ("small", 64, 32)],
}


def spectral_case(scale: Scale) -> list[Comparison]:
    """Whole steps, and their spectral norms alone: a speed-up of 33 means 3 % of the step."""
    return [_comparison(*size) for size in _SIZES[scale]]


def _comparison(name: str, side: int, batch: int) -> Comparison:
    network, training = preset(name, side)
    training = replace(training, batch_size=batch, d_steps=1)
    if network.family == "resnet":
        network = replace(network, classes=10)
    return Comparison(
        label=f"{name} {side} px b={batch}",
        candidates=[
            Candidate(name="whole step", prepare=lambda: training_step(network, training)),
            Candidate(name="its spectral norms", prepare=lambda: _norms_of(network, training)),
            Candidate(name="by the formula", prepare=lambda: _norms_of(network, training, True)),
        ],
        parameters={"preset": name, "side": side, "batch": batch},
    )


def _norms_of(
    network: NetworkConfig, training: TrainingConfig, formula: bool = False
) -> Callable[[], object]:
    """The spectral norms' work in one `d_step` and one `g_step`."""
    # a power step for each network, and two divisions: for G without and with gradient, for D with
    # gradient and with frozen weights
    networks: list[nn.Module] = [build_generator(network), build_discriminator(network)]
    found = []
    for each in networks:
        each.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        layers = [m for m in each.modules() if isinstance(m, SpectralNorm)]
        weights = [layer.layer.weight for layer in layers]
        found.append((layers, weights, [torch.randn_like(w) for w in weights]))  # type: ignore[arg-type]

    def divided(layer: SpectralNorm) -> torch.Tensor:
        if formula:
            weight: torch.Tensor = layer.layer.weight  # type: ignore[assignment]
            return weight / layer.sigma()
        return layer.normalized_weight()

    def call() -> None:
        for each, (layers, weights, gradients) in zip(networks, found, strict=True):
            power_iteration(each)
            with torch.no_grad():
                for layer in layers:
                    divided(layer)
            torch.autograd.grad([divided(layer) for layer in layers], weights, gradients)  # type: ignore[arg-type]

    return call
