"""R3GAN (Huang et al. 2024): its networks and losses, its CIFAR-10 preset made narrow.

Changed: 32 channels instead of 768, 1 block a stage instead of 2, batch 32 instead of 512; its
reference operators instead of its CUDA ones. What it schedules over 20 million images stays at its
beginning, where a run this short is: Adam 2e-4, betas 0 and .9, gamma .05, no augmentation. EMA
over a twentieth of the images so far, 10,000 at most (StyleGAN's ramp); its own would be of almost
none at this point. `--set width=64` (or blocks, or batch) is another size.
"""

import copy

import numpy as np
import torch
from clock import Clock, batches, generated
from numpy.typing import NDArray

_LATENT, _GAMMA, _EMA_IMAGES = 64, 0.05, 10_000


def run(images: NDArray[np.uint8], settings: dict[str, str], clock: Clock) -> None:
    """Train on uint8 n h h c until the clock stops it."""
    from R3GAN import FusedOperators, Resamplers

    FusedOperators.BiasedActivation = FusedOperators.BiasedActivationReference
    Resamplers.InterpolativeUpsampler = Resamplers.InterpolativeUpsamplerReference
    Resamplers.InterpolativeDownsampler = Resamplers.InterpolativeDownsamplerReference
    from R3GAN.Networks import Discriminator, Generator
    from R3GAN.Trainer import AdversarialTraining

    width, blocks = int(settings.get("width", 32)), int(settings.get("blocks", 1))
    size = int(settings.get("batch", 32))
    stages = images.shape[1].bit_length() - 2  # from 4 px
    # 16 channels a group, as there
    shape = ([width] * stages, [width // 8] * stages, [blocks] * stages, 2)
    generator, discriminator = Generator(_LATENT, *shape), Discriminator(*shape)
    average = copy.deepcopy(generator)
    g_opt, d_opt = (
        torch.optim.Adam(network.parameters(), 2e-4, betas=(0.0, 0.9), eps=1e-8)
        for network in (generator, discriminator)
    )
    parts = {"g": generator, "d": discriminator, "average": average}
    clock.watch(lambda n: generated(average, _LATENT, n), **parts, g_opt=g_opt, d_opt=d_opt)
    training = AdversarialTraining(generator, discriminator)
    real = batches(images, size, 3)
    while True:
        for network, other, opt in (
            (discriminator, generator, d_opt),
            (generator, discriminator, g_opt),
        ):
            network.requires_grad_(True)
            other.requires_grad_(False)
            opt.zero_grad()
            noise, shown = torch.randn(size, _LATENT), next(real)
            if network is discriminator:
                training.AccumulateDiscriminatorGradients(noise, shown, None, _GAMMA)
            else:
                training.AccumulateGeneratorGradients(noise, shown, None)
            opt.step()
        kept = 0.5 ** (size / min(_EMA_IMAGES, 0.05 * (clock.shown + size)))
        with torch.no_grad():
            for mean, new in zip(average.parameters(), generator.parameters(), strict=True):
                mean.lerp_(new, 1 - kept)
        clock.tick(size)
