"""The adversarial losses: pure functions of logits.

Dimensions: b batch.
"""

from collections.abc import Callable
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from sagan.config import Loss
from sagan.config.checks import require_choice

_LEAST_RATIO = 1e-2  # of two images that are the same; bounds the loss at its inverse


def discriminator_loss(loss: Loss, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The loss that the discriminator minimises, without the gradient penalty.

    Args:
        loss: `hinge`, `wgan-gp` or `non-saturating`.
        real_logits: `b`, the discriminator's output for real images.
        fake_logits: `b`, its output for generated images; the two batches may differ in size.

    Returns:
        A scalar.

    Raises:
        ValueError: the loss is unknown.

    Source:
        Lim & Ye 2017 (hinge); Gulrajani et al. 2017 (wgan-gp); Goodfellow et al. 2014
        (non-saturating).

    Example:
        >>> discriminator_loss("hinge", torch.tensor([2.0, 0.5]), torch.tensor([-2.0])).item()
        0.25
    """
    require_choice("loss", loss, get_args(Loss))
    return _loss_if_fake(loss, -real_logits).mean() + _loss_if_fake(loss, fake_logits).mean()


def mismatch_loss(loss: Loss, logits: Tensor, labels: Tensor, others: Tensor) -> Tensor:
    """Discriminator loss of real images with mismatched labels, which count as fakes.

    Args:
        loss: as in `discriminator_loss`.
        logits: `b`, the discriminator's output for real images under the labels `others`.
        labels: `b`, the images' own classes.
        others: `b`, classes drawn at random; an image whose own class was drawn costs nothing.

    Returns:
        A scalar, the mean over all images of what a fake costs in `discriminator_loss`.

    Raises:
        ValueError: the loss is unknown.

    Source:
        Reed et al. 2016, algorithm 1 (GAN-CLS), where the label is a text.

    Example:
        >>> labels, others = torch.tensor([0, 1]), torch.tensor([2, 1])
        >>> mismatch_loss("hinge", torch.tensor([0.5, 9.0]), labels, others).item()
        0.75
    """
    require_choice("loss", loss, get_args(Loss))
    return (_loss_if_fake(loss, logits) * (labels != others)).mean()


def lecam_penalty(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Keep the logits of real images near those of fakes, and the other way about.

    A discriminator that learns few images by heart moves the two apart without end. Published with
    running means of the logits; the batch's own are as good here and are no state.

    Args:
        real_logits: `b`, the discriminator's output for real images.
        fake_logits: `b`, its output for generated images; the two batches may differ in size.

    Returns:
        A scalar: the mean squared distance of each logit from the other kind's mean, of both kinds;
        no gradient goes through the means.

    Source:
        Tseng et al. 2021, "Regularizing Generative Adversarial Networks under Limited Data".

    Example:
        >>> lecam_penalty(torch.tensor([1.0, 2.0]), torch.tensor([-1.0])).item()
        12.75
    """
    real_mean, fake_mean = real_logits.detach().mean(), fake_logits.detach().mean()
    return (real_logits - fake_mean).square().mean() + (fake_logits - real_mean).square().mean()


def _loss_if_fake(loss: Loss, fake_logits: Tensor) -> Tensor:
    """Each image's loss as a fake, `b`; as a real one it is that of the negated logit."""
    if loss == "hinge":
        return F.relu(1 + fake_logits)
    return fake_logits if loss == "wgan-gp" else F.softplus(fake_logits)


def generator_loss(loss: Loss, fake_logits: Tensor) -> Tensor:
    """The loss that the generator minimises.

    Args:
        loss: `hinge`, `wgan-gp` or `non-saturating`.
        fake_logits: `b`, the discriminator's output for generated images.

    Returns:
        A scalar.

    Raises:
        ValueError: the loss is unknown.

    Source:
        As `discriminator_loss`; `hinge` and `wgan-gp` share a generator loss.

    Example:
        >>> generator_loss("hinge", torch.tensor([1.0, 3.0])).item()
        -2.0
    """
    require_choice("loss", loss, get_args(Loss))
    return F.softplus(-fake_logits).mean() if loss == "non-saturating" else -fake_logits.mean()


def mode_seeking_loss(images: Tensor, latents: Tensor, labels: Tensor | None) -> Tensor:
    """Punish a generator whose images hardly change with their latents.

    The batch is sorted by class and paired off, and pairs of one class count, so that no image is
    made for this alone. Published as the inverse of the mean ratio; but there one outlier, say a
    white image, makes up for many pairs that are nearly the same, and training comes to make
    outliers. The mean of the inverses penalises each pair by itself.

    Args:
        images: `b c h w`, generated.
        latents: `b z`, that they were generated from.
        labels: `b`, their classes, or None.

    Returns:
        A scalar in [0, 100]: the mean over pairs of 1 / (.01 + |image - other| / |latent - other
        latent|), where both distances are means over entries; 0 where no pair is of one class.

    Source:
        After Mao et al. 2019, equation 4; there both images of a pair are made for it.

    Example:
        >>> z = torch.tensor([[0.0], [1.0], [5.0]])
        >>> loss = mode_seeking_loss(z[:, :, None, None] / 2, z, torch.tensor([0, 0, 1]))
        >>> round(loss.item(), 2)
        1.96
    """
    order = torch.arange(len(images), device=images.device)
    if labels is not None:
        order = labels.argsort(stable=True)
    first, second = order[: len(order) // 2 * 2].view(-1, 2).unbind(1)
    moved = (images[first] - images[second]).float().abs().flatten(1).mean(1)
    apart = (latents[first] - latents[second]).abs().mean(1)
    ratios = moved / apart.clamp(min=torch.finfo(apart.dtype).tiny)
    near = 1 / (ratios + _LEAST_RATIO)
    if labels is None:
        return near.sum() / max(1, len(near))
    same = (labels[first] == labels[second]).float()
    return (near * same).sum() / same.sum().clamp(min=1)


def gradient_penalty(
    discriminator: Callable[..., Tensor],
    real: Tensor,
    fake: Tensor,
    labels: Tensor | None,
    mix: Tensor,
) -> Tensor:
    """Penalise gradient norms other than 1 between real and fake images (WGAN-GP).

    This needs second derivatives, which fused attention lacks, so attention runs as plain matrix
    products here.

    Args:
        discriminator: images and labels to logits.
        real: images `b c h w`.
        fake: the same number of generated images.
        labels: `b`, or None.
        mix: `b` in [0, 1], the share of `real` in each mixture.

    Returns:
        A scalar, not yet weighted.

    Source:
        Gulrajani et al. 2017, algorithm 1.

    Example:
        >>> x = torch.randn(4, 3, 8, 8)
        >>> linear = lambda images, labels: images.sum((1, 2, 3))  # gradient norm sqrt(192)
        >>> round(gradient_penalty(linear, x, -x, None, torch.rand(4)).item(), 1)
        165.3
    """
    mix = mix[:, None, None, None]
    between = (mix * real + (1 - mix) * fake).detach().requires_grad_()
    with sdpa_kernel(SDPBackend.MATH):
        logits = discriminator(between, labels)
        (gradient,) = torch.autograd.grad(logits.sum(), between, create_graph=True)
    norms: Tensor = gradient.flatten(1).norm(dim=1)
    return ((norms - 1) ** 2).mean()
