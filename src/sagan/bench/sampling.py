"""Sampling: a generator's forward pass, literal, as trained, folded, and in ONNX Runtime."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from sagan.bench.harness import Candidate, Comparison, Scale
from sagan.bench.literal import LiteralForm, LiteralGenerator
from sagan.config import NetworkConfig, RunConfig
from sagan.config.presets import preset
from sagan.exchange.onnx import OnnxGenerator, onnx_bytes
from sagan.models import build_generator, fold
from sagan.sharing.facts import Facts

# preset, side in pixels, batch
_SIZES: dict[Scale, list[tuple[str, int, int]]] = {
    "tiny": [("article", 32, 2), ("paper", 8, 2)],
    "quick": [("article", 64, 16)],
    "full": [
        ("digits", 8, 64),
        *(("article", 64, batch) for batch in (1, 16, 64)),
        *(("small", 64, batch) for batch in (1, 16)),
        ("cifar", 32, 16),
        ("paper", 64, 4),
        ("paper", 128, 2),
    ],
}
_TINY_WIDTH = 8


def sampling_case(scale: Scale) -> list[Comparison]:
    """Generators of several presets and batches."""
    return [_comparison(*size, tiny=scale == "tiny") for size in _SIZES[scale]]


def _comparison(name: str, side: int, batch: int, *, tiny: bool) -> Comparison:
    network, _ = preset(name, side)
    if tiny:
        network = replace(network, g_width=_TINY_WIDTH)
    if network.family == "resnet":
        network = replace(network, classes=10)

    def literal() -> nn.Module:
        if network.family == "dcgan":
            return LiteralGenerator(network)
        return LiteralForm(build_generator(network))

    def channels_last() -> nn.Module:
        generator: nn.Module = build_generator(network)
        return generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def in_onnx_runtime() -> OnnxGenerator:
        facts = Facts(RunConfig(network=network), 0, "raw")
        return OnnxGenerator(onnx_bytes(build_generator(network), facts), "the benchmark's model")

    ways: dict[str, Callable[[], Callable[..., Tensor]]] = {
        "literal": literal,
        "sagan": channels_last,
        "sagan folded": lambda: fold(build_generator(network)),
    }
    if all(importlib.util.find_spec(name) for name in ("onnxruntime", "onnxscript")):
        ways["onnx runtime"] = in_onnx_runtime

    def candidate(way: str) -> Candidate:
        return Candidate(name=way, prepare=lambda: _forward(ways[way](), network, batch))

    return Comparison(
        label=f"{name} {side} px b={batch}",
        candidates=[candidate(way) for way in ways],
        parameters={"preset": name, "side": side, "batch": batch},
        items=batch,
    )


def _forward(
    generator: Callable[..., Tensor], network: NetworkConfig, batch: int
) -> Callable[[], object]:
    if isinstance(generator, nn.Module):
        generator.eval()
    draw = torch.Generator().manual_seed(0)
    inputs: list[Tensor] = [torch.randn(batch, network.latent_dim, generator=draw)]
    if network.classes:
        inputs.append(torch.randint(network.classes, (batch,), generator=draw))

    @torch.no_grad()
    def call() -> object:
        return generator(*inputs)

    return call
