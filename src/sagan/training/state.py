"""Everything that training changes, saved to a checkpoint and restored.

A checkpoint holds the raw generator and discriminator with their spectral-norm vectors and
batch-norm statistics, the averaged generator, and both Adam states. Random numbers are keyed by
step, so no generator state is saved.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from sagan.config import RunConfig, Runtime
from sagan.errors import CheckpointError
from sagan.models import Discriminator, Generator, build_discriminator, build_generator
from sagan.runs.checkpoint import Checkpoint
from sagan.text import one_line
from sagan.training.augment import Augmentation
from sagan.training.ema import EMA
from sagan.training.engine import Engine
from sagan.training.replay import Replays
from sagan.training.step import Networks


@dataclass
class TrainState:
    """The networks, their average and optimisers, and how far training is."""

    generator: Generator  # the plain modules, for saving and inspecting
    discriminator: Discriminator
    networks: Networks  # the same, wrapped by the engine, for stepping
    ema: EMA[Generator]
    augmentation: Augmentation | None = None
    replays: Replays | None = None  # runs the steps, if they are recorded
    step: int = 0  # generator steps taken
    log_sums: dict[str, Tensor] = field(default_factory=dict)  # since the last log record
    retry: int = 0  # rollbacks so far; each one changes the random numbers

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Both networks by their usual names."""
        return {"G": self.generator, "D": self.discriminator}


def new_state(config: RunConfig, runtime: Runtime, engine: Engine) -> TrainState:
    """Build networks, average and optimisers on the engine's device, at step 0."""
    training = config.training
    generator = build_generator(config.network, seed=training.seed)
    discriminator = build_discriminator(config.network, seed=training.seed)
    _freeze(discriminator, training.freeze_d)  # first: wrapping records what is trained
    layout = torch.channels_last if runtime.channels_last else torch.contiguous_format
    for network in (generator, discriminator):
        network.to(engine.device, memory_format=layout)  # type: ignore[call-overload]
    ema = EMA(generator, decay=training.ema_decay)  # before the networks are compiled or wrapped
    betas = (training.beta1, training.beta2)
    capturable = engine.device.type == "cuda"  # the same arithmetic, but allowed in a CUDA graph
    g_optimizer, d_optimizer = (
        _adam(network, lr, betas, training.gamma_lr, capturable)
        for network, lr in ((generator, training.g_lr), (discriminator, training.d_lr))
    )
    g: nn.Module = generator
    d: nn.Module = discriminator
    if runtime.compile:
        g, d = torch.compile(g), torch.compile(d)  # type: ignore[assignment]
    g, g_optimizer = engine.setup(g, g_optimizer)
    d, d_optimizer = engine.setup(d, d_optimizer)
    networks = Networks(g, d, g_optimizer, d_optimizer)
    augmentation = None
    if training.augment:
        augmentation = Augmentation(
            training.augment,
            p=torch.tensor(training.augment_p, device=engine.device),
            target=training.augment_target,
            ramp_nimg=training.augment_ramp,
        )
    recorded = runtime.cuda_graphs and engine.device.type == "cuda" and engine.world_size == 1
    replays = Replays((generator, discriminator)) if recorded else None
    return TrainState(generator, discriminator, networks, ema, augmentation, replays)


def _adam(
    network: nn.Module, lr: float, betas: tuple[float, float], gamma_lr: float, capturable: bool
) -> torch.optim.Optimizer:
    """An optimiser in whose state parameters stand in the network's order, as in checkpoints."""
    parameters = dict(network.named_parameters())
    given: Any = parameters.values()
    if gamma_lr != 1:
        given = [
            {"params": [parameters[n] for n in names], "lr": lr * (gamma_lr if is_gamma else 1)}
            for is_gamma, names in groupby(parameters, _is_gamma)
        ]
    return torch.optim.Adam(given, lr, betas, fused=True, capturable=capturable)


def _is_gamma(name: str) -> bool:
    return name.startswith("attention.") and name.endswith(".gamma")


def _freeze(discriminator: Discriminator, blocks: int) -> None:
    """Freeze the first blocks and the attention behind them."""
    if blocks > len(discriminator.blocks):
        raise ValueError(
            f"freeze_d must be at most {len(discriminator.blocks)}, the discriminator's blocks, "
            f"not {blocks}"
        )
    for i in range(blocks):
        discriminator.blocks[i].requires_grad_(False)
        if str(i) in discriminator.attention:
            discriminator.attention[str(i)].requires_grad_(False)


def state_tensors(state: TrainState) -> dict[str, dict[str, Tensor]]:
    """The tensors of a checkpoint, by file."""
    return {
        "generator": state.generator.state_dict(),
        "discriminator": state.discriminator.state_dict(),
        "ema": state.ema.network.state_dict(),
        "g_optimizer": _adam_tensors(state.networks.g_optimizer, state.generator),
        "d_optimizer": _adam_tensors(state.networks.d_optimizer, state.discriminator),
    }


def weights_and_gradients(state: TrainState) -> dict[str, dict[str, Tensor]]:
    """Both networks' parameters and last gradients, by what they are called in messages."""
    groups: dict[str, dict[str, Tensor]] = {}
    for name, network in state.modules.items():
        weights: dict[str, Tensor] = dict(network.named_parameters())
        gradients = {key: p.grad for key, p in weights.items() if p.grad is not None}
        groups |= {f"a weight of {name}": weights, f"a gradient of {name}": gradients}
    return groups


def restore(
    state: TrainState,
    checkpoint: Checkpoint,
    files: Mapping[str, Mapping[str, Tensor]] | None = None,
) -> None:
    """Load a checkpoint into a state of the same configuration, in place.

    `files` are its tensors, fitted into larger networks; None takes them as they are.

    After a CheckpointError (a damaged file) the state must not be used.
    """
    files = files or {name: checkpoint.tensors(name) for name in state_tensors(state)}
    try:
        state.generator.load_state_dict(files["generator"])
        state.discriminator.load_state_dict(files["discriminator"])
        state.ema.network.load_state_dict(files["ema"])
        _load_adam(state.networks.g_optimizer, state.generator, files["g_optimizer"])
        _load_adam(state.networks.d_optimizer, state.discriminator, files["d_optimizer"])
    except (RuntimeError, KeyError) as error:  # a name or a shape
        raise CheckpointError(
            f"{checkpoint.path} has other weights than its configuration says: "
            f"{one_line(error, 200)}"
        ) from None
    state.step = checkpoint.step
    state.retry = checkpoint.manifest.get("retry", 0)
    device = next(state.generator.parameters()).device
    state.log_sums = {
        name: torch.tensor(value, device=device)
        for name, value in checkpoint.manifest.get("log_sums", {}).items()
        if math.isfinite(value)  # version 0.1.0 saved NaN too
    }
    kept = checkpoint.manifest.get("augmentation")  # absent in an imported run
    if state.augmentation is not None and kept is not None:
        state.augmentation.p = torch.tensor(kept["p"], device=device)


def _adam_tensors(optimizer: torch.optim.Optimizer, network: nn.Module) -> dict[str, Tensor]:
    states = optimizer.state_dict()["state"]
    names = [name for name, _ in network.named_parameters()]
    return {
        f"{names[index]}.{key}": value
        for index, entries in states.items()
        for key, value in entries.items()
    }


def _load_adam(
    optimizer: torch.optim.Optimizer, network: nn.Module, tensors: Mapping[str, Tensor]
) -> None:
    content = optimizer.state_dict()
    content["state"] = {}
    for index, (name, parameter) in enumerate(network.named_parameters()):
        if f"{name}.step" not in tensors:
            continue
        entries = {"step": tensors[f"{name}.step"]}
        for key in ("exp_avg", "exp_avg_sq"):
            # in the parameter's memory order: the fused kernel pairs elements by address, and
            # would update channels-last weights with other weights' moments
            entries[key] = torch.empty_like(parameter).copy_(tensors[f"{name}.{key}"])
        content["state"][index] = entries
    optimizer.load_state_dict(content)
