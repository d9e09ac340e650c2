"""Estimate the parameters, FLOP and memory of training a configuration.

The networks are built and run on PyTorch's `meta` device, which has shapes but no data, so nothing
is allocated. FLOP are counted as in the literature: 2 per multiply-add, matrix products and
convolutions only. On `meta` attention runs as plain matrix products, which are counted like any
others; if the real device uses a fused kernel, the map's memory is subtracted again.
"""

import time
from collections.abc import Callable, Set
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sagan.config import NetworkConfig, Precision, TrainingConfig
from sagan.config.channels import BlockShape, discriminator_blocks, generator_blocks
from sagan.config.network import WITH_MAPS
from sagan.models import Discriminator, Generator, build_discriminator, build_generator
from sagan.nn.attention_kernels import attention_path

_FLOAT_BYTES = 4
_MANY = 64  # images in a batch: in small ones a network may compute the same in another way
# A wgan-gp step adds a forward pass over mixtures, its gradient with respect to them, and the
# backward pass through both; counted in forward passes.
_PENALTY_PASSES = 6


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What one configuration costs to train."""

    g_parameters: int
    d_parameters: int
    g_flop: int  # of one image's forward pass
    d_flop: int
    train_flop: int  # per real image, including its share of the generator steps
    state_bytes: int  # weights, gradients, both Adam moments and the averaged generator
    activation_bytes: int  # kept by the larger step for its backward pass over a micro-batch
    working_bytes: int  # temporary: gradients of the largest tensor

    @property
    def peak_bytes(self) -> int:
        """Peak memory of training on its device, without data and program."""
        return self.state_bytes + self.activation_bytes + self.working_bytes


def estimate(
    network: NetworkConfig, training: TrainingConfig, *, device_type: str = "cpu"
) -> Estimate:
    """Estimate parameters, FLOP and peak memory of training, in a few seconds."""
    # A training image costs as much as 4 G + 8 D forward passes with one discriminator step per
    # generator step; with k of them, (1 + 3/k) G + (6 + 2/k) D. Memory is that of one process's
    # micro-batch; bf16 is assumed to halve what is kept for the backward pass. The device type
    # decides which attention stores its map.
    with torch.device("meta"):
        G, D = build_generator(network), build_discriminator(network)
    g_flop, d_flop = _forward_flop(G, D, network)
    d_passes = 6 + (_PENALTY_PASSES if training.loss == "wgan-gp" else 0)
    steps = training.d_steps
    activation_bytes, working_bytes = _step_bytes(G, D, network, training, device_type)
    return Estimate(
        g_parameters=_count(G),
        d_parameters=_count(D),
        g_flop=g_flop,
        d_flop=d_flop,
        train_flop=g_flop * (steps + 3) // steps + d_flop * (d_passes * steps + 2) // steps,
        state_bytes=_state_bytes(G, D),
        activation_bytes=activation_bytes,
        working_bytes=working_bytes,
    )


def estimate_peak_bytes(
    network: NetworkConfig, training: TrainingConfig, *, device_type: str = "cpu"
) -> int:
    """`estimate(...).peak_bytes` alone, in a fraction of a second.

    Example:
        >>> digits = NetworkConfig(resolution=8, channels=1, classes=10, g_width=8, d_width=8)
        >>> training = TrainingConfig(batch_size=64)
        >>> estimate_peak_bytes(digits, training) == estimate(digits, training).peak_bytes
        True
    """
    with torch.device("meta"):
        G, D = build_generator(network), build_discriminator(network)
    return _state_bytes(G, D) + sum(_step_bytes(G, D, network, training, device_type))


def measure_flop_per_sec(
    device: str = "cpu", *, seconds: float = 0.3, precision: Precision = "float32"
) -> float:
    """Measure the rate of a matrix product here, an upper bound for any training step.

    Example:
        >>> measure_flop_per_sec(seconds=0.01) > 1e6
        True
    """
    side = 8192 if device == "cuda" else 1024  # less would not fill a GPU
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    matrix = torch.rand(side, side, device=device, dtype=dtype)
    set_before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        float((matrix @ matrix)[0, 0])  # warm up
        done, start = 0, time.perf_counter()
        while not done or time.perf_counter() - start < seconds:
            float((matrix @ matrix)[0, 0])  # waits for the device
            done += 1
        return done * 2 * side**3 / (time.perf_counter() - start)
    finally:
        torch.set_float32_matmul_precision(set_before)


def _count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _forward_flop(G: Generator, D: Discriminator, network: NetworkConfig) -> tuple[int, int]:
    """Count the forward passes of one more image, so that work per batch (sigma) cancels."""
    counts = []
    meta = torch.device("meta")
    for batch in (_MANY, _MANY + 1):
        labels = _labels(network, batch, meta)
        with torch.no_grad(), FlopCounterMode(display=False) as g_counter:
            images = G(torch.zeros(batch, network.latent_dim, device=meta), labels)
        with torch.no_grad(), FlopCounterMode(display=False) as d_counter:
            D(images, labels)
        counts.append((g_counter.get_total_flops(), d_counter.get_total_flops()))
    (g_many, d_many), (g_more, d_more) = counts
    return g_more - g_many, d_more - d_many


def _state_bytes(G: nn.Module, D: nn.Module) -> int:
    """Weights, gradients and two moments of both networks; the averaged G; all buffers."""
    buffers = sum(b.numel() * b.element_size() for n in (G, D, G) for b in n.buffers())
    return _FLOAT_BYTES * (4 * (_count(G) + _count(D)) + _count(G)) + buffers


def _step_bytes(
    G: Generator, D: Discriminator, network: NetworkConfig, training: TrainingConfig, device: str
) -> tuple[int, int]:
    """The bytes that the larger of the two steps keeps, and its temporary ones."""
    batch = training.batch_size // training.accumulate
    d_fused = _fused_maps(discriminator_blocks(network), network, device)
    g_fused = _fused_maps(generator_blocks(network), network, device)
    steps: list[tuple[Callable[[], Tensor], list[_FusedMap], int]] = [
        (lambda: discriminator_pass(D, batch), d_fused, 2 * batch),
        (lambda: generator_pass(G, D, batch), g_fused + d_fused, batch),
    ]
    costs = []
    for forward, fused, images in steps:
        total, largest = stored_bytes(forward, (G, D), without={(a.n, a.m) for a in fused})
        instead = images * sum(a.kept_bytes for a in fused)
        costs.append((total + instead, 2 * largest))  # its gradients: out and in
    if training.loss == "wgan-gp":  # second derivatives need every map
        with_penalty, largest = stored_bytes(
            lambda: discriminator_pass(D, batch, penalised=True), (G, D)
        )
        without, _ = stored_bytes(lambda: discriminator_pass(D, batch), (G, D))
        costs[0] = costs[0][0] + with_penalty - without, 2 * largest
    halved = 2 if training.precision == "bf16" else 1
    kept, working = max(costs)
    return kept // halved, working // halved


def discriminator_pass(D: Discriminator, batch: int, *, penalised: bool = False) -> Tensor:
    """The forward pass of a discriminator step with b real and b fake images, all blank."""
    network, device = D.config, next(D.parameters()).device
    side = network.resolution
    images = torch.zeros(2 * batch, network.channels, side, side, device=device)
    total: Tensor = D(images, _labels(network, 2 * batch, device)).sum()
    if penalised:
        mixtures = images[:batch].requires_grad_()
        logits = D(mixtures, _labels(network, batch, device))
        (gradient,) = torch.autograd.grad(logits.sum(), mixtures, create_graph=True)
        total = total + ((gradient.flatten(1).norm(dim=1) - 1) ** 2).sum()
    return total


def generator_pass(G: Generator, D: Discriminator, batch: int) -> Tensor:
    """The forward pass of a generator step with b images, D frozen, from zero latents."""
    network, device = G.config, next(G.parameters()).device
    labels = _labels(network, batch, device)
    D.requires_grad_(False)
    logits = D(G(torch.zeros(batch, network.latent_dim, device=device), labels), labels)
    D.requires_grad_(True)
    return logits.sum()


def stored_bytes(
    forward: Callable[[], Tensor],
    networks: tuple[nn.Module, ...],
    *,
    without: Set[tuple[int, int]] = frozenset(),
) -> tuple[int, int]:
    """Bytes that a forward pass keeps for the backward pass, in total and in the largest tensor."""
    # each storage counts once; weights and buffers of the networks do not count, nor do attention
    # maps whose size n, m is in `without`
    storages: dict[int, torch.UntypedStorage] = {}  # held, so that no address is reused

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        of_a_map = tensor.shape[-2:]
        if of_a_map in without and tensor.numel() == len(tensor) * of_a_map.numel():
            return tensor  # b n m, or b 1 n m
        storages[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        forward()
    for network in networks:
        for weight in (*network.parameters(), *network.buffers()):
            storages.pop(weight.untyped_storage()._cdata, None)
    sizes = [storage.nbytes() for storage in storages.values()]
    return sum(sizes), max(sizes)


def _labels(network: NetworkConfig, batch: int, device: torch.device) -> Tensor | None:
    return torch.zeros(batch, dtype=torch.int64, device=device) if network.classes else None


@dataclass(frozen=True)
class _FusedMap:
    """An attention layer whose map of n queries and m keys is never stored."""

    n: int
    m: int
    kept_bytes: int  # per image, instead: a fused kernel's output and each row's normaliser


def _fused_maps(
    shapes: list[BlockShape], network: NetworkConfig, device_type: str
) -> list[_FusedMap]:
    found = []
    if network.attention_form not in WITH_MAPS:
        return []
    paper = network.attention_form == "paper"
    for shape in shapes:
        n = shape.size_px**2
        m = n // 4 if paper else n
        path = attention_path(n, m, device_type)
        if shape.attention and path != "plain":
            d = shape.c_out // (2 if paper else 1)
            numbers = n * d + n if path == "fused" else 0  # recomputed: its inputs suffice
            found.append(_FusedMap(n, m, _FLOAT_BYTES * numbers))
    return found
