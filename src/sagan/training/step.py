"""One discriminator step and one generator step.

Work, in forward passes' units (G, D): G + 2 D forward and 4 D backward for a discriminator step of
b real and b fake images; G + D forward and 2 G + D backward for a generator step. The fakes of the
discriminator step carry no gradient, and the discriminator is frozen in the generator step.

Dimensions: b batch, c channels, h w the image's sides, z latent length.
"""

from collections.abc import Callable, Iterator, Sequence
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


class RealBatch(NamedTuple):
    """Real images, and the inputs of the fakes beside them."""

    images: Tensor  # b c h w in [-1, 1]
    labels: Tensor | None  # b
    latents: Tensor  # b z
    fake_labels: Tensor | None  # b
    mix: Tensor  # b in [0, 1], for the gradient penalty
    real_draws: Tensor | None = None  # b r in [0, 1), for augmentation
    fake_draws: Tensor | None = None


class FakeBatch(NamedTuple):
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
    batches: Sequence[RealBatch],
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
    G, D = networks.generator, networks.discriminator
    power_iteration(D)
    networks.d_optimizer.zero_grad(set_to_none=True)
    sums: dict[str, Tensor] = {}
    for i, batch in enumerate(batches):
        with torch.no_grad():
            fake = _augmented(G(batch.latents, batch.fake_labels), batch.fake_draws, augment)
        real = _augmented(batch.images, batch.real_draws, augment)
        with engine.without_sync(D, enabled=i + 1 < len(batches)):
            images = torch.cat([real, fake])
            labels = None
            if batch.labels is not None and batch.fake_labels is not None:
                labels = torch.cat([batch.labels, batch.fake_labels])
                if training.mismatch:  # each real image also under the label of the fake beside it
                    labels = torch.stack([labels, batch.fake_labels.repeat(2)], 1)
            logits = D(images, labels).float()
            others: Tensor | None = None
            if logits.dim() == 2:
                logits, others = logits.unbind(1)
            real_logits, fake_logits = logits.split([len(real), len(fake)])
            loss = adversarial = discriminator_loss(training.loss, real_logits, fake_logits)
            if training.lecam:
                loss = loss + training.lecam * lecam_penalty(real_logits, fake_logits)
            if others is not None:
                assert batch.labels is not None
                assert batch.fake_labels is not None
                wrong = mismatch_loss(
                    training.loss, others[: len(real)], batch.labels, batch.fake_labels
                )
                loss = loss + training.mismatch * wrong
            if training.loss == "wgan-gp":
                with engine.autocast():
                    inner = engine.inner(D)
                    penalty = gradient_penalty(inner, real, fake, batch.labels, batch.mix)
                loss = loss + training.gradient_penalty * penalty
            engine.backward(loss / len(batches))
        for name, value in (
            ("d_loss", loss),
            ("real_logits", real_logits.mean()),
            ("fake_logits", fake_logits.mean()),
        ):
            sums[name] = sums.get(name, 0) + value.detach() / len(batches)
        if loss is not adversarial:
            share = adversarial.detach() / len(batches)
            sums["d_adversarial_loss"] = sums.get("d_adversarial_loss", 0) + share
    if held_out:
        sums["held_out_logits"] = _held_out_logits(networks, held_out, augment)
    networks.d_optimizer.step()
    return sums


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
    batches: Sequence[FakeBatch],
    training: TrainingConfig,
    engine: Engine,
    augment: Augment | None = None,
) -> dict[str, Tensor]:
    """Update the generator once against the frozen discriminator; return `g_loss` as `d_step`."""
    G, D = networks.generator, networks.discriminator
    power_iteration(G)
    networks.g_optimizer.zero_grad(set_to_none=True)
    total: Tensor | float = 0.0
    with frozen(D):
        for i, batch in enumerate(batches):
            # D gets no gradients here, so it must not synchronise them either.
            with engine.without_sync(G, enabled=i + 1 < len(batches)), engine.without_sync(D):
                images = G(batch.latents, batch.labels)
                logits = D(_augmented(images, batch.draws, augment), batch.labels).float()
                loss = generator_loss(training.loss, logits)
                if training.diversity:
                    apart = mode_seeking_loss(images, batch.latents, batch.labels)
                    loss = loss + training.diversity * apart
                engine.backward(loss / len(batches))
            total = total + loss.detach() / len(batches)
    networks.g_optimizer.step()
    return {"g_loss": torch.as_tensor(total)}
