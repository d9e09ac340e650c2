"""A plain DCGAN (Radford et al. 2016), hinge loss, spectral norm in D (Miyato et al. 2018).

Spectral norm is on the layers that downsample, three at 32 px and four at 64.
"""

from itertools import pairwise

import numpy as np
import torch
from clock import Clock, batches, generated
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import relu
from torch.nn.utils.parametrizations import spectral_norm

_LATENT, _WIDTH, _BATCH = 128, 64, 64


def _up(before: int, after: int, stride: int = 2, padding: int = 1) -> list[nn.Module]:
    conv = nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False)
    return [conv, nn.BatchNorm2d(after), nn.ReLU(True)]


def _down(before: int, after: int) -> list[nn.Module]:
    return [spectral_norm(nn.Conv2d(before, after, 4, 2, 1)), nn.LeakyReLU(0.2, True)]


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0, 0.02)  # DCGAN's


def run(images: NDArray[np.uint8], settings: dict[str, str], clock: Clock) -> None:
    """Train on uint8 n h h c, of 32 or 64 px, until the clock stops it."""
    w, channels = _WIDTH, images.shape[-1]
    widths = [w * 2**i for i in range({32: 3, 64: 4}[images.shape[1]])]  # near the pictures first
    generator = nn.Sequential(
        nn.Unflatten(1, (_LATENT, 1, 1)),
        *_up(_LATENT, widths[-1], 1, 0),
        *(layer for wide, thin in pairwise(widths[::-1]) for layer in _up(wide, thin)),
        nn.ConvTranspose2d(w, channels, 4, 2, 1),
        nn.Tanh(),
    ).apply(_init)
    head = [nn.Conv2d(widths[-1], 1, 4), nn.Flatten(0)]
    downs = [layer for thin, wide in pairwise([channels, *widths]) for layer in _down(thin, wide)]
    discriminator = nn.Sequential(*downs, *head)
    g_opt = torch.optim.Adam(generator.parameters(), 2e-4, betas=(0.5, 0.999))
    d_opt = torch.optim.Adam(discriminator.parameters(), 2e-4, betas=(0.5, 0.999))
    clock.watch(
        lambda n: generated(generator, _LATENT, n),
        g=generator,
        d=discriminator,
        g_opt=g_opt,
        d_opt=d_opt,
    )
    for real in batches(images, _BATCH, channels):
        fake = generator(torch.randn(_BATCH, _LATENT))
        d_loss = relu(1 - discriminator(real)) + relu(1 + discriminator(fake.detach()))
        d_opt.zero_grad()
        d_loss.mean().backward()
        d_opt.step()
        g_loss = -discriminator(generator(torch.randn(_BATCH, _LATENT))).mean()
        g_opt.zero_grad()
        g_loss.backward()
        g_opt.step()
        clock.tick(_BATCH)
