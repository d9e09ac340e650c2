"""One discriminator step and one generator step.

Work, in forward passes' units (G, D): G + 2 D forward and 4 D backward for a discriminator step of
b real and b fake images; G + D forward and 2 G + D backward for a generator step. The fakes of the
discriminator step carry no gradient, and the discriminator is frozen in the generator step.

Dimensions: b batch, c channels, h w the image's sides, z latent length.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sagan.config import TrainingConfig
from sagan.nn.spectral import power_iteration
from sagan.training.engine import Engine
from sagan.training.losses import (
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    lecam_penalty,
    mismatch_loss,
    mode_seeking_loss,
)

Augment = Callable[[Tensor, Tensor], Tensor]  # images and their random numbers to images


class DiscriminatorBatch(NamedTuple):
    """A discriminator step's real images, and the generator's inputs for its fakes."""

    images: Tensor  # b c h w in [-1, 1]
    labels: Tensor | None  # b
    latents: Tensor  # b z
    fake_labels: Tensor | None  # b
    mix: Tensor  # b in [0, 1], for the gradient penalty
    real_draws: Tensor | None = None  # b r in [0, 1), for augmentation
    fake_draws: Tensor | None = None


class GeneratorBatch(NamedTuple):
    """The generator's inputs in a generator step."""

    latents: Tensor
    labels: Tensor | None
    draws: Tensor | None = None  # b r in [0, 1), for augmentation


class HeldOutBatch(NamedTuple):
    """Real images that are never trained on."""

    images: Tensor  # b c h w in [-1, 1]
    labels: Tensor | None  # b
    draws: Tensor | None = None  # b r in [0, 1), for augmentation


@dataclass
class Networks:
    """Both networks as the engine wraps them, and their optimisers."""

    generator: Any
    discriminator: Any
    g_optimizer: Any
    d_optimizer: Any


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Turn off gradients of a network's parameters inside the block."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    network.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def d_step(
    networks: Networks,
    batches: Sequence[DiscriminatorBatch],
    training: TrainingConfig,
    engine: Engine,
    augment: Augment | None = None,
    held_out: Sequence[HeldOutBatch] = (),
) -> dict[str, Tensor]:
    """Update the discriminator once, on micro-batches of real and fake images in one pass.

    Only the discriminator changes, and the generator's batch-norm statistics. Returns `d_loss`,
    `real_logits`, `fake_logits`; if the loss has other terms, `d_adversarial_loss` without them;
    and, with held-out images, `held_out_logits`: scalar means on the device, detached; all logits
    are from before the update.
    """
    D = networks.discriminator
    power_iteration(D)
    networks.d_optimizer.zero_grad(set_to_none=True)
    means: dict[str, Tensor] = {}
    for i, batch in enumerate(batches):
        with engine.no_sync(D, enabled=i + 1 < len(batches)):
            loss, scalars = _d_loss(networks, batch, training, engine, augment)
            engine.backward(loss / len(batches))
        add_to_sums(means, scalars, len(batches))
    if held_out:
        means["held_out_logits"] = _held_out_logits(networks, held_out, augment)
    networks.d_optimizer.step()
    return means


def _d_loss(
    networks: Networks,
    batch: DiscriminatorBatch,
    training: TrainingConfig,
    engine: Engine,
    augment: Augment | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The discriminator's loss on a micro-batch, and the scalars to log."""
    G, D = networks.generator, networks.discriminator
    with torch.no_grad():
        fake = _augmented(G(batch.latents, batch.fake_labels), batch.fake_draws, augment)
    real = _augmented(batch.images, batch.real_draws, augment)
    images = torch.cat([real, fake])
    mismatch: Tensor | None = None
    if batch.labels is None or batch.fake_labels is None:
        logits = D(images, None).float()
    else:
        labels = torch.cat([batch.labels, batch.fake_labels])
        if training.mismatch:  # each real image also under the label of the fake beside it
            pairs = torch.stack([labels, batch.fake_labels.repeat(2)], 1)
            logits, others = D(images, pairs).float().unbind(1)
            mismatch = mismatch_loss(
                training.loss, others[: len(real)], batch.labels, batch.fake_labels
            )
        else:
            logits = D(images, labels).float()
    real_logits, fake_logits = logits.split([len(real), len(fake)])
    adversarial = discriminator_loss(training.loss, real_logits, fake_logits)
    terms: list[Tensor] = []
    if training.lecam:
        terms.append(training.lecam * lecam_penalty(real_logits, fake_logits))
    if mismatch is not None:
        terms.append(training.mismatch * mismatch)
    if training.loss == "wgan-gp":
        with engine.autocast():
            unwrapped = engine.unwrap(D)
            penalty = gradient_penalty(unwrapped, real, fake, batch.labels, batch.mix)
        terms.append(training.gradient_penalty * penalty)
    loss = sum(terms, adversarial)
    scalars = {
        "d_loss": loss,
        "real_logits": real_logits.detach().mean(),
        "fake_logits": fake_logits.detach().mean(),
    }
    if terms:
        scalars["d_adversarial_loss"] = adversarial
    return loss, scalars


@torch.no_grad()
def _held_out_logits(
    networks: Networks, batches: Sequence[HeldOutBatch], augment: Augment | None
) -> Tensor:
    """The discriminator's mean logit on held-out real images, augmented like the others."""
    means = [
        networks.discriminator(_augmented(batch.images, batch.draws, augment), batch.labels)
        .float()
        .mean()
        for batch in batches
    ]
    return torch.stack(means).mean()


def _augmented(images: Tensor, draws: Tensor | None, augment: Augment | None) -> Tensor:
    if augment is None:
        return images
    assert draws is not None
    return augment(images, draws)


def g_step(
    networks: Networks,
    batches: Sequence[GeneratorBatch],
    training: TrainingConfig,
    engine: Engine,
    augment: Augment | None = None,
) -> dict[str, Tensor]:
    """Update the generator once against the frozen discriminator; return `g_loss` as `d_step`."""
    G, D = networks.generator, networks.discriminator
    power_iteration(G)
    networks.g_optimizer.zero_grad(set_to_none=True)
    means: dict[str, Tensor] = {}
    with frozen(D):
        for i, batch in enumerate(batches):
            # D gets no gradients here, so it must not synchronise them either.
            with engine.no_sync(G, enabled=i + 1 < len(batches)), engine.no_sync(D):
                images = G(batch.latents, batch.labels)
                logits = D(_augmented(images, batch.draws, augment), batch.labels).float()
                loss = generator_loss(training.loss, logits)
                if training.diversity:
                    apart = mode_seeking_loss(images, batch.latents, batch.labels)
                    loss = loss + training.diversity * apart
                engine.backward(loss / len(batches))
            add_to_sums(means, {"g_loss": loss}, len(batches))
    networks.g_optimizer.step()
    return means


def add_to_sums(sums: dict[str, Tensor], values: Mapping[str, Tensor], count: int = 1) -> None:
    """Add `values / count`, detached, to the sums of the same names."""
    for name, value in values.items():
        share = value.detach() if count == 1 else value.detach() / count
        sums[name] = sums.get(name, 0) + share
