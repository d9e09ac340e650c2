"""One training step: discriminator, generator, average and adaptive augmentation."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sagan.config import TrainingConfig
from sagan.training.augment import UPDATE_STEPS
from sagan.training.batches import BatchSource
from sagan.training.engine import Engine
from sagan.training.replay import Batches, Step
from sagan.training.state import TrainState
from sagan.training.step import (
    DiscriminatorBatch,
    GeneratorBatch,
    HeldOutBatch,
    add_to_sums,
    d_step,
    g_step,
)

_ADAPTS_TO = "real_logits", "held_out_logits", "fake_logits"  # in the order of `adapt`


def train_step(
    state: TrainState, batches: BatchSource, training: TrainingConfig, engine: Engine, images: int
) -> None:
    """Take a step in place; `images` have been shown before it."""
    augmentation = state.augmentation
    adapts = augmentation is not None and augmentation.adapts_at(state.step)
    means: dict[str, Tensor] = {}
    logits: Tensor | None = None  # what the augmentation adapts to
    for k in range(training.d_steps):
        d_batches = batches.discriminator(state.step * training.d_steps + k)
        last = k + 1 == training.d_steps  # all logits must come from the same discriminator
        held_out = batches.held_out(state.step) if adapts and last else ()
        judged = run_d_step(state, training, engine, d_batches, held_out)
        if held_out:
            logits = torch.stack([judged[name] for name in _ADAPTS_TO])
        add_to_sums(means, judged, training.d_steps)
    means.pop("held_out_logits", None)
    means |= run_g_step(state, training, engine, batches.generator(state.step))
    averaging = images >= training.ema_start
    state.ema.update(state.generator, decay=None if averaging else 0.0)
    if augmentation is not None and logits is not None:
        shown_nimg = UPDATE_STEPS * training.batch_size * training.d_steps
        augmentation.adapt(engine.sum(logits) / engine.world_size, shown_nimg)
    state.step += 1
    add_to_sums(state.log_sums, means)


def run_d_step(
    state: TrainState,
    training: TrainingConfig,
    engine: Engine,
    batches: Sequence[DiscriminatorBatch],
    held_out: Sequence[HeldOutBatch] = (),
) -> dict[str, Tensor]:
    """Run `d_step`, replayed from a CUDA graph when graphs are on."""

    def step(
        batches: Sequence[DiscriminatorBatch], held_out: Sequence[HeldOutBatch]
    ) -> dict[str, Tensor]:
        return d_step(state.networks, batches, training, engine, state.augmentation, held_out)

    return _run(state, "d", step, batches, held_out)


def run_g_step(
    state: TrainState, training: TrainingConfig, engine: Engine, batches: Sequence[GeneratorBatch]
) -> dict[str, Tensor]:
    """Run `g_step`, replayed from a CUDA graph when graphs are on."""

    def step(batches: Sequence[GeneratorBatch]) -> dict[str, Tensor]:
        return g_step(state.networks, batches, training, engine, state.augmentation)

    return _run(state, "g", step, batches)


def _run(state: TrainState, name: str, step: Step, *groups: Batches) -> dict[str, Tensor]:
    return step(*groups) if state.replays is None else state.replays.run(name, step, *groups)
